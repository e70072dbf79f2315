"""Buckets that fill with time, the table of scopes, and the numbers' form."""

import pytest

from puna.node.api.access import scope_of
from puna.node.api.metrics import Counted, Histogram
from puna.node.api.rates import Rates
from puna.node.keys import KeyScope
from puna.node.usage import Usage
from puna.units import Span


def at(seconds: float) -> Span:
    return Span.of(seconds=seconds)


def test_a_new_bucket_is_full() -> None:
    assert Rates().wait_for("a", per_minute=1, now=at(0)) == 0


def test_an_empty_bucket_says_how_long_until_the_next() -> None:
    rates = Rates()
    rates.spend("a", 6, per_minute=6, now=at(0))
    assert rates.wait_for("a", per_minute=6, now=at(0)) == 10
    assert rates.wait_for("a", per_minute=6, now=at(4)) == pytest.approx(6)
    assert rates.wait_for("a", per_minute=6, now=at(10)) == 0


def test_a_bucket_that_owes_fills_first() -> None:
    rates = Rates()
    rates.spend("a", 119, per_minute=60, now=at(0))
    assert rates.wait_for("a", per_minute=60, now=at(0)) == pytest.approx(60)


def test_a_bucket_never_holds_more_than_a_minute() -> None:
    rates = Rates()
    rates.wait_for("a", per_minute=2, now=at(0))
    rates.spend("a", 2, per_minute=2, now=at(3600))
    assert rates.wait_for("a", per_minute=2, now=at(3600)) == 30


def test_each_has_a_bucket_of_his_own() -> None:
    rates = Rates()
    rates.spend("a", 1, per_minute=1, now=at(0))
    assert rates.wait_for("b", per_minute=1, now=at(0)) == 0


def test_a_million_addresses_take_no_more_room_than_a_few() -> None:
    rates = Rates(most=2)
    for who in "abc":
        rates.spend(who, 1, per_minute=1, now=at(0))
    waits = [rates.wait_for(who, per_minute=1, now=at(0)) for who in "cb"]
    assert waits == [60, 60]


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/api/generate", KeyScope.USE),
        ("/api/chat", KeyScope.USE),
        ("/api/embed", KeyScope.USE),
        ("/api/tags", KeyScope.USE),
        ("/api/show", KeyScope.USE),
        ("/v1/chat/completions", KeyScope.USE),
        ("/v1/messages", KeyScope.USE),
        ("/docs", KeyScope.USE),
        ("/nothing", KeyScope.USE),
        ("/api/pull", KeyScope.MANAGE),
        ("/api/push", KeyScope.MANAGE),
        ("/api/create", KeyScope.MANAGE),
        ("/api/copy", KeyScope.MANAGE),
        ("/api/delete", KeyScope.MANAGE),
        ("/api/blobs/sha256:00", KeyScope.MANAGE),
        ("/metrics", KeyScope.ADMIN),
    ],
)
def test_each_path_needs_a_scope(path: str, scope: KeyScope) -> None:
    assert scope_of(path) is scope


def test_a_histogram_counts_what_is_at_most_each_bound() -> None:
    histogram = Histogram((1.0, 10.0))
    for value in (0.5, 1.0, 5.0, 100.0):
        histogram.add(value)
    assert list(histogram.lines("h")) == [
        'h_bucket{le="1.0"} 2',
        'h_bucket{le="10.0"} 3',
        'h_bucket{le="+Inf"} 4',
        "h_sum 106.5",
        "h_count 4",
    ]


@pytest.mark.parametrize(
    ("method", "verb"),
    [("GET", "GET"), ("POST", "POST"), ("BREW", "OTHER"), ('"} 1\nx{a="', "OTHER")],
)
def test_a_made_up_method_makes_no_new_label(method: str, verb: str) -> None:
    assert Counted(method, "/", 200, Usage()).verb == verb

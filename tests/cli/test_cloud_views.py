"""Words, tables and bars of the renter's commands, without a cloud."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from puna.cli.catalogue import language_of
from puna.cli.cloud.bill import line_words, picture
from puna.cli.cloud.create import Quote, _cost_words as cost_words, read_span, say_ways
from puna.cli.cloud.login import is_plain, span_words
from puna.cli.cloud.offers import refusal_words
from puna.cli.cloud.reach import card_name, cents, hour_of, narrow, price, print_json
from puna.cli.cloud.watch import say_lines
from puna.cli.language import ENGLISH
from puna.cli.session import Session
from puna.cloud.settings import read_cloud_address
from puna.cloud.values import CloudPod, Happenings, Limit, Offer, Offers, Spend, Spent, read
from puna.errors import Invalid
from puna.node.replies import Fields
from puna.units import Money, Span
from tests.fakes.console import NOW, a_terminal, puna

NOTHING = Money(0)
COMMANDS = (
    ("cloud",),
    ("cloud", "login"),
    ("cloud", "status"),
    ("cloud", "logout"),
    ("cloud", "keys"),
    ("cloud", "keys", "create"),
    ("cloud", "keys", "list"),
    ("cloud", "keys", "revoke"),
    ("cloud", "ssh-keys"),
    ("offers",),
    ("templates",),
    ("templates", "show"),
    ("pods",),
    ("pods", "create"),
    ("pods", "list"),
    ("pods", "show"),
    ("pods", "logs"),
    ("pods", "ssh"),
    ("pods", "exec"),
    ("pods", "stop"),
    ("pods", "start"),
    ("pods", "restart"),
    ("pods", "terminate"),
    ("pods", "open"),
    ("bill",),
    ("budget",),
    ("budget", "set"),
    ("budget", "list"),
    ("budget", "remove"),
)
WITH_JSON = (
    ("cloud", "status"),
    ("cloud", "keys", "create"),
    ("cloud", "keys", "list"),
    ("cloud", "ssh-keys"),
    ("offers",),
    ("templates",),
    ("templates", "show"),
    ("pods", "create"),
    ("pods", "list"),
    ("pods", "show"),
    ("pods", "logs"),
    ("pods", "terminate"),
    ("bill",),
    ("budget", "set"),
    ("budget", "list"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_in_both_languages(words: tuple[str, ...]) -> None:
    english = puna(*words, "--help", environ={})
    polish = puna(
        *words,
        "--help",
        environ={},
        terminal=a_terminal()._replace(language=language_of(("pl",))),
    )
    assert (english.code, polish.code) == (0, 0)
    assert english.out.startswith(f"Usage: puna {' '.join(words)}")
    assert polish.out.startswith(f"Użycie: puna {' '.join(words)}")
    assert english.lines[2] not in polish.lines
    assert max(map(len, english.lines)) <= 100


@pytest.mark.parametrize("words", WITH_JSON, ids=" ".join)
def test_what_shows_something_shows_it_to_programs_too(words: tuple[str, ...]) -> None:
    assert "  --json" in puna(*words, "--help", environ={}).out


@pytest.mark.parametrize("words", [("cloud", "status"), ("pods", "list"), ("bill",), ("offers",)])
def test_without_a_cloud_one_is_told_how_to_get_one(
    tmp_path: Any,  # noqa: ANN401 - a path
    words: tuple[str, ...],
) -> None:
    ran = puna(*words, environ={"PUNA_HOME": str(tmp_path)})
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines() == [
        "Error: no cloud is known",
        "log in: puna cloud login ADDRESS (or runpod), or make one: puna market serve",
    ]


@pytest.mark.parametrize(
    ("address", "is_warned"),
    [
        ("runpod", False),
        ("https://market.example", False),
        ("127.0.0.1:11500", False),
        ("localhost", False),
        ("http://market.example:11500", True),
        ("192.168.1.5", True),
    ],
)
def test_a_key_that_would_travel_in_the_open_is_warned_of(address: str, is_warned: bool) -> None:
    assert is_plain(read_cloud_address(address)) is is_warned


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.000001"),
        (9_999, "$0.009999"),
        (10_004, "$0.01"),
        (362_740, "$0.36274"),
        (362_749, "$0.36274"),
        (1_500_000, "$1.50"),
        (2_690_000, "$2.69"),
    ],
)
def test_a_price_is_told_to_a_thousandth_of_a_cent(micros: int, shown: str) -> None:
    assert price(Money(micros)) == shown


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.01"),
        (10_000, "$0.01"),
        (10_001, "$0.02"),
        (8_705_760, "$8.71"),
    ],
)
def test_what_will_be_spent_is_rounded_up_to_cents(micros: int, shown: str) -> None:
    assert cents(Money(micros)) == shown


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=0), "0m0s"),
        (timedelta(seconds=59), "0m59s"),
        (timedelta(minutes=7, seconds=12), "7m12s"),
        (timedelta(hours=3, minutes=5), "3h5m"),
        (timedelta(days=2, hours=20, minutes=59), "2d20h"),
        (timedelta(days=99, hours=23), "99d23h"),
        (timedelta(days=3650, hours=5), "3650d"),
    ],
    ids=str,
)
def test_a_span_is_told_in_its_two_largest_units(span: timedelta, words: str) -> None:
    assert span_words(Span.of(seconds=span.total_seconds())) == words


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90m", Span.of(minutes=90)),
        ("2h", Span.of(hours=2)),
        ("1d", Span.of(hours=24)),
        ("1h30m", Span.of(hours=1.5)),
    ],
)
def test_times_are_read_as_the_market_reads_them(text: str, span: Span) -> None:
    assert read_span(text) == span


@pytest.mark.parametrize("text", ["soon", "d", "1", "xd"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="not a duration"):
        read_span(text)


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA L4", "L4"),
        ("AMD Instinct MI300X OAM", "Instinct MI300X OAM"),
        ("cpu3g", "cpu3g"),
    ],
)
def test_cards_are_called_as_people_call_them(card: str, name: str) -> None:
    assert card_name(card) == name


def spent(name: str, micros: int) -> Spent:
    return Spent(id=name, name=name, amount=Money(micros))


def spend(**amounts: int) -> Spend:
    rows = tuple(spent(name, micros) for name, micros in amounts.items())
    return Spend(rows, Money(sum(amounts.values())))


def test_the_longest_bar_ends_at_the_edge_and_others_in_proportion() -> None:
    lines = picture(spend(a=1_000_000, b=500_000, c=250_000), total="total")
    bars = [line.count("█") for line in lines]
    assert [len(lines[0]), bars[0] // 2 - bars[1], bars[3]] == [80, 0, 0]
    assert bars[2] in {bars[1] // 2, bars[1] // 2 + 1}
    assert lines[3] == "total  $1.75"


def test_days_before_the_first_spending_are_left_out_and_those_between_are_not() -> None:
    lines = picture(spend(mon=0, tue=5, wed=0, thu=5), total="sum")
    assert [line.split()[0] for line in lines] == ["tue", "wed", "thu", "sum"]
    assert lines[1] == "wed      $0.00"


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ({}, ["total  $0.00"]),
        ({"a": 0}, ["total  $0.00"]),
        ({"": 5}, None),
    ],
    ids=str,
)
def test_a_bill_of_nothing_has_no_bars(rows: Mapping[str, int], lines: list[str] | None) -> None:
    found = picture(Spend(tuple(spent(*row) for row in rows.items()), NOTHING), total="total")
    assert found == lines or found[0].startswith("-      $0.000005  ███")


def test_the_smallest_spending_has_a_bar() -> None:
    assert picture(spend(a=10**9, b=1), total="total")[1].endswith("$0.000001  █")


@pytest.mark.parametrize("name", ["x" * 100, "ł" * 100, "漢" * 100, "a\nb", "\x1b[31mred"])
def test_a_name_never_breaks_the_picture(name: str) -> None:
    lines = picture(spend(**{name: 5}), total="total")
    assert len(lines) == 2
    assert "\x1b" not in "".join(lines)
    assert lines[0].count("█") > 10


def test_a_line_of_a_bill_is_a_product() -> None:
    line = {
        "id": "pod:cards:1:5.0",
        "item": "cards",
        "start": "2026-11-24T12:00:00Z",
        "end": "2026-11-24T12:01:00.500000Z",
        "anHour": "0.36",
        "amount": "0.00605",
    }
    assert line_words(Fields(line)).splitlines() == [
        "11-24 12:01:00 cards            60.5 s at $0.36 = $0.00605",
        "  pod:cards:1:5.0",
    ]


def test_a_line_without_times_is_shown_all_the_same() -> None:
    assert line_words(Fields({"id": "x"})).startswith("- ")


@pytest.mark.parametrize(
    ("flags", "an_hour", "words"),
    [
        ({}, 362_740, "$0.36274 an hour, $8.71 a day"),
        (
            {"stop_after": "2h"},
            362_740,
            "$0.36274 an hour, $8.71 a day; it stops after 2h, by when it has cost $0.73",
        ),
        (
            {"terminate_after": "1d"},
            100_000,
            "$0.10 an hour, $2.40 a day; it stops after 1d, by when it has cost $2.40",
        ),
        ({}, None, "the cloud does not tell what it costs"),
        ({}, 0, "$0.00 an hour, $0.00 a day"),
    ],
    ids=str,
)
def test_what_a_pod_costs_is_told_before_it_is_rented(
    flags: dict[str, str], an_hour: int | None, words: str
) -> None:
    given = {"stop_after": "", "terminate_after": "", **flags}
    money = None if an_hour is None else Money(an_hour)
    assert cost_words(Quote(money, "1 x RTX 4090"), given) == words


def an_offer(**changes: Any) -> Offer:  # noqa: ANN401 - as many types as fields
    wire = {"host": "h", "name": "RTX 4090", "anHour": "0.36274", "onDemand": "0.36"}
    return read(Offer, Fields(wire | changes))


def test_pods_that_have_to_leave_are_told() -> None:
    quote = Quote(Money(100_000), "x", an_offer(displaces=2))
    given = {"stop_after": "", "terminate_after": ""}
    assert cost_words(quote, given).endswith("; 2 spot pods have to leave first")


@pytest.mark.parametrize(
    ("is_long", "words"),
    [
        (False, "more do not do: 4; taken (3), another card (1)"),
        (True, "more do not do: 4;\n  taken (3)\n  another card (1)"),
    ],
)
def test_reasons_are_counted_the_commonest_first(is_long: bool, words: str) -> None:
    found = Offers((), {"a": "taken", "b": "another card", "c": "taken", "d": "taken"})
    assert refusal_words(found, ENGLISH, is_long=is_long) == words


def a_pod(**changes: Any) -> CloudPod:  # noqa: ANN401 - as many types as fields
    urls = {"11434": "http://m/pod/p/11434/", "8888": "http://m/pod/p/8888/"}
    extras = {"urls": urls, "anHour": "0.36274"}
    wire = {"id": "p1", "name": "bench", "status": "RUNNING", "cost": 0.36, "puna": extras}
    return CloudPod.of(Fields(wire | changes))


def said(pod: CloudPod) -> str:
    terminal = a_terminal()
    say_ways(Session(terminal, {}), pod)
    return terminal.out.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_ways_to_a_pod_are_told() -> None:
    assert said(a_pod()).splitlines() == [
        "  8888   http://m/pod/p/8888/",
        "  11434  http://m/pod/p/11434/",
        "  puna run MODEL --on bench",
        "  puna pods ssh bench",
        "  puna pods terminate bench",
    ]


def test_a_name_with_blanks_gives_way_to_the_id() -> None:
    pod = a_pod(name="my bench", puna={})
    assert said(pod).splitlines() == ["  puna pods ssh p1", "  puna pods terminate p1"]


def test_an_hour_is_with_disks_where_the_cloud_tells() -> None:
    assert hour_of(a_pod()) == 362_740
    assert hour_of(a_pod(puna=None)) == 360_000


def test_what_happened_is_said_with_its_time() -> None:
    terminal = a_terminal()
    say_lines(Session(terminal, {}), [(NOW, "rented"), (None, "no time\x1b[0m")])
    lines = terminal.err.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0].endswith(" rented")
    assert len(lines[0]) == len("  12:00:00 rented")
    assert lines[1].startswith("  no time")


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (Money(362_740), "0.36274"),
        (
            {"a": Money(1), "b": [Money(2), None, True]},
            {"a": "0.000001", "b": ["0.000002", None, True]},
        ),
        (Fields({"x": 1}), {"x": 1}),
        ((1, "zażółć"), [1, "zażółć"]),
        (NOW, "2026-08-01 10:00:00+00:00"),
        (Span.of(seconds=1), 10**9),
    ],
    ids=lambda value: type(value).__name__,
)
def test_json_has_money_as_decimal_text(value: object, printed: object) -> None:
    terminal = a_terminal()
    print_json(Session(terminal, {}), value)
    assert json.loads(terminal.out.getvalue()) == printed  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("rows", "width"),
    [
        ([("a", "b")], 7),
        ([("a" * 200, "b")], 80),
        ([("a" * 60, "b" * 60)], 80),
        ([("漢" * 60, "b")], 80),
        ([], 7),
    ],
    ids=lambda value: str(value)[:20],
)
def test_tables_are_as_wide_as_they_must_be(rows: list[tuple[str, str]], width: int) -> None:
    lines = narrow(("NAME", "B"), rows).splitlines()
    assert max(len(line) + line.count("漢") for line in lines) <= width
    assert lines[0].startswith("NAME")


def test_values_of_an_older_or_newer_cloud_are_read() -> None:
    limit = read(Limit, Fields({"id": "b", "limit": "5", "colour": "red"}))
    assert (limit.limit, limit.left, limit.scope) == (5_000_000, 0, "")
    seen = Happenings.of(Fields({"status": "RUNNING", "events": [{"text": "x"}, 5]}))
    assert (seen.lines, seen.is_gone) == (((None, "x"), (None, "")), False)

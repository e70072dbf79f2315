"""Quantities print as Ollama prints them and parse what they print."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from puna.errors import Invalid
from puna.units import FOREVER, Count, Money, Size, Span, relative_time

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (1999, "2.0 KB"),
        (98_362_432, "98 MB"),
        (4_683_073_248, "4.7 GB"),
        (2_019_393_189, "2.0 GB"),
        (2 * 10**9, "2 GB"),
        (12_900_000_000, "12 GB"),
        (10**13, "10 TB"),
        (-1500, "-1.5 KB"),
    ],
)
def test_a_size_prints_as_ollama_prints_it(size: int, text: str) -> None:
    assert str(Size(size)) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("1 KB", 1000),
        ("4.7GB", 4_700_000_000),
        ("24GiB", 24 * 2**30),
        ("24 gib", 24 * 2**30),
        ("1.5k", 1500),
        ("1T", 10**12),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert Size.parse(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1 XB", "1iB", "1e9", "nan", "1 GB GB"])
def test_a_text_that_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="size"):
        Size.parse(text)


@given(st.integers(0, 10**18))
def test_a_printed_size_is_read_back_within_a_tenth(number: int) -> None:
    assert number * 0.9 <= Size.parse(str(Size(number))) <= number * 1.05


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (10**12, "1000B"),
        (8_030_261_248, "8.0B"),
        (8_000_000_000, "8B"),
        (134_515_008, "134.52M"),
        (135_000_000, "135M"),
        (7500, "8K"),
        (12, "12"),
    ],
)
def test_a_count_prints_as_ollama_prints_it(count: int, text: str) -> None:
    assert str(Count(count)) == text


@pytest.mark.parametrize(
    ("text", "micros"), [("1.25", 1_250_000), ("$0.000001", 1), ("-3", -3_000_000), ("0", 0)]
)
def test_money_is_read_exactly(text: str, micros: int) -> None:
    assert Money.parse(text) == micros


@pytest.mark.parametrize("text", ["", "a", "0.0000001", "nan", "inf", "1,5"])
def test_money_that_is_not_whole_micro_dollars_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Money.parse(text)


@given(st.integers(-(10**15) + 1, 10**15 - 1))
def test_printed_money_is_read_back_exactly(micros: int) -> None:
    printed = str(Money(micros))
    assert Money.parse(printed.replace("$", "")) == micros


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("5m", Span.of(minutes=5)),
        ("1h30m", Span.of(hours=1.5)),
        ("300ms", Span.of(ms=300)),
        ("-1m", Span.of(minutes=-1)),
        ("1.5s", Span.of(seconds=1.5)),
        (".5s", Span.of(ms=500)),
        ("1us", Span(1000)),
        ("1µs", Span(1000)),
        ("0", Span(0)),
        ("+2s", Span.of(seconds=2)),
        ("9999999999h", FOREVER),
    ],
)
def test_a_go_duration_is_read(text: str, span: Span) -> None:
    assert Span.parse(text) == span


@pytest.mark.parametrize("text", ["", "5", "m", "5x", "1h 30m", "--1m", "1.2.3s", "5M"])
def test_a_text_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="duration"):
        Span.parse(text)


@given(st.integers(-(10**17), 10**17))
def test_a_printed_span_is_read_back_exactly(nanoseconds: int) -> None:
    assert Span.parse(str(Span(nanoseconds))) == nanoseconds


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (300_000_000, "300ms"),
        (1_500_000_000, "1.5s"),
        (5 * 60 * 10**9, "5m0s"),
        (90 * 60 * 10**9, "1h30m0s"),
        (1500, "1.5µs"),
        (7, "7ns"),
    ],
)
def test_a_span_prints_as_go_prints_it(nanoseconds: int, text: str) -> None:
    assert str(Span(nanoseconds)) == text


def test_forever_can_be_added_to_a_date() -> None:
    assert (NOW + FOREVER.timedelta).year == 2126


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=0.5), "Less than a second ago"),
        (timedelta(seconds=1), "1 second ago"),
        (timedelta(seconds=59), "59 seconds ago"),
        (timedelta(seconds=90), "About a minute ago"),
        (timedelta(minutes=5), "5 minutes ago"),
        (timedelta(minutes=80), "About an hour ago"),
        (timedelta(hours=47), "47 hours ago"),
        (timedelta(days=13), "13 days ago"),
        (timedelta(days=20), "2 weeks ago"),
        (timedelta(days=100), "3 months ago"),
        (timedelta(days=800), "2 years ago"),
        (timedelta(minutes=-4), "4 minutes from now"),
    ],
)
def test_a_moment_is_told_as_ollama_tells_it(age: timedelta, text: str) -> None:
    assert relative_time(NOW - age, NOW) == text


def test_no_moment_is_never() -> None:
    assert relative_time(None, NOW) == "Never"

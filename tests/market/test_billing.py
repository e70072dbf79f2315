"""Windows of bills: whole stretches of the calendar, and the words in which they are asked for."""

from datetime import UTC, datetime, timedelta

import pytest

from puna.market.domain.billing import Bucket, InvalidWindow, Window, last, moment, window
from puna.market.domain.cards import (
    FLAVOURS,
    Region,
    Stock,
    data_center_of,
    maker_of,
    name_of,
    pool_of,
    region_of,
    stock_of,
)
from tests.market.lots import CARD, NOON


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("bucket", "begin", "end"),
    [
        (Bucket.HOUR, "2026-11-24T12:00", "2026-11-24T13:00"),
        (Bucket.DAY, "2026-11-24", "2026-11-25"),
        (Bucket.WEEK, "2026-11-23", "2026-11-30"),
        (Bucket.MONTH, "2026-11-01", "2026-12-01"),
        (Bucket.YEAR, "2026-01-01", "2027-01-01"),
    ],
)
def test_a_moment_lies_in_one_stretch_of_each_length(bucket: Bucket, begin: str, end: str) -> None:
    start = bucket.begin_of(NOON + timedelta(minutes=59))
    assert (start, bucket.end_of(start)) == (at(begin), at(end))


@pytest.mark.parametrize("bucket", list(Bucket))
def test_stretches_follow_each_other(bucket: Bucket) -> None:
    begin = bucket.begin_of(NOON)
    assert bucket.begin_of(bucket.end_of(begin)) == bucket.end_of(begin)
    assert bucket.of_line(bucket.end_of(begin)) == begin


def test_a_line_that_ends_at_midnight_belongs_to_the_day_before() -> None:
    assert Bucket.DAY.of_line(at("2026-11-24T00:00")) == at("2026-11-23T00:00")


@pytest.mark.parametrize(
    ("start", "end", "bucket", "expected"),
    [
        ("2026-11-23T10:15", "2026-11-24T10:15", Bucket.DAY, ("2026-11-23", "2026-11-25")),
        ("2026-11-23", "2026-11-24", Bucket.DAY, ("2026-11-23", "2026-11-24")),
        ("2026-11-23T10:15", "2026-11-23T10:16", Bucket.HOUR, ("2026-11-23T10", "2026-11-23T11")),
        ("2026-12-31", "2027-01-02", Bucket.MONTH, ("2026-12-01", "2027-02-01")),
    ],
)
def test_windows_are_widened_to_whole_stretches(
    start: str, end: str, bucket: Bucket, expected: tuple[str, str]
) -> None:
    found = window(at(start), at(end), bucket)
    assert found == Window(at(expected[0]), at(expected[1]))


def test_the_last_stretches_have_the_present_one_among_them() -> None:
    assert last(3, Bucket.DAY, NOON) == Window(at("2026-11-22"), at("2026-11-25"))
    assert last(2, Bucket.MONTH, at("2026-03-31")) == Window(at("2026-02-01"), at("2026-04-01"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: window(NOON, NOON, Bucket.DAY),
        lambda: window(NOON - timedelta(days=9000), NOON, Bucket.HOUR),
        lambda: last(0, Bucket.DAY, NOON),
        lambda: last(10**6, Bucket.DAY, NOON),
        lambda: moment("soon", NOON),
    ],
)
def test_windows_that_make_no_sense_are_refused(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(InvalidWindow):
        ask()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", NOON),
        ("now", NOON),
        ("-30d", NOON - timedelta(days=30)),
        ("-6h", NOON - timedelta(hours=6)),
        ("-2w", NOON - timedelta(days=14)),
        ("2026-11-24T12:00:00Z", NOON),
        ("2026-11-24T13:00:00+01:00", NOON),
        ("2026-11-23", at("2026-11-23")),
    ],
)
def test_times_are_read_as_people_write_them(text: str, found: datetime) -> None:
    assert moment(text, NOON) == found


@pytest.mark.parametrize(
    ("card", "name", "maker", "pool"),
    [
        (CARD, "RTX 4090", "NVIDIA", "ADA_24"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada", "NVIDIA", "ADA_48_PRO"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM", "NVIDIA", "ADA_80_PRO"),
        ("AMD Instinct MI300X OAM", "MI300X", "AMD", None),
        ("Tesla V100-PCIE-16GB", "Tesla V100", "NVIDIA", None),
        ("A card of one's own", "A card of one's own", "UNKNOWN", None),
    ],
)
def test_cards_have_the_names_that_runpod_gives_them(
    card: str, name: str, maker: str, pool: str | None
) -> None:
    assert (name_of(card), maker_of(card), pool_of(card)) == (name, maker, pool)


def test_the_world_is_divided_as_runpod_divides_it() -> None:
    found = [(region_of(each), data_center_of(each)) for each in ("PL", "US", "JP", "ZZ")]
    assert found == [
        (Region.EUROPE, "EU-PL-1"),
        (Region.NORTH_AMERICA, "US-1"),
        (Region.ASIA, "AP-JP-1"),
        (Region.UNKNOWN, ""),
    ]


def test_stock_is_told_in_four_words() -> None:
    assert [stock_of(places) for places in (-1, 0, 1, 3, 10)] == [
        Stock.NONE,
        Stock.NONE,
        Stock.LOW,
        Stock.MEDIUM,
        Stock.HIGH,
    ]
    assert FLAVOURS["cpu3g"].gb_per_processor == 4

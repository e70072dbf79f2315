"""What cards cost by the hour and hosted models by the token: a dated list, and the user's over it.

Prices are older than the day on which somebody reads them, and most come from pages that vendors
write. So every row carries its source, every source its day, and whoever prints a price prints its
age. A row of the user's file replaces the shipped row of the same name.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from puna.errors import Invalid
from puna.units import Money, Size, Span

_T = TypeVar("_T")
_FILE = "prices.toml"
_FRESH_DAYS = 60
_PERCENT = 100
_YOURS = "your price file"
_NOTHING = Money(0)
_TICK, _BOOT = Span.of(seconds=1), Span.of(minutes=3)
_DISK = Money(100_000)


class BadPrices(Invalid):
    """A price file cannot be used; the message says which row of it."""

    code = "bad_prices"


@dataclass(frozen=True, slots=True)
class PriceSource:
    """Where a figure was read, and on which day; None if the page has no day."""

    about: str
    day: date | None
    is_live: bool = False
    """Whether it was asked for just now."""

    def is_stale(self, today: date) -> bool:
        """Whether it is older than 60 days, or of no day that anybody knows."""
        return self.day is None or (today - self.day).days > _FRESH_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Tokens a second of a card, all rows together, with a model of so many parameters."""

    prompt: int
    generate: int
    parameters: int
    source: PriceSource


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPrice:
    """A card that can be rented by the hour."""

    name: str
    memory: Size
    hour: Money
    source: PriceSource
    speed: Speed
    tick: Span = _TICK
    minimum: Money = _NOTHING
    boot: Span = _BOOT
    disk: Money = _DISK
    """A gigabyte for a month."""
    egress: Money = _NOTHING
    """A gigabyte that leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedPrice:
    """A hosted model, whose prices are for a million tokens."""

    name: str
    input: Money
    output: Money
    source: PriceSource
    cached: Money | None = None
    """Input that the service remembers; None where it remembers nothing or does not say."""
    cache_from: int = 0
    batch: int | None = None
    """Percent of the price that the batch service takes; None where there is none."""
    request: Money = _NOTHING
    """The least that a request costs."""


@dataclass(frozen=True, slots=True)
class Electricity:
    """What this machine draws, and what a kilowatt-hour costs; zero where nobody said."""

    watts: int = 0
    kwh: Money = _NOTHING


_UNMETERED = Electricity()


@dataclass(frozen=True, slots=True)
class PriceList:
    """All prices."""

    cards: tuple[CardPrice, ...]
    hosted: tuple[HostedPrice, ...]
    here: Electricity = _UNMETERED

    def merged(self, own: "PriceList") -> "PriceList":
        """Return this list with the rows of `own` in place of those of the same name."""
        return PriceList(
            tuple(({each.name: each for each in (*self.cards, *own.cards)}).values()),
            tuple(({each.name: each for each in (*self.hosted, *own.hosted)}).values()),
            own.here if own.here != _UNMETERED else self.here,
        )


@cache
def shipped_prices() -> PriceList:
    """Return the list that is shipped with puna. Raises `BadPrices`."""
    text = files("puna.batch").joinpath(_FILE).read_text(encoding="utf-8")
    return parse_prices(text, "puna's price file")


def load_prices(own: Path | None = None) -> PriceList:
    """Return the shipped list with the user's file over it. Raises `BadPrices`."""
    if own is None:
        return shipped_prices()
    try:
        text = own.read_text(encoding="utf-8")
        day = date.fromtimestamp(own.stat().st_mtime)  # noqa: DTZ012 - the day on the user's calendar
    except (OSError, UnicodeDecodeError) as error:
        raise BadPrices(f"price file {own} cannot be read: {error}") from error
    yours = PriceSource(f"{_YOURS} {own.name}", day)
    return shipped_prices().merged(parse_prices(text, f"price file {own}", default=yours))


def parse_prices(text: str, where: str, default: PriceSource | None = None) -> PriceList:
    """Read a list; rows without a source have the default. Raises `BadPrices`, naming the row."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadPrices(f"{where} cannot be read: {error}") from error
    _Row(table, where).check({"sources", "card", "hosted", "here"})
    sources = {
        name: _source(_Row(_table(row, f"{where}: sources.{name}"), f"{where}: sources.{name}"))
        for name, row in _table(table.get("sources", {}), f"{where}: sources").items()
    }
    cards, hosted = (_rows(table, name, where) for name in ("card", "hosted"))
    here = _Row(_table(table.get("here", {}), f"{where}: here"), f"{where}: here")
    return PriceList(
        _named([_card(row, sources, default) for row in cards], where),
        _named([_hosted(row, sources, default) for row in hosted], where),
        _electricity(here),
    )


def _source(row: "_Row") -> PriceSource:
    row.check({"about", "date"})
    day = row.value("date", date) if "date" in row.fields else None
    return PriceSource(row.value("about", str), day)


def _card(
    row: "_Row", sources: Mapping[str, PriceSource], default: PriceSource | None
) -> CardPrice:
    row.check(
        {"name", "memory", "hour", "source", "prompt", "generate", "parameters", "speed"}
        | {"tick", "minimum", "boot", "disk", "egress"}
    )
    source = row.source("source", sources, default)
    speed = Speed(
        prompt=row.count("prompt"),
        generate=row.count("generate"),
        parameters=row.count("parameters"),
        source=row.source("speed", sources, default),
    )
    return CardPrice(
        name=row.value("name", str),
        memory=row.parsed("memory", Size.parse),
        hour=row.money("hour"),
        source=source,
        speed=speed,
        tick=row.parsed("tick", _span) if "tick" in row.fields else _TICK,
        boot=row.parsed("boot", _span) if "boot" in row.fields else _BOOT,
        minimum=row.money("minimum", _NOTHING),
        disk=row.money("disk", _DISK),
        egress=row.money("egress", _NOTHING),
    )


def _hosted(
    row: "_Row", sources: Mapping[str, PriceSource], default: PriceSource | None
) -> HostedPrice:
    row.check(
        {"name", "input", "output", "cached", "cache_from", "batch", "request", "source"},
    )
    batch = row.count("batch") if "batch" in row.fields else None
    if batch is not None and batch > _PERCENT:
        raise row.wrong("batch", f"{batch} is more than 100 percent")
    return HostedPrice(
        name=row.value("name", str),
        input=row.money("input"),
        output=row.money("output"),
        source=row.source("source", sources, default),
        cached=row.money("cached") if "cached" in row.fields else None,
        cache_from=row.count("cache_from") if "cache_from" in row.fields else 0,
        batch=batch,
        request=row.money("request", _NOTHING),
    )


def _electricity(row: "_Row") -> Electricity:
    row.check({"watts", "kwh"})
    if not row.fields:
        return _UNMETERED
    return Electricity(row.count("watts"), row.money("kwh"))


class _Row:
    """One table of the file: reads its values, and knows what to call itself when one is wrong."""

    def __init__(self, fields: Mapping[str, object], where: str) -> None:
        self.fields = fields
        self.where = where

    def wrong(self, name: str, why: str) -> BadPrices:
        return BadPrices(f"{self.where}: {name}: {why}")

    def check(self, known: set[str]) -> None:
        if unknown := sorted(self.fields.keys() - known):
            raise BadPrices(
                f"{self.where}: unknown word {unknown[0]}",
                hint=f"the words are {', '.join(sorted(known))}",
            )

    def value(self, name: str, kind: type[_T]) -> _T:
        if name not in self.fields:
            raise self.wrong(name, "missing")
        value = self.fields[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(name, f"{value!r} is not of the type {kind.__name__}")
        return value

    def count(self, name: str) -> int:
        value = self.fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise self.wrong(name, "missing" if value is None else f"{value!r} is not above zero")
        return int(value)

    def parsed(self, name: str, parse: Callable[[str], _T]) -> _T:
        try:
            return parse(self.value(name, str))
        except Invalid as error:
            if isinstance(error, BadPrices):
                raise
            raise self.wrong(name, error.message) from error

    def money(self, name: str, default: Money | None = None) -> Money:
        if default is not None and name not in self.fields:
            return default
        amount = self.parsed(name, Money.parse)
        if amount < 0:
            raise self.wrong(name, f"{amount} is below zero")
        return amount

    def source(
        self, name: str, sources: Mapping[str, PriceSource], default: PriceSource | None
    ) -> PriceSource:
        if name not in self.fields and default is not None:
            return default
        word = self.value(name, str)
        if word not in sources:
            raise self.wrong(name, f'"{word}" is none of the sources')
        return sources[word]


def _span(text: str) -> Span:
    span = Span.parse(text)
    if span <= 0:
        raise Invalid(f"{text} is not above zero")
    return span


def _rows(table: Mapping[str, object], name: str, where: str) -> list[_Row]:
    rows = table.get(name, [])
    if not isinstance(rows, list):
        raise BadPrices(f"{where}: {name} is not a list", hint=f"begin a row with [[{name}]]")
    found = []
    for number, row in enumerate(rows, start=1):
        place = f"{where}: {name} {number}"
        fields = _table(row, place)
        found.append(_Row(fields, f"{place} ({fields['name']})" if "name" in fields else place))
    return found


def _table(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise BadPrices(f"{where} is not a table")
    return value


_Priced = TypeVar("_Priced", CardPrice, HostedPrice)


def _named(rows: Sequence[_Priced], where: str) -> tuple[_Priced, ...]:
    names = [row.name for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise BadPrices(f'{where}: "{name}" stands there twice')
    return tuple(rows)

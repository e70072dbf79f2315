"""What a cloud tells, as values: read leniently, since it may be RunPod or a newer market."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields as fields_of
from datetime import datetime
from typing import Any, TypeVar

from puna.errors import Invalid
from puna.node.replies import Fields
from puna.units import Money, Span

Kind = TypeVar("Kind")
_NOTHING = Money(0)


def money_in(fields: Fields, name: str) -> Money:
    """Return money that is a decimal string or RunPod's number of dollars; nothing if it is none.

    A number is rounded to a micro-dollar, which is more than any price has.
    """
    value = fields.values.get(name)
    if isinstance(value, str):
        try:
            return Money.parse(value)
        except Invalid:
            return _NOTHING
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**9:
        return Money(round(value * 10**6))
    return _NOTHING


def _maybe(fields: Fields, name: str) -> Money | None:
    return money_in(fields, name) if fields.values.get(name) is not None else None


def _span(fields: Fields, name: str) -> Span:
    value = fields.values.get(name)
    return Span.of(seconds=value if isinstance(value, int | float) else 0)


_READERS: Mapping[Any, Callable[[Fields, str], Any]] = {
    str: Fields.text,
    int: Fields.whole,
    bool: Fields.flag,
    Money: money_in,
    Money | None: _maybe,
    datetime | None: Fields.moment,
    tuple[str, ...]: Fields.texts,
}


def read(kind: type[Kind], fields: Fields, **more: object) -> Kind:
    """Return a value whose fields have the wire's names in our manner; `more` are read already."""
    found: dict[str, object] = dict(more)
    for each in fields_of(kind):  # type: ignore[arg-type]
        if each.name not in found:
            head, *rest = each.name.split("_")
            found[each.name] = _READERS[each.type](fields, head + "".join(map(str.title, rest)))
    return kind(**found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An account and its money. RunPod tells neither balance nor what is held."""

    email: str = ""
    may_write: bool = True
    balance: Money | None = None
    held: Money = _NOTHING
    an_hour: Money = _NOTHING
    lasts: Span | None = None
    pods: int = 0
    running: int = 0
    domain: str = ""

    @classmethod
    def of(cls, fields: Fields) -> "Standing":
        """Read `/v2/puna/account`."""
        name = "runwaySeconds"
        lasts = None if fields.values.get(name) is None else _span(fields, name)
        return read(cls, fields, lasts=lasts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card of the catalog. Prices are the lowest, for one card and hour."""

    id: str
    name: str
    memory: int
    """In gigabytes."""
    secure: Money | None
    community: Money | None
    availability: str

    @classmethod
    def of(cls, fields: Fields) -> "Card":
        """Read one of `/v2/catalog/gpus`."""
        price = fields.fields("price")
        prices = {each: _maybe(price, each) for each in ("secure", "community")}
        return read(cls, fields, **prices)

    def price_in(self, cloud: str) -> Money | None:
        """Return its price in a cloud, in the cheaper one if none is named."""
        if cloud:
            return self.secure if cloud == "SECURE" else self.community
        return min((each for each in (self.secure, self.community) if each), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A machine that does."""

    host: str
    name: str
    cards: int
    card_memory_gb: int
    processors: int
    memory_gb: int
    country: str
    cloud: str
    on_demand: Money
    spot: Money | None
    an_hour: Money
    free: int
    within_reach: int
    displaces: int


@dataclass(frozen=True, slots=True)
class Offers:
    """All machines that do, the cheapest first, and why each other one does not."""

    offers: tuple[Offer, ...]
    why_by_host: Mapping[str, str]

    @property
    def refused(self) -> Mapping[str, int]:
        """How many do not do for each reason."""
        return Counter(self.why_by_host.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudPod:
    """A pod as its renter sees it. What only puna tells is empty from RunPod."""

    id: str
    name: str
    status: str
    actions: tuple[str, ...]
    image: str
    card: str
    count: int
    cost: Money
    """For an hour, as it is now."""
    created_at: datetime | None
    ports: tuple[str, ...]
    urls: Mapping[str, str]
    ssh: Fields
    extras: Fields
    """What puna's markets add."""

    @classmethod
    def of(cls, fields: Fields) -> "CloudPod":
        """Read one of `/v2/pods`."""
        extras, gpu, cpu = (fields.fields(name) for name in ("puna", "gpu", "cpu"))
        ssh = fields.fields("ssh")
        return read(
            cls,
            fields,
            card=gpu.text("id") or cpu.text("id"),
            count=gpu.whole("count") or cpu.whole("vcpuCount"),
            urls={port: str(url) for port, url in extras.fields("urls").values.items()},
            ssh=ssh.fields("proxy") if ssh.fields("proxy").values else ssh.fields("direct"),
            extras=extras,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Happenings:
    """What is new with a pod: when, and what."""

    lines: tuple[tuple[datetime | None, str], ...]
    after: str
    status: str
    runs: bool
    is_gone: bool
    an_hour: Money
    spent: Money

    @classmethod
    def of(cls, fields: Fields) -> "Happenings":
        """Read `/v2/puna/pods/ID/events`."""
        lines = tuple((each.moment("at"), each.text("text")) for each in fields.each("events"))
        return read(cls, fields, lines=lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one day, pod, project, key or card came to."""

    id: str
    name: str
    amount: Money
    cards: Money = _NOTHING
    processors: Money = _NOTHING
    disk: Money = _NOTHING
    span: Span = Span(0)  # noqa: RUF009 - an integer

    @classmethod
    def of(cls, fields: Fields) -> "Spent":
        """Read a row of `/v2/puna/spend`."""
        name = fields.text("name") or fields.text("id")
        return read(cls, fields, name=name, span=_span(fields, "seconds"))


@dataclass(frozen=True, slots=True)
class Spend:
    """What things came to in a window, and all together."""

    rows: tuple[Spent, ...]
    total: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A budget and how it stands."""

    id: str
    scope: str
    owner: str
    period: str
    limit: Money
    charged: Money
    held: Money
    left: Money

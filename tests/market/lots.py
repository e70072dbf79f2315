"""Small valid hosts, tenants and demands, with overrides."""

from dataclasses import replace
from datetime import UTC, datetime

from puna.market.domain.hosts import Cloud, Host, Machine, Room, Tenant, Tenure, Terms
from puna.market.domain.placement import Demand
from puna.units import Money, Size

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
GB = 10**9
CARD = "NVIDIA GeForce RTX 4090"


def a_machine(**changes: object) -> Machine:
    machine = Machine(
        card=CARD,
        cards=2,
        card_memory=Size(24 * GB),
        processors=16,
        memory=Size(64 * GB),
        disk=Size(500 * GB),
        country="PL",
        down_mbps=500,
        up_mbps=100,
        disk_mbps=1000,
        cuda=(12, 8),
        data_center="EU-PL-1",
    )
    return replace(machine, **changes)  # type: ignore[arg-type]


def some_terms(price: str = "0.40", bid: str | None = "0.10", **changes: object) -> Terms:
    terms = Terms(price=Money.parse(price), least_bid=Money.parse(bid) if bid else None)
    return replace(terms, **changes)  # type: ignore[arg-type]


def a_host(name: str = "h1", **changes: object) -> Host:
    host = Host(
        id=name,
        owner="owner",
        cloud=Cloud.COMMUNITY,
        machine=a_machine(),
        terms=some_terms(),
        seen=NOON,
    )
    return replace(host, **changes)  # type: ignore[arg-type]


def some_room(cards: int = 1, *, processors: int = 4, memory: int = 16, disk: int = 20) -> Room:
    return Room(cards=cards, processors=processors, memory=Size(memory * GB), disk=Size(disk * GB))


def a_tenant(pod: str, *, bid: str | None = None, cards: int = 1) -> Tenant:
    return Tenant(
        pod=pod,
        tenure=Tenure.ON_DEMAND if bid is None else Tenure.SPOT,
        bid=Money.parse(bid or "0.40"),
        takes=some_room(cards),
        since=NOON,
    )


def a_demand(count: int = 1, /, **changes: object) -> Demand:
    return replace(Demand(takes=some_room(count)), **changes)  # type: ignore[arg-type]


def a_bid(amount: str, cards: int = 1) -> Demand:
    return a_demand(cards, tenure=Tenure.SPOT, bid=Money.parse(amount))

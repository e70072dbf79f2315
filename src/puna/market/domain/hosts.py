"""What a machine offers: its cards, what surrounds them, its prices and its owner's conditions."""

from dataclasses import dataclass, replace
from datetime import datetime, time
from enum import StrEnum

from puna.units import Money, Size, Span

STALE_AFTER = Span.of(seconds=45)
"""A host that has shown nothing for so long gets no new pod."""


class Cloud(StrEnum):
    """Who vouches for the machine: its data centre, or its owner alone."""

    SECURE = "SECURE"
    COMMUNITY = "COMMUNITY"


class Tenure(StrEnum):
    """What a renter pays for: a card that nobody takes away, or one that a higher bid may."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a host has. Rates are in megabits a second, `disk_mbps` in megabytes."""

    card: str
    """The card's model in RunPod's words, such as `NVIDIA GeForce RTX 4090`; empty without one."""
    cards: int
    card_memory: Size
    processors: int
    memory: Size
    disk: Size
    country: str
    down_mbps: int = 0
    up_mbps: int = 0
    disk_mbps: int = 0
    cuda: tuple[int, int] = (0, 0)
    has_public_ip: bool = False
    public_ip: str = ""
    runtimes: tuple[str, ...] = ("runc",)
    data_center: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the owner asks. Prices are for one card and hour (one processor where there is none)."""

    price: Money
    least_bid: Money | None = None
    """None refuses spot."""
    opens: time | None = None
    closes: time | None = None
    """Hours in UTC in which pods may begin; both or neither. They may span midnight."""
    is_paused: bool = False

    def is_open(self, now: datetime) -> bool:
        """Whether a pod may begin now."""
        if self.is_paused:
            return False
        if self.opens is None or self.closes is None or self.opens == self.closes:
            return True
        moment = now.time()
        if self.opens < self.closes:
            return self.opens <= moment < self.closes
        return moment >= self.opens or moment < self.closes


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What of a machine is not taken."""

    cards: int
    processors: int
    memory: Size
    disk: Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A pod on a host, as placement sees it."""

    pod: str
    tenure: Tenure
    bid: Money
    """For one card and hour."""
    takes: Room
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine that somebody lends."""

    id: str
    owner: str
    cloud: Cloud
    machine: Machine
    terms: Terms
    seen: datetime
    tenants: tuple[Tenant, ...] = ()
    is_draining: bool = False
    """It gets no new pod: the operator or the owner wants it empty."""
    turn: int = 0
    """Counts who has come to it: what was decided on these tenants holds while it stands."""

    @property
    def free(self) -> Room:
        """What nobody has taken."""
        return self.free_without(())

    def free_without(self, leaving: tuple[str, ...]) -> Room:
        """Return what nobody has taken once the pods `leaving` are gone."""
        machine = self.machine
        cards, processors = machine.cards, machine.processors
        memory, disk = int(machine.memory), int(machine.disk)
        for each in self.tenants:  # of every host that is looked at
            if each.pod not in leaving:
                takes = each.takes
                cards -= takes.cards
                processors -= takes.processors
                memory -= takes.memory
                disk -= takes.disk
        return Room(cards=cards, processors=processors, memory=Size(memory), disk=Size(disk))

    def without(self, pod: str) -> "Host":
        """Return the host as it is without a pod."""
        return replace(self, tenants=tuple(each for each in self.tenants if each.pod != pod))

    def is_fresh(self, now: datetime) -> bool:
        """Whether it has been seen lately."""
        return now - self.seen <= STALE_AFTER.timedelta

"""A pod as every dialect tells of it: what is known, put together and worked out once.

The database knows what was asked for, what is wanted and what was seen. RunPod's dialects ask for
what follows from these: an hourly cost, an uptime, open ports, a sentence on the last change. It is
worked out here and only written down differently in `rest_v2`, `rest_v1` and GraphQL.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from puna.market.db import ledger
from puna.market.db.database import Transaction
from puna.market.db.hosts import Site, sites_of
from puna.market.db.pods import Pod, pods_of
from puna.market.domain.cards import name_of
from puna.market.domain.doors import Doors
from puna.market.domain.hosts import Machine, Tenure
from puna.market.domain.metering import RUNPODS_STORAGE, rates
from puna.market.domain.pods import Action, Desired, Observed, Status
from puna.market.market import Market
from puna.units import Money
from puna.wire.agent import CardUse, UseReport

_LATELY = timedelta(minutes=2)
_GB = 10**9
_PAGE = 200
_NOTHING = Money(0)
_INTENT: Mapping[Desired, str] = {
    Desired.RUN: "RUNNING",
    Desired.STOP: "EXITED",
    Desired.TERMINATE: "TERMINATED",
}

_PROGRESS: Mapping[Observed, str] = {
    Observed.ABSENT: "waits for its host",
    Observed.PULLING: "pulls its image",
    Observed.CREATED: "starts its container",
}


@dataclass(frozen=True, slots=True)
class OpenPort:
    """A port of a pod. `outside` and `ip` are known while it is open on its host."""

    inside: int
    kind: str
    """`http` or `tcp`."""
    outside: int | None = None
    ip: str = ""

    @property
    def is_public(self) -> bool:
        """Whether it can be reached past the market."""
        return bool(self.ip) and self.outside is not None and self.kind == "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """A pod with what surrounds it."""

    pod: Pod
    site: Site | None
    held: Money
    doors: Doors
    now: datetime

    @property
    def status(self) -> Status:
        """What is seen of it, in the words of RunPod's version 2."""
        return self.pod.state.status

    @property
    def actions(self) -> tuple[Action, ...]:
        """What may be asked for now."""
        return self.pod.state.actions

    @property
    def intent(self) -> str:
        """What is wanted of it: `desiredStatus` of version 1 and GraphQL."""
        return _INTENT[self.pod.state.desired]

    @property
    def machine(self) -> Machine | None:
        """The machine that it is on."""
        return self.site.machine if self.site else None

    @property
    def is_running(self) -> bool:
        """Whether its container runs."""
        return self.status is Status.RUNNING

    @property
    def uptime_s(self) -> int:
        """How long its container has been running; 0 if it does not."""
        if not self.is_running or self.pod.started is None:
            return 0
        return max(0, int((self.now - self.pod.started).total_seconds()))

    @property
    def use(self) -> UseReport | None:
        """What it uses, as its host told lately; None where that is not known."""
        if self.site is None or not self.is_running or self.now - self.site.seen > _LATELY:
            return None
        return self.site.uses.get(self.pod.id)

    @property
    def card_uses(self) -> Sequence[CardUse | None]:
        """What each of its cards does; None of those whose driver does not tell."""
        known = self.use.cards if self.use else ()
        return known if len(known) == self.pod.spec.cards else [None] * self.pod.spec.cards

    @property
    def units(self) -> int:
        """What its price is for: cards, or processors where it has none."""
        return self.pod.spec.cards or self.pod.spec.processors

    @property
    def rate(self) -> Money:
        """What an hour of its cards (or processors) costs while it runs."""
        return Money(self.pod.price * self.units)

    @property
    def cost(self) -> Money:
        """The same, and nothing while it is stopped."""
        return self.rate if self.pod.state.desired is Desired.RUN else _NOTHING

    @property
    def an_hour(self) -> Money:
        """What an hour of it costs as it is now, with what is stored."""
        if self.pod.state.desired is Desired.TERMINATE:
            return _NOTHING
        runs = self.pod.state.desired is Desired.RUN
        each = rates(self.pod.spec.footprint, self.pod.price, RUNPODS_STORAGE, runs=runs)
        return Money(sum(rate.an_hour for rate in each))

    @property
    def card(self) -> str:
        """The card that it has; before it has one, the first that it asks for."""
        if not self.pod.spec.cards:
            return ""
        if self.machine and self.machine.card:
            return self.machine.card
        return next(iter(self.pod.spec.card_models), "")

    @property
    def card_name(self) -> str:
        """What people call the card."""
        return name_of(self.card)

    @property
    def data_center(self) -> str | None:
        """Where its machine stands."""
        return self.machine.data_center or None if self.machine else None

    @property
    def cuda(self) -> str | None:
        """The version of CUDA of its machine."""
        if not self.machine or not any(self.machine.cuda):
            return None
        return ".".join(map(str, self.machine.cuda))

    @property
    def public_ip(self) -> str:
        """The address of its machine, while it runs on one that has a public one."""
        return self.machine.public_ip if self.machine and self.is_running else ""

    @property
    def open_ports(self) -> tuple[OpenPort, ...]:
        """Its ports, with where they are open while it runs."""
        found = []
        for port in self.pod.spec.ports:
            number, _, kind = port.partition("/")
            outside = self.pod.ports.get(number) if self.is_running else None
            found.append(OpenPort(int(number), kind, outside, self.public_ip if outside else ""))
        return tuple(found)

    @property
    def urls(self) -> Mapping[str, str]:
        """Where its HTTP ports are seen through the market, by their numbers."""
        return {
            str(port.inside): self.doors.url_of(self.pod.id, port.inside)
            for port in self.open_ports
            if port.kind == "http"
        }

    @property
    def progress(self) -> str:
        """What goes on while it is not running yet; empty afterwards."""
        if self.status is Status.PROVISIONING:
            return "looks for a host"
        if self.status is not Status.STARTING:
            return ""
        return self.pod.reason or _PROGRESS.get(self.pod.state.observed, "starts")

    @property
    def host_id(self) -> str:
        """RunPod's `podHostId`, by which its clients build SSH names."""
        digest = hashlib.sha256(f"{self.pod.id}:{self.pod.host}".encode()).hexdigest()
        return f"{self.pod.id}-{digest[:8]}"

    @property
    def last_change(self) -> str:
        """One sentence on what happened last to what is wanted, in RunPod's words."""
        return f"{self._happened}: {_long_date(self.pod.changed)}"

    @property
    def _happened(self) -> str:
        state, reason = self.pod.state, self.pod.reason
        if state.desired is Desired.RUN:
            return "Rented by User" if state.run == 1 else "Resumed by User"
        ended = "Exited" if state.desired is Desired.STOP else "Terminated"
        if not reason:
            return f"{ended} by User"
        return "Outbid" if reason == "outbid" else f"{ended} by Runpod ({reason})"

    @property
    def is_spot(self) -> bool:
        """Whether a higher bid may take its place."""
        return self.pod.spec.tenure is Tenure.SPOT


def doors_of(market: Market) -> Doors:
    """Return how a market is reached."""
    settings = market.settings
    ssh = settings.ssh_door
    return Doors(url=settings.url, domain=settings.domain, ssh_host=ssh.host, ssh_port=ssh.port)


async def facts_of(tx: Transaction, market: Market, pods: Sequence[Pod]) -> Sequence[PodFacts]:
    """Return what is to be told of pods, in their order: two questions, however many there are."""
    sites = await sites_of(tx, {each.host for each in pods if each.host is not None})
    books = {each.id: ledger.escrow(each.id) for each in pods}
    held = await ledger.balances_of(tx, list(books.values())) if books else {}
    doors, now = doors_of(market), market.world.now()
    return [
        PodFacts(
            pod=each,
            site=sites.get(each.host or ""),
            held=held.get(books[each.id], _NOTHING),
            doors=doors,
            now=now,
        )
        for each in pods
    ]


async def fact_of(tx: Transaction, market: Market, pod: Pod) -> PodFacts:
    """Return what is to be told of one pod."""
    (found,) = await facts_of(tx, market, [pod])
    return found


async def all_facts(
    tx: Transaction, market: Market, account: str, *, rows: int = _PAGE
) -> Sequence[PodFacts]:
    """Return what is to be told of every pod of an account, read in pages."""
    found: list[PodFacts] = []
    after = ""
    while True:
        page = await pods_of(tx, account, after=after, limit=rows)
        found += await facts_of(tx, market, page)
        if len(page) < rows:
            return found
        after = page[-1].id


def _long_date(moment: datetime) -> str:
    """Write a moment as JavaScript does, which RunPod's clients take apart."""
    text = moment.astimezone(UTC).strftime("%a %b %d %Y %H:%M:%S")
    return f"{text} GMT+0000 (Coordinated Universal Time)"

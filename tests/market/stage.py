"""A whole market in one process: a real database, a world that the test owns, faithful hosts."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from puna.market.actions.accounts import (
    grant_credit,
    identify,
    make_join_token,
    make_key,
    open_account,
)
from puna.market.actions.editing import PodChange, edit_pod
from puna.market.actions.hosting import Office, join, take_report
from puna.market.actions.orders import Dispatch
from puna.market.actions.renting import Wish, act_on_pod, rent_pod
from puna.market.db import bills, ledger, pods
from puna.market.db.accounts import Caller
from puna.market.db.database import Database, Transaction
from puna.market.db.pods import Pod
from puna.market.db.sealing import Seal
from puna.market.domain.hosts import Cloud
from puna.market.domain.ledger import Book, BookKind
from puna.market.domain.pods import Action, Status
from puna.market.domain.rules import Rules
from puna.market.domain.specs import PodSpec
from puna.market.loops.check_promises import check_promises
from puna.market.loops.enforce_limits import enforce_limits
from puna.market.loops.expire_hosts import expire_hosts
from puna.market.loops.meter_usage import Tariff, meter_usage
from puna.market.loops.place_pods import place_pods
from puna.units import Money, Span
from puna.wire.agent import (
    Join,
    MachineReport,
    Orders,
    PodOrder,
    PodReport,
    PortReport,
    Report,
    TermsReport,
)
from tests.market.instant import instant_database
from tests.market.lots import CARD, GB
from tests.worlds import FakeWorld

SEAL = Seal(bytes(32))
PATIENT = Rules(away_after=timedelta(days=30))
"""Whoever lets hours pass at once misses no report by it."""
TICK = Span.of(minutes=1)
SPEC = PodSpec(image="img", cards=1, card_models=(CARD,), disk_gb=20)
MACHINE = MachineReport(
    card=CARD, cards=2, card_memory=24 * GB, processors=16, memory=64 * GB, disk=500 * GB
)
TERMS = TermsReport(price=360_000, least_bid=100_000)
"""36 cents an hour: a hundredth of a cent a second."""


class Clock(Protocol):
    """What tells a host's agent the market's time."""

    def now(self) -> datetime:
        """Return it."""


@dataclass
class FakeHost:
    """A host whose containers do at once what they are told; `does` says otherwise of a pod."""

    id: str
    key: str
    owner: str
    machine: MachineReport
    terms: TermsReport
    sequence: int = 0
    shown: dict[str, PodReport] = field(default_factory=dict)
    does: dict[str, str] = field(default_factory=dict)
    opens: dict[str, dict[int, int]] = field(default_factory=dict)
    """Where it opens the ports of a pod."""
    orders: Orders = field(default_factory=lambda: Orders(version=""))

    def obey(self, clock: Clock) -> None:
        told = {order.pod for order in self.orders.pods}
        self.shown = {pod: report for pod, report in self.shown.items() if pod in told}
        for order in self.orders.pods:
            self.shown[order.pod] = self._after(order, self.shown.get(order.pod), clock.now())

    def _after(self, order: PodOrder, before: PodReport | None, now: datetime) -> PodReport:
        if order.pod in self.does:
            does = self.does[order.pod]
            return PodReport(pod=order.pod, run=order.run, observed=does, reason="as the test says")
        if order.want == "run" and (order.paid_until is None or now < order.paid_until):
            if before and before.observed == "running" and before.run == order.run:
                return before
            opened = self.opens.get(order.pod, {}).items()
            ports = [PortReport(inside=inside, outside=outside) for inside, outside in opened]
            return PodReport(
                pod=order.pod, run=order.run, observed="running", started=now, ports=ports
            )
        observed = "absent" if order.want == "terminate" else "exited"
        ended = min(now, order.paid_until or now)
        if before and before.observed == "running":
            return before.model_copy(update={"observed": observed, "ended": ended})
        if before:
            return before.model_copy(update={"observed": observed})
        return PodReport(pod=order.pod, run=order.run, observed="absent")


@dataclass
class Stage:
    """The market, and those who use it."""

    database: Database
    world: FakeWorld
    hosts: list[FakeHost] = field(default_factory=list)
    tariff: Tariff = Tariff(tick=TICK, fee_share=1000, rules=PATIENT)  # noqa: RUF009 - frozen
    since: datetime | None = None
    """When the market's process began; None for long ago."""

    async def account(self, email: str, credit: str = "0") -> Caller:
        """Open an account with credit, and return it with a key."""
        async with self.database.transaction() as tx:
            account = await open_account(tx, self.world, email)
            made = await make_key(tx, self.world, account.id)
            if amount := Money.parse(credit):
                await grant_credit(tx, self.world, email, amount, key=email)
            return await identify(tx, self.world, made.secret)

    async def host(self, name: str = "box", **changes: object) -> FakeHost:
        """Let a machine of `owner@` join; the changes are of its machine and terms."""
        machine = MACHINE.model_copy(update=changes)
        terms = TERMS.model_copy(update=changes)
        owner = await self.account(f"{name}@example.org")
        async with self.database.transaction() as tx:
            token = await make_join_token(tx, self.world, owner.account.id, Cloud.COMMUNITY)
            request = Join(token=token, name=name, machine=machine, terms=terms)
            joined = await join(tx, self.world, request)
        host = FakeHost(joined.host, joined.key, owner.account.id, machine, terms)
        self.hosts.append(host)
        return host

    async def rent(self, caller: Caller, **changes: object) -> Pod:
        """Rent a pod with one card, changed as said."""
        project = str(changes.pop("project", ""))
        spec = replace(SPEC, **changes)  # type: ignore[arg-type]
        wish = Wish(name="mine", spec=spec, project=project)
        async with self.database.transaction() as tx:
            return await rent_pod(tx, self.world, caller, wish)

    async def act(self, caller: Caller, pod: Pod, action: Action) -> Pod:
        """Start, stop, restart or terminate."""
        async with self.database.transaction() as tx:
            return await act_on_pod(tx, self.world, caller, pod.id, action)

    async def edit(self, caller: Caller, pod: Pod, change: PodChange) -> Pod:
        """Change a pod."""
        async with self.database.transaction() as tx:
            return await edit_pod(tx, self.world, caller, pod.id, change)

    async def report(self, host: FakeHost, **changes: object) -> Orders:
        """Let a host do what it was told and report what it sees."""
        host.obey(self.world)
        host.sequence += 1
        report = Report(
            sequence=host.sequence,
            now=self.world.now(),
            machine=host.machine,
            terms=host.terms,
            pods=list(host.shown.values()),
        ).model_copy(update=changes)
        host.orders = await self.deliver(host, report)
        return host.orders

    async def deliver(self, host: FakeHost, report: Report) -> Orders:
        """Give the market a report, and return its answer; the host is not told."""
        async with self.database.transaction() as tx:
            return await take_report(tx, self.world, self.office, host.key, report)

    @property
    def turns(self) -> tuple[Callable[[], Awaitable[object]], ...]:
        """A turn of every loop of the market."""
        database, world, rules = self.database, self.world, self.tariff.rules
        return (
            partial(place_pods, database, world),
            partial(meter_usage, database, world, self.tariff),
            partial(enforce_limits, database, world, rules, since=self.since),
            partial(expire_hosts, database, world, rules, since=self.since),
        )

    async def take_turns(self) -> None:
        """Let every loop of the market take its turn."""
        for turn in self.turns:
            await turn()

    async def settle(self) -> Money:
        """Let the meters be read, and money be held."""
        return await meter_usage(self.database, self.world, self.tariff)

    @property
    def office(self) -> Office:
        """What reports are met with."""
        return Office(Dispatch(seal=SEAL), self.tariff.rules)

    async def broken(self) -> list[str]:
        """Return what is not as the market promises, in its own words."""
        found = await check_promises(self.database, self.world, thoroughly=True)
        return [each.text for each in found]

    async def tick(self, seconds: int = 60, *, times: int = 1) -> None:
        """Let time pass, hosts report, and every loop take its turn; then check the books."""
        for _ in range(times):
            await self.world.advance(Span.of(seconds=seconds))
            for host in self.hosts:
                await self.report(host)
            await self.take_turns()
            for host in self.hosts:
                await self.report(host)  # is told
                await self.report(host)  # and has done it
            assert await self.broken() == []

    async def look(self, pod: Pod) -> Pod:
        """Return a pod as it is now."""
        async with self.database.transaction() as tx:
            return await self.look_in(tx, pod)

    async def look_in(self, tx: Transaction, pod: Pod) -> Pod:
        """Return a pod as a transaction sees it."""
        found = await pods.pod_of(tx, pod.id)
        assert found is not None
        return found

    async def status(self, pod: Pod) -> Status:
        """Return what the renter sees."""
        return (await self.look(pod)).state.status

    async def balance(self, kind: BookKind, owner: str = "") -> Money:
        """Return what is in a book."""
        async with self.database.transaction() as tx:
            return await ledger.balance_of(tx, Book(kind, owner))

    async def log(self, pod: Pod) -> list[str]:
        """Return what was said of a pod."""
        async with self.database.transaction() as tx:
            return [text for _, text in await pods.said(tx, pod.id)]

    async def bill(self, caller: Caller) -> list[bills.BillLine]:
        """Return all lines of an account."""
        start = self.world.now() - timedelta(days=400)
        async with self.database.transaction() as tx:
            account = caller.account.id
            return list(await bills.bill_of(tx, account, start, self.world.now()))


@asynccontextmanager
async def a_market(folder: Path) -> AsyncIterator[Stage]:
    """Open a market over a file in `folder`."""
    database = instant_database(folder)
    try:
        yield Stage(database, FakeWorld())
    finally:
        await database.close()

"""A whole market under a seed: renters, hosts, a network and a database, and what must always hold.

A failing seed is a one-line repro, which the failure prints.
"""

import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from puna.errors import PunaError
from puna.market.actions.beginning import begin
from puna.market.actions.editing import PodChange
from puna.market.clock import SteadyWorld
from puna.market.db import bills, ledger, pods
from puna.market.db.accounts import Caller
from puna.market.db.database import Database, DatabaseAway, Transaction
from puna.market.db.hosts import hosts_for
from puna.market.db.pods import Pod
from puna.market.domain.budgets import Budget, Period, Scope
from puna.market.domain.ledger import FEE, Book, BookKind
from puna.market.domain.metering import Item
from puna.market.domain.pods import Action
from puna.market.domain.rules import Rules
from puna.units import Money
from tests.market.instant import MEMORY, instant_engine
from tests.market.stage import FakeHost, Stage, a_market
from tests.simulation.hosts import Machine, TrueHost
from tests.simulation.network import Crash, Network, survive
from tests.simulation.renters import Crowd
from tests.worlds import FakeWorld

TURNS = 8
CREDIT = 300_000
"""Not quite an hour of one card: who lets it run finds it used up."""
LIMIT = Money(60_000)
_NONE = timedelta(0)
_MOST_GAINED = timedelta(minutes=5)
"""What a host gains by lying about a run: the time between two reports, and the overrun."""
_ROUNDING = 8
"""Each of a pod's items is rounded by itself, once a run."""
_FOLLOWED = 2000
"""The market's time follows its machine's clock by one part in so many."""
_STEPS = [-86_400, -3_600, -90, -1, 1, 90, 3_600, 86_400, 8 * 86_400]
"""Seconds by which somebody sets a clock."""


class CrashingDatabase(Database):
    """Every so often a transaction does all its work and dies before it is kept."""

    dice: random.Random
    odds = 0
    is_away = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        self._check_is_there()
        async with super().transaction() as tx:
            yield tx
            if self.dice.randrange(100) < self.odds:
                raise Crash

    @asynccontextmanager
    async def reading(self, *, at_leisure: bool = False) -> AsyncIterator[Transaction]:
        self._check_is_there()
        async with super().reading(at_leisure=at_leisure) as tx:
            yield tx

    def _check_is_there(self) -> None:
        if self.is_away:
            raise DatabaseAway("the database does not answer")


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad this life is, drawn from the seed: some are calm, so that things get far."""

    crashes: int
    lost: int
    doubled: int
    late: int
    clock: timedelta
    has_liar: bool
    has_faults: bool = True

    @classmethod
    def of(cls, dice: random.Random) -> "Weather":
        if dice.random() < 0.2:
            return cls(0, 0, 0, 0, timedelta(0), has_liar=False, has_faults=False)
        return cls(
            crashes=dice.choice([0, 2, 6]),
            lost=dice.choice([0, 5, 20]),
            doubled=dice.choice([0, 20]),
            late=dice.choice([0, 10]),
            clock=timedelta(seconds=dice.choice([0, 0, -3_600, 40, 86_400])),
            has_liar=dice.random() < 0.3,
        )


class Life:
    """One run."""

    def __init__(self, stage: Stage, database: CrashingDatabase, dice: random.Random) -> None:
        self.stage, self.database, self.dice = stage, database, dice
        self.machine = Machine(seed=dice.getrandbits(31))
        self.weather = Weather.of(dice)
        self.crowd = Crowd(stage, dice)
        self.hosts: list[TrueHost] = []
        self.leapt = _NONE
        """What pods may be charged for since the market began again by a clock that leapt."""
        self.network = Network(
            stage,
            dice,
            lost=self.weather.lost,
            doubled=self.weather.doubled,
            late=self.weather.late,
        )

    async def begin(self, everybody: "Everybody") -> None:
        """Let everybody in."""
        self.crowd.callers = list(everybody.renters)
        self.hosts = [
            TrueHost.of(replace(box, shown={}, does={}), self.machine, _NONE)
            for box in everybody.boxes
        ]
        self.crowd.owners = [host.box.owner for host in self.hosts]
        self.hosts[0].world.ahead = self.weather.clock
        self.hosts[1].tells_lies = self.weather.has_liar
        await self._begin_market()

    async def turn(self) -> None:
        """Let one thing happen, then everybody act."""
        crowd = self.crowd
        events: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (crowd.rent, 8),
            (crowd.rush, 1),
            (crowd.act, 6),
            (crowd.edit, 2),
            (crowd.change, 2),
            (crowd.bid, 2),
            (crowd.pay_out, 1),
            (self.use, 2),
        ]
        if self.weather.has_faults:
            events += [
                (self.cut, 3),
                (self.heal, 3),
                (self.kill, 2),
                (self.revive, 3),
                (self.restart_host, 1),
                (self.hinder, 2),
                (self.relieve, 2),
                (self.lose, 1),
                (self.set_host_clock, 2),
                (self.set_market_clock, 2),
                (self.restart_market, 2),
                (self.lose_database, 1),
            ]
        acts, weights = zip(*events, strict=True)
        await self.dice.choices(acts, weights=weights)[0]()
        await self.pass_time(self.dice.choice([5, 30, 60, 120, 360]))

    async def pass_time(self, seconds: int) -> None:
        """Move on in steps that an agent and a market make."""
        while seconds > 0:
            step = min(seconds, 60)
            self.machine.let_pass(timedelta(seconds=step))
            seconds -= step
            await self.network.bring_late()
            await self.network.talk(self.hosts)
            for loop in self.stage.turns:
                await survive(loop)

    # --- what befalls hosts ----------------------------------------------------------------------

    async def use(self) -> None:
        """Use every pod, which thereby is not idle."""
        for host in self.hosts:
            host.used |= dict.fromkeys(host.box.shown, host.clock.now())

    async def cut(self) -> None:
        self.dice.choice(self.hosts).is_cut = True

    async def heal(self) -> None:
        for host in self.hosts:
            host.is_cut = False

    async def kill(self) -> None:
        self.dice.choice(self.hosts).is_killed = True

    async def revive(self) -> None:
        for host in self.hosts:
            if host.is_killed:
                host.revive()

    async def restart_host(self) -> None:
        host = self.dice.choice(self.hosts)
        if not host.is_lost:
            host.start_anew()
            host.set_clock(self._step(), self.stage.tariff.rules)

    async def hinder(self) -> None:
        self.dice.choice(self.hosts).trouble = self.dice.choice(["pulling", "failed"])

    async def relieve(self) -> None:
        for host in self.hosts:
            host.trouble = ""

    async def lose(self) -> None:
        """Take the last host away for ever."""
        self.hosts[-1].is_lost = True

    async def set_host_clock(self) -> None:
        self.dice.choice(self.hosts).set_clock(self._step(), self.stage.tariff.rules)

    # --- what befalls the market -----------------------------------------------------------------

    async def set_market_clock(self) -> None:
        self.machine.jump(self._step())

    async def restart_market(self) -> None:
        """Kill the market; it is away for a while, in which its clock may be set."""
        await self._be_away(self.dice.choice([0, 30, 600]))
        leaps = self.dice.choice([_NONE, self._step()])
        self.machine.jump(leaps)
        await self._begin_market()

    async def lose_database(self) -> None:
        await self._be_away(60)

    async def _be_away(self, seconds: int) -> None:
        self.database.is_away = True
        await self.pass_time(seconds)
        self.database.is_away = False

    async def _begin_market(self) -> None:
        """Begin as a process does, at any number of tries."""
        rules, before = self.stage.tariff.rules, self.stage.world.now()
        began = None
        while began is None:
            began = await survive(self._begun)
        self.stage.since = began
        self.stage.world = SteadyWorld(self.machine, began)  # type: ignore[assignment]  # of a stage it needs no more
        if began > before:
            self.leapt += min(began - before, rules.away_after)

    async def _begun(self) -> datetime:
        async with self.database.transaction() as tx:
            return (await begin(tx, self.machine, self.stage.tariff.rules)).now

    def _step(self) -> timedelta:
        return timedelta(seconds=self.dice.choice(_STEPS))

    # --- what must hold --------------------------------------------------------------------------

    async def check(self) -> None:
        """What must hold at every moment."""
        assert await self.stage.broken() == []
        async with self.stage.database.reading() as tx:
            for host in await hosts_for(tx):
                free = host.free
                assert min(free.cards, free.processors, free.memory, free.disk) >= 0
        await self.check_money()
        self.check_containers()

    async def check_money(self) -> None:
        """No renter's money is lost, none pays for what did not run, no budget is passed."""
        paid = 0
        for caller in self.crowd.callers:
            lines = await self.stage.bill(caller)
            own = [pod for owner, pod in self.crowd.rented if owner is caller]
            escrow = {pod.id: Book(BookKind.ESCROW, pod.id) for pod in own}
            purse = Book(BookKind.RENTER, caller.account.id)
            async with self.stage.database.reading() as tx:
                stands = await ledger.balances_of(tx, [purse, *escrow.values()])
            held = {pod: stands.get(book, Money(0)) for pod, book in escrow.items()}
            spent = sum(each.line.amount for each in lines)
            assert stands[purse] + spent + sum(held.values()) == CREDIT
            for pod in own:
                self.check_pod(pod, [each for each in lines if each.pod == pod.id])
            if caller is self.crowd.callers[0]:
                used = sum(each.line.amount for each in lines if each.project == "thesis")
                ahead = sum(held[each.id] for each in own if each.project == "thesis")
                assert used + ahead <= LIMIT
            paid += spent
        books = [FEE, *(Book(BookKind.HOST, host.box.owner) for host in self.hosts)]
        async with self.stage.database.reading() as tx:
            earned = sum((await ledger.balances_of(tx, books)).values())
        assert earned + sum(self.crowd.paid_out.values()) == paid

    def check_pod(self, pod: Pod, lines: list[bills.BillLine]) -> None:
        """What was charged is what really ran; of a liar, what could have run after each order."""
        now = self.machine.passed
        for host in self.hosts:
            told = [each.line for each in lines if each.host == host.box.id]
            ran = sum((each.lasted(now) for each in host.ran if each.pod == pod.id), _NONE)
            runs = 1 + sum(each.pod == pod.id for each in host.ran)
            ran += host.unsure + runs * (_MOST_GAINED if host.tells_lies else host.near)
            if self.weather.late:
                ran += timedelta(minutes=3)  # what is under way makes a clock look slow
            ran += ran / _FOLLOWED + self.leapt
            for item in (Item.CARDS, Item.DISK, Item.VOLUME):
                charged = [each for each in told if each.item is item]
                amount = sum(each.amount for each in charged)
                dearest = max((each.an_hour for each in charged), default=Money(0))
                assert amount <= dearest * ran.total_seconds() / 3600 + _ROUNDING, (pod.id, item)

    def check_containers(self) -> None:
        """A pod runs in one place at most, unless an agent is dead and cannot end the other."""
        for _, pod in self.crowd.rented:
            places = [host for host in self.hosts if host.runs(pod.id)]
            alive = [host for host in places if not (host.is_killed or host.is_lost)]
            assert len(alive) <= 1, pod.id

    async def end(self) -> None:
        """Everybody comes back who can, all is terminated: nothing is left, and nothing is held."""
        await self.heal()
        await self.revive()
        await self.relieve()
        self.network.lost = self.network.late = self.network.doubled = 0
        for caller, pod in self.crowd.rented:
            try:
                await self.stage.edit(caller, pod, PodChange(is_locked=False))
                await self.stage.act(caller, pod, Action.TERMINATE)
            except PunaError:
                continue
        for host in self.hosts:
            host.tells_lies = False
        await self.pass_time(720 if self.hosts[-1].is_lost else 240)
        async with self.stage.database.transaction() as tx:
            assert await pods.open_pods(tx) == []
        for _, pod in self.crowd.rented:
            assert await self.stage.balance(BookKind.ESCROW, pod.id) == 0
        there = [host for host in self.hosts if not host.is_lost]
        assert all(not host.box.orders.pods for host in there)
        assert not any(each.end is None for host in there for each in host.ran)


@dataclass(frozen=True, slots=True)
class Everybody:
    """Who is there when a life begins, and the database that knows them: the same for each seed."""

    renters: list[Caller]
    boxes: list[FakeHost]
    file: bytes


async def everybody() -> Everybody:
    """Return a market with two renters, three hosts and a budget; made once."""
    if not _MADE:
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            async with a_market(Path(folder)) as stage:
                renters = [
                    await stage.account(f"{name}@example.org", str(Money(CREDIT)))
                    for name in ("ann", "bob")
                ]
                for number in range(3):
                    await stage.host(f"box{number}", price=200_000 + 100_000 * number)
                budget = Budget(
                    id="b", scope=Scope.PROJECT, owner="thesis", period=Period.EVER, limit=LIMIT
                )
                async with stage.database.transaction() as tx:
                    account = renters[0].account.id
                    await bills.add_budget(tx, account, budget, stage.world.now())
            file = (Path(folder) / "market.db").read_bytes()
            _MADE.append(Everybody(renters, stage.hosts, file))
    return _MADE[0]


_MADE: list[Everybody] = []


@asynccontextmanager
async def a_known_market(known: Everybody, seed: int) -> AsyncIterator[Stage]:
    """Open a copy of a market that was made; its tokens are others than those given out."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder) / "market.db"
        path.write_bytes(known.file)
        database = Database(instant_engine(path))
        try:
            yield Stage(database, FakeWorld(seed=seed + 1))
        finally:
            await database.close()


async def live_through(seed: int, turns: int = TURNS) -> None:
    """Live one life. A failure says how to live it again."""
    dice = random.Random(seed)  # noqa: S311 - chance that repeats
    known = await everybody()
    async with a_known_market(known, seed) as stage:
        database = CrashingDatabase(stage.database._engine)
        database.dice = dice
        stage.database = database
        stage.tariff = replace(stage.tariff, rules=Rules())
        life = Life(stage, database, dice)
        try:
            await life.begin(known)
            await life.crowd.rent()
            for _ in range(turns):
                database.odds = life.weather.crashes
                await life.turn()
                database.odds = 0
                await life.check()
            await life.end()
        except BaseException as error:
            error.add_note(f"again: {REPRO.format(seed=seed, turns=turns)}")
            raise


REPRO = "python -m tests.simulation.market_seeds {seed} --turns {turns}"

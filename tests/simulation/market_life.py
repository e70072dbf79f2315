"""A whole market under a seed: renters, hosts, a network and a database, and what must always hold.

A failing seed is a one-line repro, which the failure prints.
"""

import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from puna.errors import PunaError
from puna.market.actions.editing import PodChange
from puna.market.db import bills, ledger, pods
from puna.market.db.accounts import Caller
from puna.market.db.database import Database, Transaction
from puna.market.db.hosts import hosts_for
from puna.market.db.pods import Pod
from puna.market.domain.budgets import Budget, Period, Scope
from puna.market.domain.hosts import Tenure
from puna.market.domain.ledger import FEE, Book, BookKind
from puna.market.domain.metering import Item
from puna.market.domain.pods import Action
from puna.market.domain.rules import Rules
from puna.units import Money
from tests.market.instant import MEMORY, instant_engine
from tests.market.stage import FakeHost, Stage, a_market
from tests.simulation.network import Crash, Network, TrueHost, survive
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


class CrashingDatabase(Database):
    """Every so often a transaction does all its work and dies before it is kept."""

    dice: random.Random
    odds = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with super().transaction() as tx:
            yield tx
            if self.dice.randrange(100) < self.odds:
                raise Crash


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad this life is, drawn from the seed: some are calm, so that things get far."""

    crashes: int
    lost: int
    doubled: int
    late: int
    clock: timedelta
    has_liar: bool

    @classmethod
    def of(cls, dice: random.Random) -> "Weather":
        if dice.random() < 0.3:
            return cls(0, 0, 0, 0, timedelta(0), has_liar=False)
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

    def __init__(self, stage: Stage, dice: random.Random) -> None:
        self.stage = stage
        self.dice = dice
        self.weather = Weather.of(dice)
        self.renters: list[Caller] = []
        self.rented: list[tuple[Caller, Pod]] = []
        self.hosts: list[TrueHost] = []
        self.network = Network(
            stage,
            dice,
            lost=self.weather.lost,
            doubled=self.weather.doubled,
            late=self.weather.late,
        )

    def begin(self, everybody: "Everybody") -> None:
        self.renters = list(everybody.renters)
        self.hosts = [TrueHost(replace(box, shown={}, does={})) for box in everybody.boxes]
        self.hosts[0].clock = self.weather.clock
        self.hosts[1].tells_lies = self.weather.has_liar

    async def turn(self) -> None:
        """Let one thing happen, then everybody act."""
        happens = self.dice.choices(
            [self.rent, self.act, self.edit, self.cut, self.heal, self.kill, self.revive],
            weights=[4, 3, 1, 2, 2, 1, 2],
        )
        await happens[0]()
        await self.pass_time(self.dice.choice([5, 30, 60, 120, 360]))

    async def pass_time(self, seconds: int) -> None:
        """Move on in steps that an agent and a market make."""
        while seconds > 0:
            step = min(seconds, 60)
            self.stage.world.jump(timedelta(seconds=step))
            seconds -= step
            await self.network.bring_late()
            await self.network.talk(self.hosts)
            await survive(self.stage.take_turns)
        await self.network.talk(self.hosts)

    async def rent(self) -> None:
        caller = self.dice.choice(self.renters)
        changes: dict[str, object] = {
            "cards": self.dice.choice([1, 2]),
            "volume_gb": self.dice.choice([0, 0, 50]),
            "project": self.dice.choice(["", "thesis"]),
            "stop_after": self.dice.choice([None, None, timedelta(minutes=7)]),
            "terminate_after": self.dice.choice([None, None, timedelta(minutes=20)]),
            "idle_stop": self.dice.choice([None, None, timedelta(minutes=4)]),
        }
        if self.dice.random() < 0.5:
            bid = Money(self.dice.randrange(100_000, 400_000))
            changes |= {"tenure": Tenure.SPOT, "bid": bid, "returns": self.dice.random() < 0.5}
        pod = await survive(lambda: self.stage.rent(caller, **changes))
        if pod is not None:
            self.rented.append((caller, pod))

    async def act(self) -> None:
        if self.rented:
            caller, pod = self.dice.choice(self.rented)
            action = self.dice.choice(list(Action))
            await survive(lambda: self.stage.act(caller, pod, action))

    async def edit(self) -> None:
        if self.rented:
            caller, pod = self.dice.choice(self.rented)
            change = self.dice.choice(
                [PodChange(name="other"), PodChange(image="img:2"), PodChange(disk_gb=30)]
            )
            await survive(lambda: self.stage.edit(caller, pod, change))

    async def cut(self) -> None:
        self.dice.choice(self.hosts).is_cut = True

    async def heal(self) -> None:
        for host in self.hosts:
            host.is_cut = False

    async def kill(self) -> None:
        self.dice.choice(self.hosts).is_killed = True

    async def revive(self) -> None:
        for host in self.hosts:
            host.is_killed = False

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
        for caller in self.renters:
            lines = await self.stage.bill(caller)
            own = [pod for owner, pod in self.rented if owner is caller]
            escrow = {pod.id: Book(BookKind.ESCROW, pod.id) for pod in own}
            purse = Book(BookKind.RENTER, caller.account.id)
            async with self.stage.database.reading() as tx:
                stands = await ledger.balances_of(tx, [purse, *escrow.values()])
            held = {pod: stands.get(book, Money(0)) for pod, book in escrow.items()}
            spent = sum(each.line.amount for each in lines)
            assert stands[purse] + spent + sum(held.values()) == CREDIT
            for pod in own:
                self.check_pod(pod, [each for each in lines if each.pod == pod.id])
            if caller is self.renters[0]:
                used = sum(each.line.amount for each in lines if each.project == "thesis")
                ahead = sum(held[each.id] for each in own if each.project == "thesis")
                assert used + ahead <= LIMIT
            paid += spent
        books = [FEE, *(Book(BookKind.HOST, host.box.owner) for host in self.hosts)]
        async with self.stage.database.reading() as tx:
            assert sum((await ledger.balances_of(tx, books)).values()) == paid

    def check_pod(self, pod: Pod, lines: list[bills.BillLine]) -> None:
        """What was charged is what really ran; of a liar, what could have run after each order."""
        now = self.stage.world.now()
        for host in self.hosts:
            told = [each.line for each in lines if each.host == host.box.id]
            ran = sum((each.lasted(now) for each in host.ran if each.pod == pod.id), _NONE)
            if host.tells_lies:
                runs = {each.run for each in host.ran if each.pod == pod.id}
                ran += (len(runs) + 1) * _MOST_GAINED
            if self.weather.late:
                ran += timedelta(minutes=3)  # what is under way makes a clock look slow
            for item in (Item.CARDS, Item.DISK, Item.VOLUME):
                charged = [each for each in told if each.item is item]
                amount = sum(each.amount for each in charged)
                dearest = max((each.an_hour for each in charged), default=Money(0))
                assert amount <= dearest * ran.total_seconds() / 3600 + _ROUNDING, (pod.id, item)

    def check_containers(self) -> None:
        """A pod runs in one place at most, unless an agent is dead and cannot end the other."""
        for _, pod in self.rented:
            places = [host for host in self.hosts if any(self._runs_on(host, pod))]
            alive = [host for host in places if not host.is_killed]
            assert len(alive) <= 1, pod.id

    def _runs_on(self, host: TrueHost, pod: Pod) -> Iterator[bool]:
        return (each.pod == pod.id and each.end is None for each in host.ran)

    async def end(self) -> None:
        """Everybody comes back, all is terminated: then nothing is left and nothing is held."""
        await self.heal()
        await self.revive()
        self.network.lost = self.network.late = self.network.doubled = 0
        for caller, pod in self.rented:
            try:
                await self.stage.act(caller, pod, Action.TERMINATE)
            except PunaError:
                continue
        for host in self.hosts:
            host.tells_lies = False
        await self.pass_time(180)
        async with self.stage.database.transaction() as tx:
            assert await pods.open_pods(tx) == []
        for _, pod in self.rented:
            assert await self.stage.balance(BookKind.ESCROW, pod.id) == 0
        assert all(not host.box.orders.pods for host in self.hosts)


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
        life = Life(stage, dice)
        try:
            life.begin(known)
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

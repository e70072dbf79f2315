"""A market under a seed: renters, hosts that vanish, transactions that crash; the books hold.

A failing seed is a one-line repro: `await live_through(SEED, folder)`.
"""

import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from puna.errors import PunaError
from puna.market.db import pods
from puna.market.db.accounts import Caller
from puna.market.db.database import Database, Transaction
from puna.market.db.hosts import hosts_for
from puna.market.db.pods import Pod
from puna.market.domain.hosts import Tenure
from puna.market.domain.ledger import BookKind
from puna.market.domain.pods import Action
from puna.units import Money
from tests.market.conftest import MEMORY
from tests.market.stage import FakeHost, Stage, a_market

SEEDS = range(6)
TURNS = 25
CREDIT = 3_000_000


class Crash(Exception):
    """The process dies here; nothing of its transaction is kept."""


class CrashingDatabase(Database):
    """Every so often a transaction does all its work and dies before it is kept."""

    dice: random.Random

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with super().transaction() as tx:
            yield tx
            if self.dice.random() < self.odds:
                raise Crash

    odds = 0.0


class Life:
    """One run: what happens is drawn from the seed."""

    def __init__(self, stage: Stage, dice: random.Random) -> None:
        self.stage = stage
        self.dice = dice
        self.renters: list[Caller] = []
        self.rented: list[tuple[Caller, Pod]] = []
        self.away: list[FakeHost] = []

    async def begin(self) -> None:
        for name in ("ann", "bob"):
            self.renters.append(await self.stage.account(f"{name}@example.org", "3"))
        for number in range(3):
            await self.stage.host(f"box{number}", price=200_000 + 100_000 * number)

    async def turn(self) -> None:
        """Do one thing that may happen, then let everybody act; a crash only costs the turn."""
        happening = self.dice.choice(
            [self.rent, self.rent, self.act, self.act, self.vanish, self.come_back]
        )
        try:
            await happening()
            await self.stage.tick(self.dice.choice([5, 60, 200]))
        except Crash:
            return

    async def rent(self) -> None:
        caller = self.dice.choice(self.renters)
        is_spot = self.dice.random() < 0.5
        changes: dict[str, object] = {
            "cards": self.dice.choice([1, 2]),
            "volume_gb": self.dice.choice([0, 50]),
        }
        if is_spot:
            bid = Money(self.dice.randrange(100_000, 400_000))
            changes |= {"tenure": Tenure.SPOT, "bid": bid, "returns": self.dice.random() < 0.5}
        try:
            pod = await self.stage.rent(caller, **changes)
        except PunaError:
            return
        self.rented.append((caller, pod))

    async def act(self) -> None:
        if not self.rented:
            return
        caller, pod = self.dice.choice(self.rented)
        try:
            await self.stage.act(caller, pod, self.dice.choice(list(Action)))
        except PunaError:
            return

    async def vanish(self) -> None:
        if len(self.stage.hosts) > 1:
            self.away.append(self.stage.hosts.pop(self.dice.randrange(len(self.stage.hosts))))

    async def come_back(self) -> None:
        if self.away:
            self.stage.hosts.append(self.away.pop())

    async def check(self) -> None:
        """What must hold at every moment."""
        stage = self.stage
        held = paid = 0
        for caller in self.renters:
            left = await stage.balance(BookKind.RENTER, caller.account.id)
            spent = sum(each.line.amount for each in await stage.bill(caller))
            own = [pod for owner, pod in self.rented if owner is caller]
            escrow = sum([await stage.balance(BookKind.ESCROW, pod.id) for pod in own])
            assert left + spent + escrow == CREDIT
            held, paid = held + escrow, paid + spent
        earned = [await stage.balance(BookKind.HOST, host.owner) for host in self.everybody]
        assert sum(earned) + await stage.balance(BookKind.FEE) == paid
        await self.check_room()

    async def check_room(self) -> None:
        """No host is given more than it has, and each container has exactly one owner."""
        async with self.stage.database.transaction() as tx:
            for host in await hosts_for(tx):
                free = host.free
                assert min(free.cards, free.processors, free.memory, free.disk) >= 0
        told = [
            order.pod
            for box in self.everybody
            for order in (await self.stage.report(box, pods=list(box.shown.values()))).pods
            if order.want == "run"
        ]
        assert len(told) == len(set(told))

    @property
    def everybody(self) -> list[FakeHost]:
        return [*self.stage.hosts, *self.away]

    async def end(self) -> None:
        """Everybody comes back, all is terminated: then nothing is left and nothing is held."""
        self.stage.hosts += self.away
        self.away.clear()
        for caller, pod in self.rented:
            try:
                await self.stage.act(caller, pod, Action.TERMINATE)
            except PunaError:
                continue
        await self.stage.tick(times=3)
        async with self.stage.database.transaction() as tx:
            assert await pods.open_pods(tx) == []
        for _, pod in self.rented:
            assert await self.stage.balance(BookKind.ESCROW, pod.id) == 0
        assert all(not host.orders.pods for host in self.stage.hosts)


async def live_through(seed: int, folder: Path, *, odds: float) -> None:
    dice = random.Random(seed)  # noqa: S311 - chance that repeats
    async with a_market(folder) as stage:
        database = stage.database
        crashing = CrashingDatabase(database._engine)
        crashing.dice = dice
        stage.database = crashing
        life = Life(stage, dice)
        await life.begin()
        for _ in range(TURNS):
            crashing.odds = odds
            await life.turn()
            crashing.odds = 0
            await life.check()
        await life.end()


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_books_hold_whatever_happens(seed: int) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        await live_through(seed, Path(folder), odds=0)


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_books_hold_through_crashes(seed: int) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        await live_through(seed, Path(folder), odds=0.02)

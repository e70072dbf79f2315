"""Hosts that obey, and what lies between them and their market: messages lost, doubled and late.

A host keeps what really ran on it, which the bill is compared with. It goes on by the orders that
it had last, and by its own deadlines, when nobody reaches it. Its agent may be killed, which stops
no container; its clock may be wrong.
"""

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from puna.errors import PunaError
from puna.wire.agent import Orders, PodReport, Report
from tests.market.stage import FakeHost, Stage

Answer = TypeVar("Answer")


class Crash(Exception):
    """The market's process dies here; nothing of its transaction is kept."""


@dataclass(slots=True)
class Ran:
    """A stretch in which a container really ran. `end` is None while it does."""

    pod: str
    run: int
    start: datetime
    end: datetime | None = None

    def lasted(self, now: datetime) -> timedelta:
        return (self.end or now) - self.start


@dataclass
class TrueHost:
    """A host, with what really happens on it. Times of `ran` are those of the market's clock."""

    box: FakeHost
    clock: timedelta = timedelta(0)
    is_cut: bool = False
    """No message reaches it or leaves it."""
    is_killed: bool = False
    """Its agent is gone: containers run on, and nobody keeps a deadline."""
    tells_lies: bool = False
    """It says of everything it ever ran that it runs on, and began long before it did."""
    ran: list[Ran] = field(default_factory=list)
    _lies: dict[str, PodReport] = field(default_factory=dict)

    def live(self, stage: Stage) -> None:
        """Let its agent do what its orders and its deadlines say."""
        if self.is_killed:
            return
        before = {pod: each for pod, each in self.box.shown.items() if each.observed == "running"}
        self.box.obey(stage.world)
        after = {pod: each for pod, each in self.box.shown.items() if each.observed == "running"}
        self._note(before, after, stage.world.now())

    def _note(
        self, before: dict[str, PodReport], after: dict[str, PodReport], now: datetime
    ) -> None:
        for pod, each in before.items():
            if after.get(pod) == each:
                continue
            shown = self.box.shown.get(pod)
            ended = shown.ended if shown and shown.run == each.run and shown.ended else now
            self._running(pod).end = min(now, ended)
        for pod, each in after.items():
            if before.get(pod) != each:
                self.ran.append(Ran(pod, each.run, each.started or now))

    def _running(self, pod: str) -> Ran:
        return next(each for each in reversed(self.ran) if each.pod == pod)

    def report(self, now: datetime) -> Report:
        """Return what its agent says, by its own clock."""
        self.box.sequence += 1
        return Report(
            sequence=self.box.sequence,
            now=now + self.clock,
            machine=self.box.machine,
            terms=self.box.terms,
            pods=[self._by_its_clock(each) for each in self._told(now)],
        )

    def _told(self, now: datetime) -> list[PodReport]:
        """Return what it says of pods: the truth, or what would earn it the most."""
        if not self.tells_lies:
            return list(self.box.shown.values())
        for pod, shown in self.box.shown.items():
            if shown.observed == "running":
                early = now - timedelta(days=1)
                self._lies[pod] = shown.model_copy(update={"started": early})
        return [*(self.box.shown | self._lies).values()]

    def _by_its_clock(self, shown: PodReport) -> PodReport:
        started, ended = [moment and moment + self.clock for moment in (shown.started, shown.ended)]
        return shown.model_copy(update={"started": started, "ended": ended})


@dataclass
class Network:
    """What becomes of a message is drawn from the dice; odds are in a hundred."""

    stage: Stage
    dice: random.Random
    lost: int = 0
    doubled: int = 0
    late: int = 0
    _under_way: list[tuple[TrueHost, Report]] = field(default_factory=list)

    async def talk(self, hosts: Iterable[TrueHost]) -> None:
        """Let each host report once, and be told."""
        for host in hosts:
            host.live(self.stage)
            if not (host.is_cut or host.is_killed):
                await self._exchange(host, host.report(self.stage.world.now()))
                host.live(self.stage)

    async def _exchange(self, host: TrueHost, report: Report) -> None:
        if self._happens(self.late):
            self._under_way.append((host, report))
            return
        if self._happens(self.lost):
            return
        orders = await self._deliver(host, report)
        if self._happens(self.doubled):
            await self._deliver(host, report)
        if orders is not None and not self._happens(self.lost):
            host.box.orders = orders

    async def bring_late(self) -> None:
        """Deliver some of what was under way, in any order; nobody waits for the answers."""
        self.dice.shuffle(self._under_way)
        for _ in range(len(self._under_way) // 2):
            await self._deliver(*self._under_way.pop())

    async def _deliver(self, host: TrueHost, report: Report) -> Orders | None:
        return await survive(lambda: self.stage.deliver(host.box, report))

    def _happens(self, odds: int) -> bool:
        return self.dice.randrange(100) < odds


async def survive(ask: Callable[[], Awaitable[Answer]]) -> Answer | None:
    """Ask the market; None where it died or refused, as its callers see it."""
    try:
        return await ask()
    except (Crash, PunaError):
        return None

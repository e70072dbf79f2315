"""Hosts that obey, and what really happens on them, which the bill is compared with.

A host goes on by the orders that it had last, and by its own deadlines, when nobody reaches it. Its
agent may be killed, which stops no container; its machine may start anew, which stops all; its
clock may be set. Times of what really ran are those that passed, whatever any clock showed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from puna.agent.deadman import MarketClock
from puna.market.domain.rules import Rules
from puna.units import Span
from puna.wire.agent import Orders, PodOrder, PodReport, Report
from tests.market.stage import FakeHost
from tests.worlds import NOON, FakeWorld

_BOOT = "boot"
_LIE = timedelta(days=1)
_SILENT, _TURN = timedelta(minutes=3), timedelta(minutes=1)
"""What is paid ahead at most, and the time between two reports."""


class Machine(FakeWorld):
    """Where the market runs: time passes there, and its clock may be set."""

    def let_pass(self, span: timedelta) -> None:
        self._elapsed = Span(self._elapsed + span // timedelta(microseconds=1) * 1000)

    @property
    def passed(self) -> datetime:
        """The time as nobody's clock shows it."""
        return NOON + self._elapsed.timedelta


class HostWorld(FakeWorld):
    """A host's clocks: one that may be wrong and be set, and one that only counts."""

    def __init__(self, machine: Machine, ahead: timedelta) -> None:
        super().__init__()
        self.machine, self.ahead = machine, ahead

    def now(self) -> datetime:
        return self.machine.passed + self.ahead

    def elapsed(self) -> Span:
        return self.machine.elapsed()


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
    """A host, with what really happens on it."""

    box: FakeHost
    world: HostWorld
    clock: MarketClock
    is_cut: bool = False
    """No message reaches it or leaves it."""
    is_killed: bool = False
    """Its agent is gone: containers run on, and nobody keeps a deadline."""
    is_lost: bool = False
    """It never comes back."""
    waits: bool = False
    """Its machine began anew, and no market has told it anything yet."""
    tells_lies: bool = False
    """It says of everything it ever ran that it runs on, and began long before it did."""
    trouble: str = ""
    """What becomes of what is to begin now: `pulling` for long, or `failed`, for one of many
    reasons: no such image, a full disk, a port that another has."""
    ran: list[Ran] = field(default_factory=list)
    near: timedelta = timedelta(0)
    """How far its clock was wrong by so little that no market minds."""
    unsure: timedelta = timedelta(0)
    """How long something may have ended that it had not told of when its clock was set."""
    used: dict[str, datetime] = field(default_factory=dict)
    """When somebody last used each pod, by its agent's clock."""
    _lived: datetime = NOON
    """Until when its agent looked after what runs; no container ends before that."""
    _idle: dict[str, int] = field(default_factory=dict)
    _failed: set[tuple[str, int]] = field(default_factory=set)
    _walls: dict[tuple[str, int, datetime], datetime] = field(default_factory=dict)
    _lies: dict[str, PodReport] = field(default_factory=dict)

    @classmethod
    def of(cls, box: FakeHost, machine: Machine, ahead: timedelta) -> "TrueHost":
        world = HostWorld(machine, ahead)
        return cls(box, world, MarketClock(world, boot=_BOOT))

    @property
    def is_silent(self) -> bool:
        return self.is_cut or self.is_killed or self.is_lost

    def live(self) -> None:
        """Let its agent do what its orders and its deadlines say."""
        if self.is_killed or self.is_lost or self.waits:
            return
        before, told = self._running(), self.box.orders
        now = self.clock.now()
        kept = [self._as_kept(order, now) for order in told.pods]
        self.box.orders = told.model_copy(update={"pods": kept})
        self.box.obey(self.clock)
        self.box.orders = told
        self._note(before, now)

    def hear(self, orders: Orders) -> None:
        """Take the market's word."""
        self.box.orders, self.waits = orders, False
        self.clock.hear(orders.now)

    def revive(self) -> None:
        """Let its agent begin again, with what it kept of the market's clock."""
        self.is_killed = False
        self.clock = MarketClock(self.world, self.clock.reading, boot=_BOOT)

    def start_anew(self) -> None:
        """Let the whole machine begin again: nothing runs there."""
        before, now = self._running(), self.clock.now()
        for pod, each in before.items():
            ended = {"observed": "exited", "ended": now}
            self.box.shown[pod] = each.model_copy(update=ended)
        self._note(before, now)
        self.is_killed, self.waits = False, True
        self.clock = MarketClock(self.world)

    def _as_kept(self, order: PodOrder, now: datetime) -> PodOrder:
        """Return an order as the agent keeps to it by itself."""
        self.box.does.pop(order.pod, None)
        if order.terminate_at is not None and now >= order.terminate_at:
            return order.model_copy(update={"want": "terminate"})
        is_over = order.stop_at is not None and now >= order.stop_at
        if order.want != "run" or is_over or self._rests(order, now):
            want = "stop" if order.want == "run" else order.want
            return order.model_copy(update={"want": want})
        run = (order.pod, order.run)
        shown = self._running().get(order.pod)
        if shown is None or shown.run != order.run:
            if self.trouble == "failed":
                self._failed.add(run)
            trouble = "failed" if run in self._failed else self.trouble
            if trouble:
                self.box.does[order.pod] = trouble
        return order

    def _rests(self, order: PodOrder, now: datetime) -> bool:
        """Tell whether this run was stopped since nobody used it, or is to be now."""
        if self._idle.get(order.pod) == order.run:
            return True
        shown = self._running().get(order.pod)
        if order.idle_stop_s is None or shown is None or shown.run != order.run:
            return False
        idled = now - self._active(shown)
        if idled >= timedelta(seconds=order.idle_stop_s):
            self._idle[order.pod] = order.run
        return self._idle.get(order.pod) == order.run

    def _active(self, shown: PodReport) -> datetime:
        began = shown.started or self.clock.now()
        return max(began, self.used.get(shown.pod, began))

    def _running(self) -> dict[str, PodReport]:
        return {pod: each for pod, each in self.box.shown.items() if each.observed == "running"}

    def _note(self, before: dict[str, PodReport], now: datetime) -> None:
        """Keep what really happened, and what the machine's clock showed then."""
        after = self._running()
        for pod, each in before.items():
            if after.get(pod) == each:
                continue
            shown = self.box.shown.get(pod)
            ended = shown.ended if shown and shown.run == each.run and shown.ended else now
            last = next(each for each in reversed(self.ran) if each.pod == pod)
            last.end = max(
                last.start, self._lived, self.world.machine.passed + min(ended - now, timedelta(0))
            )
        for pod, each in after.items():
            if before.get(pod) != each:
                start = self.world.machine.passed + ((each.started or now) - now)
                self.ran.append(Ran(pod, each.run, start))
        for each in self.box.shown.values():
            for moment in filter(None, (each.started, each.ended)):
                place = (each.pod, each.run, moment)
                self._walls.setdefault(place, self.world.now() + (moment - now))
        self._lived = self.world.machine.passed

    def set_clock(self, step: timedelta, rules: Rules) -> None:
        """Set its machine's clock, forward or back."""
        self.world.ahead += step
        if abs(self.world.ahead) <= rules.clock_error:
            self.near = max(self.near, abs(self.world.ahead))
        self.unsure += _SILENT if self.is_silent or self.waits else _TURN

    def runs(self, pod: str) -> bool:
        """Tell whether a container of a pod runs here."""
        return any(each.pod == pod and each.end is None for each in self.ran)

    def report(self) -> Report:
        """Return what its agent says, by its machine's clock."""
        self.box.sequence += 1
        return Report(
            sequence=self.box.sequence,
            now=self.world.now(),
            machine=self.box.machine,
            terms=self.box.terms,
            pods=[self._by_its_clock(each) for each in self._told()],
        )

    def _told(self) -> Iterator[PodReport]:
        """Yield what it says of pods: the truth, or what would earn it the most."""
        if not self.tells_lies:
            yield from map(self._with_use, self.box.shown.values())
            return
        for pod, shown in self.box.shown.items():
            if shown.observed == "running":
                early = self.clock.now() - _LIE
                self._lies[pod] = shown.model_copy(update={"started": early})
        yield from (self.box.shown | self._lies).values()

    def _with_use(self, shown: PodReport) -> PodReport:
        is_idle = self._idle.get(shown.pod) == shown.run
        active = self._active(shown) if shown.observed == "running" else None
        return shown.model_copy(update={"is_idle": is_idle, "active": active})

    def _by_its_clock(self, shown: PodReport) -> PodReport:
        apart = self.world.now() - self.clock.now()

        def by_it(moment: datetime | None) -> datetime | None:
            if moment is None:
                return None
            return self._walls.get((shown.pod, shown.run, moment), moment + apart)

        times = {"started": by_it(shown.started), "ended": by_it(shown.ended)}
        active = shown.active and shown.active + apart
        return shown.model_copy(update={**times, "active": active})

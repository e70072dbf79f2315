"""Makes the containers of this machine what the market's orders and their deadlines say.

A turn looks at everything that is here, asks `converge` for the steps, and begins each that is not
under way, each alone: a slow download or a long grace of one pod holds up no other. What failed is
tried again after a pause; what fails again and again is given up and said. Nothing here survives
the process but what `Notebook` keeps, and that only matters while the market is away.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from puna.agent.converge import (
    Create,
    GiveUp,
    Order,
    Pull,
    Pulled,
    Remove,
    RemoveVolume,
    Scene,
    Start,
    Step,
    Want,
    pause_after,
    steps,
    wish_now,
)
from puna.agent.deadman import MarketClock
from puna.agent.engine import Engine
from puna.agent.hands import Hands
from puna.agent.lent import why_too_much
from puna.agent.notebook import Kept, keep, recall
from puna.agent.orders import Told, told_by_pod
from puna.agent.problems import EngineGone, NotOnEngine
from puna.agent.shown import LogLine, Shown
from puna.agent.sight import Sight, reports_of
from puna.agent.usage import Usage
from puna.errors import PunaError
from puna.text import one_line
from puna.units import Size
from puna.wire.agent import Orders, PodReport
from puna.wire.tunnel import MOST_KEPT

_LOG = logging.getLogger("puna.agent")
LastWords = Callable[[str, int, Sequence[LogLine]], Awaitable[None]]
"""Takes a pod, its run, and the lines that its container wrote."""
MOST_TRIES = 3
"""How often in a row a container may fail to be made or started."""
_MOST_LINES = 200


@dataclass(slots=True)
class _Tries:
    """How a pod's last step failed, in a row."""

    run: int
    failures: int = 0
    failed: datetime | None = None


@dataclass(slots=True)
class _Memory:
    """What this process knows besides what is in front of it."""

    told: Mapping[str, Told] | None = None
    """None before the market's first word."""
    kept: Sequence[Order] = ()
    shown: Sequence[Shown] = ()
    volumes: frozenset[str] = frozenset()
    pulls: dict[str, Pulled] = field(default_factory=dict)
    pulled: set[str] = field(default_factory=set)
    tries: dict[str, _Tries] = field(default_factory=dict)
    given_up: dict[str, tuple[int, str]] = field(default_factory=dict)
    barred: dict[str, int] = field(default_factory=dict)
    """By pod: a run that is to end although it is ordered."""
    idle: dict[str, int] = field(default_factory=dict)
    """By pod: a run that ends because nobody used it."""
    lines: dict[str, deque[str]] = field(default_factory=dict)


class Keeper:
    """Owns what is known of this machine's pods. Its steps run in a group of the caller's."""

    def __init__(
        self, engine: Engine, hands: Hands, clock: MarketClock, kept: Kept, *, trusts_local: bool
    ) -> None:
        self._engine = engine
        self._hands = hands
        self._clock = clock
        self._trusts_local = trusts_local
        self._doing: dict[str, asyncio.Task[None]] = {}
        self._memory = _Memory(
            kept=[recall(each) for each in kept.orders],
            pulled=set(kept.pulled),
            idle={each.pod: each.run for each in kept.orders if each.is_idle},
        )
        self.fetched: Mapping[str, datetime | None] = dict(kept.fetched)
        """Images that were not here before, and since when no pod needs each; None for needed."""
        self.idled: Mapping[tuple[str, int], timedelta] = {
            (each.pod, each.run): timedelta(seconds=each.idled_s) for each in kept.orders
        }
        """By pod and run, for how long nobody used it; whoever looks after pods writes it."""
        self.engine_is_gone = False
        self.nudged = asyncio.Event()
        """Set when a turn should be taken at once."""
        self.last_words: LastWords | None = None
        """Told what a container wrote, before it is removed."""
        self.changed = asyncio.Event()
        """Set when something is to be reported that was not so before."""

    def obey(self, orders: Orders) -> None:
        """Take the market's orders as what should be."""
        self._memory.told = told_by_pod(orders.pods)
        self._memory.kept = [told.order for told in self._memory.told.values()]
        memory = self._memory
        for pod in {*memory.tries, *memory.given_up, *memory.lines, *memory.idle}:
            told = self._memory.told.get(pod)
            if told is None:
                self._forget(pod)
            elif self._memory.given_up.get(pod, (told.order.run, ""))[0] != told.order.run:
                self._begin_anew(pod, told)
        self.nudged.set()

    def kept(self, sequence: int) -> Kept:
        """Return what the notebook should hold: deadlines, and which images were fetched."""
        orders = [
            keep(
                each,
                self.idled.get((each.pod, each.run), timedelta(0)),
                is_idle=self._memory.idle.get(each.pod) == each.run,
            )
            for each in self._memory.kept
        ]
        return Kept(
            sequence=sequence,
            orders=orders,
            pulled=sorted(self._memory.pulled),
            fetched=dict(self.fetched),
            clock=self._clock.reading,
        )

    @property
    def next_deadline(self) -> datetime | None:
        """When something is to happen here that nobody will tell of."""
        now = self._clock.now()
        each = (t for o in self._memory.kept for t in (o.stop_at, o.terminate_at, o.paid_until))
        return min((moment for moment in each if moment and moment > now), default=None)

    @property
    def shown(self) -> Sequence[Shown]:
        """Our containers at the last turn."""
        return self._memory.shown

    def disks(self) -> Sequence[tuple[str, str, Size]]:
        """Return pod, container and what it may write, of each that runs."""
        told = self._memory.told or {}
        return [
            (each.container.pod, each.container.id, told[each.container.pod].disk)
            for each in self._memory.shown
            if each.is_running and each.container.pod in told
        ]

    def bar(self, pod: str, reason: str) -> None:
        """Let a pod's run not go on here."""
        if (told := (self._memory.told or {}).get(pod)) is not None:
            self._memory.barred[pod] = told.order.run
            self._give_up(pod, told.order.run, reason)
            self.nudged.set()

    @property
    def needed_images(self) -> frozenset[str] | None:
        """The images of all pods that are here; None before the market's first word."""
        told = self._memory.told
        return None if told is None else frozenset(each.design.image for each in told.values())

    def lose_image(self, image: str) -> None:
        """Forget an image that is not here any more: it is fetched again when it is needed."""
        self.fetched = {name: at for name, at in self.fetched.items() if name != image}
        gone = {key for key in self._memory.pulled if key.partition(" ")[0] == image}
        self._memory.pulled -= gone

    @property
    def idle_stops(self) -> Mapping[str, timedelta]:
        """After how long of being used by nobody pods stop, of those that do."""
        return {each.pod: each.idle_stop for each in self._memory.kept if each.idle_stop}

    def rented(self, pod: str) -> tuple[int, int]:
        """Return the processors and the memory of a pod; none where its order is not known."""
        told = (self._memory.told or {}).get(pod)
        return (told.design.processors, told.design.memory) if told else (0, 0)

    def rest(self, pod: str) -> None:
        """Let a run end because nobody used it. It is written down before anything is done."""
        order = next((each for each in self._memory.kept if each.pod == pod), None)
        if order is not None and self._memory.idle.get(pod) != order.run:
            self._memory.idle[pod] = order.run
            self.say(pod, f"nothing happened in it for {order.idle_stop}")
            self.nudged.set()

    @property
    def is_busy(self) -> bool:
        """Whether steps are under way."""
        return bool(self._doing)

    def reports(self, usage: Mapping[str, Usage] | None = None) -> tuple[PodReport, ...]:
        """Return what to report, with the log lines that were not taken yet."""
        memory = self._memory
        sight = Sight(
            shown=memory.shown,
            told=memory.told or {},
            pulls=memory.pulls,
            given_up=memory.given_up,
            volumes=memory.volumes,
            usage=usage or {},
            idle=memory.idle,
        )
        return tuple(
            each.model_copy(update={"log": list(memory.lines.get(each.pod, ()))})
            for each in reports_of(sight)
        )

    def heard(self, reports: Iterable[PodReport]) -> None:
        """Forget the log lines of reports that the market has taken."""
        for each in reports:
            lines = self._memory.lines.get(each.pod)
            for _ in each.log:
                if lines:
                    lines.popleft()

    def say(self, pod: str, line: str) -> None:
        """Add a line to a pod's system log."""
        lines = self._memory.lines.setdefault(pod, deque(maxlen=_MOST_LINES))
        lines.append(one_line(line, 500))
        self.changed.set()

    async def turn(self, group: asyncio.TaskGroup) -> None:
        """Look, and begin what is to be done. Raises `EngineGone`."""
        before = self.reports()
        await self._look()
        for step in self._steps():
            self._begin(step, group)
        if self.reports() != before:
            self.changed.set()

    async def _look(self) -> None:
        memory = self._memory
        made = [pod for pod in self._hands.claims if pod not in self._doing]
        try:
            shown = await self._engine.containers()
            volumes = await self._engine.volumes()
        except EngineGone:
            self.engine_is_gone = True
            raise
        self.engine_is_gone = False
        for pod in made:  # its container was there before this look
            self._hands.claims.pop(pod, None)
        memory.shown = [each for each in shown if each.host == self._hands.host]
        memory.volumes = frozenset(each.pod for each in volumes if each.host == self._hands.host)

    def _steps(self) -> Sequence[Step]:
        """Return the next steps. Before the market's first word only deadlines count."""
        memory, now = self._memory, self._clock.now()
        containers = [each.container for each in memory.shown]
        if memory.told is None:
            kept = [self._barred(each) for each in memory.kept]
            over = {o.pod: o for o in kept if wish_now(o, now) is not Want.RUN}
            mine = [each for each in containers if each.pod in over]
            return steps(over.values(), Scene(containers=mine), now)
        scene = Scene(
            containers=containers,
            images=frozenset(memory.pulled),
            pulls=memory.pulls,
            volumes=memory.volumes,
        )
        return steps([self._barred(told.order) for told in memory.told.values()], scene, now)

    def _barred(self, order: Order) -> Order:
        """Return an order as it is kept to: a run that must not go on is stopped."""
        memory = self._memory
        ends = order.run in {memory.barred.get(order.pod), memory.idle.get(order.pod)}
        return replace(order, want=Want.STOP) if ends and order.want is Want.RUN else order

    def _begin(self, step: Step, group: asyncio.TaskGroup) -> None:
        if isinstance(step, GiveUp):
            self._give_up(step.pod, step.run, step.reason)
            return
        key = step.image if isinstance(step, Pull) else step.pod
        if key in self._doing or self._waits(step):
            return
        if isinstance(step, Pull):
            self._memory.pulls[key] = Pulled(
                is_running=True, failures=self._memory.pulls.get(key, Pulled()).failures
            )
        task = self._doing[key] = group.create_task(self._do(step))
        task.add_done_callback(lambda _: self._note_done(key))

    def _note_done(self, key: str) -> None:
        """Let another step be begun; this one may have been ended before it began."""
        del self._doing[key]
        self.nudged.set()

    async def _do(self, step: Step) -> None:
        try:
            await self._act(step)
        except EngineGone as error:
            _LOG.warning("%s", error.message)
            self._pull_failed(step, "", counts=False)
        except PunaError as error:
            self._failed(step, error)
        else:
            self._memory.tries.pop(step.pod, None)

    async def _act(self, step: Step) -> None:
        told = (self._memory.told or {}).get(step.pod)
        if isinstance(step, Pull) and told is not None:
            await self._pull(step, told)
        elif isinstance(step, Create) and told is not None:
            shown, every = self._memory.shown, self._memory.told or {}
            there = {each.container.pod for each in shown}
            if flaw := told.flaw or why_too_much(every, step.pod, there, self._hands.lent):
                self._give_up(step.pod, step.run, flaw)
                return
            taken = {card for each in shown for card in each.devices}
            opened = {port for each in shown for port in each.ports.values()}
            self.say(step.pod, await self._hands.create(step, told, taken, opened))
        elif not isinstance(step, Pull | Create | GiveUp):
            if isinstance(step, Remove):
                await self._keep_last_words(step)
            self.say(step.pod, await self._hands.do(step, told))

    async def _keep_last_words(self, step: Remove) -> None:
        """Hand over what a container wrote before it goes; without a listener it is lost."""
        every = (each.container for each in self._memory.shown)
        gone = next((each for each in every if each.id == step.container), None)
        if gone is None or self.last_words is None or gone.started is None:
            return
        with suppress(PunaError):
            lines = [line async for line in self._engine.logs(gone.id, tail=MOST_KEPT)]
            await self.last_words(gone.pod, gone.run, lines)

    async def _pull(self, step: Pull, told: Told) -> None:
        if told.flaw:
            self._give_up(step.pod, told.order.run, told.flaw)
            return
        image, key, memory = told.design.image, step.image, self._memory
        was_here = await self._engine.has_image(image)
        if not was_here:
            self.fetched = {**self.fetched, image: None}
        if not (self._trusts_local and was_here):
            self._say_of_image(key, f"pulling {image}")
            async for line in self._hands.pull(image, told.login):
                failures = memory.pulls[key].failures
                memory.pulls[key] = Pulled(is_running=True, failures=failures, reason=line)
                self._say_of_image(key, line)
            self._say_of_image(key, f"pulled {image}")
        memory.pulls.pop(key, None)
        memory.pulled.add(key)

    def end_pulls(self, reason: str) -> None:
        """Let no image be fetched any further; it is tried again later."""
        for image, pull in tuple(self._memory.pulls.items()):
            if pull.is_running and (task := self._doing.get(image)) is not None:
                task.cancel()
                self._note_failed_pull(image, reason)

    def _failed(self, step: Step, error: PunaError) -> None:
        """Note a failure; the third in a row gives the pod up."""
        if isinstance(step, Pull):
            self._pull_failed(step, error.message, counts=True)
            return
        if isinstance(step, Create) and isinstance(error, NotOnEngine):
            self._lose_image(step.pod)
        self.say(step.pod, f"{_WORDS.get(type(step), 'ending it')} failed: {error.message}")
        if not isinstance(step, Create | Start | RemoveVolume):
            return
        run = self._run_of(step.pod)
        tries = self._memory.tries.setdefault(step.pod, _Tries(run))
        if tries.run != run:
            tries = self._memory.tries[step.pod] = _Tries(run)
        tries.failures, tries.failed = tries.failures + 1, self._clock.now()
        if tries.failures >= MOST_TRIES and not isinstance(step, RemoveVolume):
            self._give_up(step.pod, run, error.message)

    def _pull_failed(self, step: Step, reason: str, *, counts: bool) -> None:
        if not isinstance(step, Pull):
            return
        before = self._memory.pulls.get(step.image, Pulled())
        if not counts:
            self._memory.pulls[step.image] = Pulled(failures=before.failures)
            return
        self._note_failed_pull(step.image, reason)

    def _note_failed_pull(self, image: str, reason: str) -> None:
        failures = self._memory.pulls.get(image, Pulled()).failures + 1
        self._memory.pulls[image] = Pulled(
            failures=failures, failed=self._clock.now(), reason=reason
        )
        self._say_of_image(image, f"pulling {image.partition(' ')[0]} failed: {reason}")

    def _waits(self, step: Step) -> bool:
        """Return whether a step that failed is not to be tried again yet, or not at all."""
        tries = self._memory.tries.get(step.pod)
        run = self._run_of(step.pod)
        is_lost = self._memory.given_up.get(step.pod, (0, ""))[0] == run
        if is_lost and isinstance(step, Pull | Create | Start):
            return True
        if tries is None or tries.failed is None or tries.run != run:
            return False
        return self._clock.now() < tries.failed + pause_after(tries.failures)

    def _lose_image(self, pod: str) -> None:
        """Forget an image that somebody may have removed: it is fetched again."""
        if (told := (self._memory.told or {}).get(pod)) is not None:
            self._memory.pulled.discard(told.order.image)

    def _begin_anew(self, pod: str, told: Told) -> None:
        """A run that was given up is over: the next may try everything again."""
        self._memory.given_up.pop(pod, None)
        if not self._memory.pulls.get(told.order.image, Pulled()).is_running:
            self._memory.pulls.pop(told.order.image, None)

    def _give_up(self, pod: str, run: int, reason: str) -> None:
        if self._memory.given_up.get(pod, (0, ""))[0] == run:
            return
        self._memory.given_up[pod] = (run, reason)
        self.say(pod, f"given up on this host: {reason}")

    def _run_of(self, pod: str) -> int:
        told = (self._memory.told or {}).get(pod)
        return told.order.run if told else 0

    def _say_of_image(self, image: str, line: str) -> None:
        for pod, told in (self._memory.told or {}).items():
            if told.order.image == image and told.order.want is Want.RUN:
                self.say(pod, line)

    def _forget(self, pod: str) -> None:
        memory = self._memory
        memory.idle.pop(pod, None)
        for known in (memory.tries, memory.given_up, memory.lines, memory.barred):
            known.pop(pod, None)


_WORDS: Mapping[type, str] = {
    Create: "making the container",
    Start: "starting the container",
    RemoveVolume: "removing the volume",
}

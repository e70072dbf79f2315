"""When pods were last used: their programs or cards compute, their network moves, somebody comes.

A pod with an idle stop is stopped by this, here and at the market: each for when the other fails.
Idle time is counted by the machine's monotonic clock, from one look to the next, and goes on where
it was when the agent is started again; only what was looked at counts.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from puna.agent.engine import Engine
from puna.agent.gauges import read_gauges
from puna.agent.keeper import Keeper
from puna.agent.problems import EngineRefused, NotOnEngine
from puna.agent.shown import Shown
from puna.agent.usage import Counted, Usage, cards_in, counted_in, is_busy, use_of
from puna.hardware.programs import output_of
from puna.units import Span
from puna.wire.agent import CardUse, UseReport
from puna.world import World

LOOK = Span.of(seconds=15)
"""How often it is looked at. The market is told within half a minute, and allows for a minute."""
_ASK_CARDS = (
    "--query-gpu=index,uuid,utilization.gpu,memory.used,memory.total",
    "--format=csv,noheader,nounits",
)


@dataclass(slots=True)
class _Pod:
    """What is known of a pod that runs."""

    used: Span
    """When it was last used."""
    container: str
    run: int
    counted: Counted | None = None
    use: UseReport | None = None


class Activity:
    """Notes of each pod what it uses and when it was last used; ends who idled for too long."""

    def __init__(self, world: World, engine: Engine, keeper: Keeper) -> None:
        self._world = world
        self._engine = engine
        self._keeper = keeper
        self._pods: dict[str, _Pod] = {}
        self._idled = dict(keeper.idled)
        """What an agent before this one knew, of pods that were not looked at yet."""

    def note(self, pod: str) -> None:
        """Note that somebody reaches a pod."""
        if (known := self._pods.get(pod)) is not None:
            known.used = self._world.elapsed()
        self._idled = {run: span for run, span in self._idled.items() if run[0] != pod}

    def usage(self) -> Mapping[str, Usage]:
        """Return what is known of each pod that runs."""
        now, elapsed = self._world.now(), self._world.elapsed()
        return {
            pod: Usage(active=now - Span(elapsed - each.used).timedelta, use=each.use)
            for pod, each in self._pods.items()
        }

    async def look(self) -> None:
        """Look at every container that runs. Raises `EngineGone`."""
        running = [each for each in self._keeper.shown if each.is_running]
        stops = self._keeper.idle_stops
        cards = await _cards_of(running)
        pods = {each.container.pod for each in running}
        self._pods = {pod: each for pod, each in self._pods.items() if pod in pods}
        for shown in running:
            pod = shown.container.pod
            await self._look_at(shown, cards.get(pod, ()), must=pod in stops)
        self._end_idle(stops)

    async def _look_at(self, shown: Shown, cards: Sequence[CardUse], *, must: bool) -> None:
        pod, container = shown.container.pod, shown.container.id
        after = await self._count(shown, must=must)
        known = self._pods.get(pod)
        if known is None or known.container != container:
            idled = self._idled.pop((pod, shown.container.run), timedelta(0))
            used = self._world.elapsed() - Span.of(seconds=idled.total_seconds())
            self._pods[pod] = _Pod(Span(used), container, shown.container.run, after)
            return
        before, known.counted = known.counted, after
        if before is None or after is None:
            known.use = None
            return
        if is_busy(before, after, cards):
            known.used = after.at
        processors, memory = self._keeper.rented(pod)
        known.use = use_of(before, after, processors=processors, memory=memory, cards=cards)

    async def _count(self, shown: Shown, *, must: bool) -> Counted | None:
        """Return what a container has used; the engine is asked only where there must be a word."""
        container, at = shown.container.id, self._world.elapsed()
        counted = await asyncio.to_thread(read_gauges, container, shown.pid, at)
        if counted is not None or not must:
            return counted
        try:
            return counted_in(await self._engine.stats(container), at)
        except (NotOnEngine, EngineRefused):  # it ended meanwhile
            return None

    def _end_idle(self, stops: Mapping[str, timedelta]) -> None:
        elapsed = self._world.elapsed()
        idled = self._idled
        for pod, after in stops.items():
            known = self._pods.get(pod)
            if known is not None and known.counted is not None:
                span = Span(elapsed - known.used).timedelta
                idled = idled | {(pod, known.run): span}
                if span >= after:
                    self._keeper.rest(pod)
        self._keeper.idled = idled


async def _cards_of(running: Sequence[Shown]) -> Mapping[str, Sequence[CardUse]]:
    """Return what the cards of each pod do, if any pod has one and the driver tells."""
    if not any(each.devices for each in running):
        return {}
    said = cards_in((await asyncio.to_thread(output_of, "nvidia-smi", *_ASK_CARDS)).text)
    found = {}
    for each in running:
        own = [said.get(device.rpartition("=")[2]) for device in each.devices]
        known = [card for card in own if card is not None]
        if known and len(known) == len(own):
            found[each.container.pod] = known
    return found

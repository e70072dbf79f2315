"""When pods were last used: their programs compute, their network moves, somebody reaches them.

A pod with an idle stop is stopped by this. What a graphics card does is not looked at: whoever
drives one keeps a processor busier than the least that counts here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from puna.agent.engine import Engine
from puna.agent.keeper import Keeper
from puna.world import World

_LEAST_SHARE = 0.05
"""Of one processor: an idle server takes less."""
_LEAST_BYTES_S = 1000
"""Of the network: what bridges say to each other is less."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Used:
    """What a container has used since it began."""

    at: datetime
    processor_s: float = 0.0
    network: int = 0
    """Bytes, both ways."""


def is_busy(before: Used, after: Used) -> bool:
    """Tell whether a container did something between two looks; a new one has begun by then."""
    span = (after.at - before.at).total_seconds()
    if span <= 0:
        return False
    share = (after.processor_s - before.processor_s) / span
    rate = (after.network - before.network) / span
    return share >= _LEAST_SHARE or rate >= _LEAST_BYTES_S


def used_in(stats: Mapping[str, Any], at: datetime) -> Used:
    """Return what an engine's statistics of a container say."""
    processor = stats.get("cpu_stats") or {}
    total = (processor.get("cpu_usage") or {}).get("total_usage") or 0
    networks = (stats.get("networks") or {}).values()
    moved = sum(int(each.get(name) or 0) for each in networks for name in ("rx_bytes", "tx_bytes"))
    return Used(at, int(total) / _NS, moved)


class Activity:
    """Notes of each pod when it was last used."""

    def __init__(self, world: World, engine: Engine, keeper: Keeper) -> None:
        self._world = world
        self._engine = engine
        self._keeper = keeper
        self._seen: dict[str, Used] = {}
        self._last: dict[str, datetime] = {}

    def note(self, pod: str) -> None:
        """Note that somebody reaches a pod."""
        self._last[pod] = self._world.now()

    def active(self) -> Mapping[str, datetime]:
        """Return when each pod was last used, as far as it is known."""
        return dict(self._last)

    async def look(self) -> None:
        """Look at every container that runs. Raises what the engine says."""
        shown = [each for each in self._keeper.shown if each.is_running]
        running = {each.container.id: each.container.pod for each in shown}
        seen: dict[str, Used] = {}
        for container, pod in running.items():
            now = used_in(await self._engine.stats(container), self._world.now())
            before, seen[container] = self._seen.get(container), now
            if before is None or is_busy(before, now):
                self.note(pod)
        self._seen = seen
        self._last = {pod: at for pod, at in self._last.items() if pod in running.values()}

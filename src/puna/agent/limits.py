"""Watches what pods write beside their volumes, where no quota of the disk's bounds it."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from puna.agent.engine import Engine
from puna.agent.keeper import Keeper
from puna.units import Size, Span
from puna.world import World


@dataclass(frozen=True, slots=True)
class Excess:
    """A container that wrote more than its pod rented."""

    pod: str
    container: str
    written: Size
    allowed: Size


GLANCE = Span.of(seconds=2)
"""How often the disk's free room is looked at, which costs nothing."""
_WALK = Span.of(seconds=30)
"""How often the engine is asked at least, which walks through every file of every container."""
_MUCH = Size(10**9)
"""Whoever could have written so much since then is looked at now."""


class DiskWatch:
    """Ends containers that wrote too much."""

    def __init__(self, world: World, engine: Engine, keeper: Keeper, folder: Path) -> None:
        self._world = world
        self._engine = engine
        self._keeper = keeper
        self._folder = folder
        self._walked: Span | None = None
        self._free = 0

    async def glance(self) -> None:
        """Look if it is time, or if the disk has lost much since. Raises `EngineGone`."""
        now, free = self._world.elapsed(), self.room()
        is_time = self._walked is None or now - self._walked >= _WALK
        self._free = max(self._free, free)
        if is_time or self._free - free >= _MUCH:
            self._walked, self._free = now, free
            await self.look()

    def room(self) -> int:
        """Return what is free on the disk of containers."""
        return shutil.disk_usage(self._folder).free

    async def look(self) -> None:
        """Look once. Raises `EngineGone`."""
        if not any(each.is_running for each in self._keeper.shown):
            return
        written = await self._engine.written()
        for each in excesses(written, self._keeper.disks()):
            reason = f"it wrote {each.written} and has {each.allowed} of disk"
            self._keeper.bar(each.pod, reason)


def excesses(
    written: Mapping[str, int], disks: Sequence[tuple[str, str, Size]]
) -> Sequence[Excess]:
    """Return who wrote too much; `disks` are pod, container and what it may write. Pure."""
    return [
        Excess(pod, container, Size(written[container]), allowed)
        for pod, container, allowed in disks
        if allowed and written.get(container, 0) > allowed
    ]

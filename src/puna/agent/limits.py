"""Watches what pods write beside their volumes, where no quota of the disk's bounds it."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from puna.agent.engine import Engine
from puna.agent.keeper import Keeper
from puna.agent.written import Written, files_for, programs_of, written_in
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
"""How often every file of every container is counted at least."""
_RESTS = 20
"""Of so much time as counting takes, one part is spent counting."""
SPARE = Size(2 * 10**9)
"""What is left free of the disk: images that would take it are not fetched."""
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
        self._took = Span(0)

    async def glance(self) -> None:
        """Look if it is time, or if the disk has lost much since. Raises `EngineGone`."""
        now, free = self._world.elapsed(), self.room()
        if free < SPARE:
            self._keeper.end_pulls(f"less than {SPARE} of this host's disk are free")
        pause = max(_WALK, self._took * _RESTS)
        is_time = self._walked is None or now - self._walked >= pause
        self._free = max(self._free, free)
        if is_time or self._free - free >= _MUCH:
            self._walked, self._free = now, free
            await self.look()
            self._took = Span(self._world.elapsed() - now)

    def room(self) -> int:
        """Return what is free on the disk of containers."""
        return shutil.disk_usage(self._folder).free

    async def look(self) -> None:
        """Look once. Raises `EngineGone`."""
        running = {each.container.id: each for each in self._keeper.shown if each.is_running}
        if not running:
            return
        disks = self._keeper.disks()
        for pod, container, allowed in disks:
            folders = running[container].folders
            most = Written(allowed, files_for(allowed, self._folder))
            if folders and allowed:
                found = await asyncio.to_thread(_written, folders, container, most)
                if reason := why_excess(found, most):
                    self._keeper.bar(pod, reason)
        if any(not each.folders for each in running.values()):
            written = await self._engine.written()
            for each in excesses(written, disks):
                self._keeper.bar(
                    each.pod, f"it wrote {each.written} and has {each.allowed} of disk"
                )


def _written(folders: Sequence[Path], container: str, most: Written) -> Written:
    return written_in(folders, programs_of(container), most=most)


def why_excess(found: Written, most: Written) -> str:
    """Say what of its disk a container has taken too much of; empty if it has not. Pure."""
    if found.size > most.size:
        return f"it wrote more than the {Size(most.size)} of disk that it has"
    if most.files and found.files > most.files:
        return f"it made more than {most.files} files, which is its part of the disk's"
    return ""


def excesses(
    written: Mapping[str, int], disks: Sequence[tuple[str, str, Size]]
) -> Sequence[Excess]:
    """Return who wrote too much; `disks` are pod, container and what it may write. Pure."""
    return [
        Excess(pod, container, Size(written[container]), allowed)
        for pod, container, allowed in disks
        if allowed and written.get(container, 0) > allowed
    ]

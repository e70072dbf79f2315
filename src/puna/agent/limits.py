"""Watches what pods write beside their volumes, where no quota of the disk's bounds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from puna.agent.engine import Engine
from puna.agent.keeper import Keeper
from puna.units import Size


@dataclass(frozen=True, slots=True)
class Excess:
    """A container that wrote more than its pod rented."""

    pod: str
    container: str
    written: Size
    allowed: Size


class DiskWatch:
    """Ends containers that wrote too much."""

    def __init__(self, engine: Engine, keeper: Keeper, *, is_needed: bool) -> None:
        self._engine = engine
        self._keeper = keeper
        self._is_needed = is_needed

    async def look(self) -> None:
        """Look once. Raises `EngineGone`."""
        if not self._is_needed or not any(each.is_running for each in self._keeper.shown):
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

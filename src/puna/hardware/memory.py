"""How much memory models can have on this machine, limits of a container respected."""

from dataclasses import dataclass
from pathlib import Path

import psutil

from puna.hardware.cgroups import Limits, read_limits
from puna.units import Size


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a machine or a card."""

    total: Size
    available: Size
    """What can be had without pushing out anything that is in use."""


def available_memory(root: Path = Path("/")) -> Memory:
    """Return the memory that this process can use now; blocks for less than a millisecond."""
    machine = psutil.virtual_memory()
    return within(Memory(Size(machine.total), Size(machine.available)), read_limits(root))


def within(memory: Memory, limits: Limits) -> Memory:
    """Return what of a machine's memory is left within limits."""
    total = memory.total if limits.memory is None else min(memory.total, limits.memory)
    free = memory.available
    if limits.memory_free is not None:
        free = min(free, limits.memory_free)
    return Memory(Size(total), Size(min(free, total)))

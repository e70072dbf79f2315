"""The processor: its name, its cores, and how many threads are worth starting.

More threads than cores that this process may use make a model slower, not faster: each waits for
the slowest at the end of every step.
"""

import os
import platform
from collections.abc import Iterator, Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import psutil

from puna.hardware.cgroups import Limits, read_limits
from puna.hardware.programs import output_of
from puna.hardware.system_files import read_system_file
from puna.units import Span

_A_MOMENT = Span.of(ms=300)
_ZEN_4 = "25"
"""Zen 3 has the same number, and no 512-bit instructions."""


@dataclass(frozen=True, slots=True)
class Processor:
    """The processor, as far as this process may use it."""

    name: str
    cores: int
    """Cores that this process may run on; two threads of one core count once."""
    threads: int
    """Threads that can run at once: by affinity, and by the time that a container may take."""

    @property
    def best_threads(self) -> int:
        """How many threads to compute with."""
        return max(1, min(self.threads, self.cores))


def detect_processor(root: Path = Path("/")) -> Processor:
    """Return this machine's processor; blocks for milliseconds."""
    listing = read_system_file(root / "proc/cpuinfo")
    allowed = _allowed()
    cores = count_cores(listing, allowed) or min(psutil.cpu_count(logical=False) or 1, len(allowed))
    name = parse_name(listing) or _name_elsewhere()
    return Processor(name, cores, usable_threads(len(allowed), read_limits(root)))


def halves_wide_steps(listing: str) -> bool:
    """Tell from `/proc/cpuinfo` whether the processor takes 512-bit instructions in two halves.

    Such cores (AMD's Zen 4) win nothing by them, and programs written for 256 bits are faster.
    """
    entry = next(_entries(listing), {})
    return (
        entry.get("vendor_id") == "AuthenticAMD"
        and entry.get("cpu family") == _ZEN_4
        and "avx512f" in entry.get("flags", "").split()
    )


def busy_share(over: Span = _A_MOMENT) -> float:
    """Return the share of all processors, from 0 to 1, that was in use for a moment; blocks."""
    return min(1.0, max(0.0, psutil.cpu_percent(over.seconds) / 100))


def usable_threads(allowed: int, limits: Limits) -> int:
    """Return how many threads can run at once on `allowed` processors within limits."""
    share = allowed if limits.processors is None else int(limits.processors)
    return max(1, min(allowed, share))


def parse_name(listing: str) -> str:
    """Return the processor's name from `/proc/cpuinfo`; empty where it has none (most ARM)."""
    for entry in _entries(listing):
        name = entry.get("model name") or entry.get("Model") or ""
        if name:
            return " ".join(name.split())
    return ""


def count_cores(listing: str, allowed: AbstractSet[int]) -> int:
    """Count the cores of the allowed processors in `/proc/cpuinfo`; 0 where it does not tell."""
    cores = {
        (entry.get("physical id", "0"), entry["core id"])
        for entry in _entries(listing)
        if "core id" in entry and _number(entry.get("processor", "")) in allowed
    }
    return len(cores)


def _entries(listing: str) -> Iterator[dict[str, str]]:
    for block in listing.split("\n\n"):
        lines = (line.partition(":") for line in block.splitlines())
        yield {name.strip(): value.strip() for name, _, value in lines}


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _allowed() -> AbstractSet[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(psutil.cpu_count() or 1))


def _name_elsewhere() -> str:
    if platform.system() == "Darwin":
        return output_of("sysctl", "-n", "machdep.cpu.brand_string").text or platform.machine()
    return platform.processor() or platform.machine() or "processor"

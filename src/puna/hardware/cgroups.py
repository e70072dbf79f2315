"""The limits that a container or a service manager sets on this process, on Linux.

A limit can stand at any level of the tree of control groups; the tightest one counts. Both versions
of the interface are read, since many machines still have the first for memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from puna.hardware.system_files import read_system_file
from puna.units import Size

_TREE = Path("sys/fs/cgroup")
_NO_LIMIT = 2**60
"""The first version says that there is no limit by a number of about 2**63."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What this process may use; None where nothing limits it."""

    memory: Size | None
    memory_free: Size | None
    """What is left of `memory`, with what the kernel can give back at once (cached files)."""
    processors: float | None
    """Processors' worth of time; 1.5 is one and a half."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The group of this process for each kind of limit, as paths below the mounted trees."""

    unified: str | None
    memory: str | None
    processor: str | None


def parse_groups(text: str) -> Groups:
    """Read `/proc/self/cgroup`: lines of number, kinds and path."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        kinds, separator, path = rest.partition(":")
        if not separator:
            continue
        names = kinds.split(",") if kinds else ["unified"] if number == "0" else []
        found |= dict.fromkeys(names, path)
    return Groups(found.get("unified"), found.get("memory"), found.get("cpu"))


def parse_limit(text: str) -> int | None:
    """Read a limit in bytes or microseconds: a number, or `max` and -1 for none."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if 0 <= number < _NO_LIMIT else None


def parse_quota(text: str) -> float | None:
    """Read the second version's `cpu.max`: microseconds of time, and of the period for them."""
    quota, _, period = text.partition(" ")
    return share_of(parse_limit(quota), parse_limit(period))


def share_of(quota: int | None, period: int | None) -> float | None:
    """Return the processors that a quota in each period is worth."""
    return quota / period if quota and period else None


def parse_cached(text: str, *, prefix: str = "") -> int:
    """Read from `memory.stat` how many bytes are cached files, which are given back when needed."""
    names = {f"{prefix}inactive_file", f"{prefix}active_file"}
    pairs = (line.partition(" ") for line in text.splitlines())
    return sum(parse_limit(value) or 0 for name, _, value in pairs if name in names)


def read_limits(root: Path = Path("/")) -> Limits:
    """Return the limits on this process. `root` is where the system's files are."""
    groups = parse_groups(read_system_file(root / "proc/self/cgroup"))
    memory = [*_unified_memory(root, groups), *_old_memory(root, groups)]
    processors = [*_unified_processors(root, groups), *_old_processors(root, groups)]
    return Limits(
        memory=min((limit for limit, _ in memory), default=None),
        memory_free=min((Size(max(0, limit - used)) for limit, used in memory), default=None),
        processors=min(processors, default=None),
    )


def _unified_memory(root: Path, groups: Groups) -> Iterator[tuple[Size, int]]:
    for folder in _levels(root / _TREE, groups.unified):
        limit = parse_limit(read_system_file(folder / "memory.max"))
        if limit is not None:
            used = parse_limit(read_system_file(folder / "memory.current")) or 0
            cached = parse_cached(read_system_file(folder / "memory.stat"))
            yield Size(limit), max(0, used - cached)


def _old_memory(root: Path, groups: Groups) -> Iterator[tuple[Size, int]]:
    for folder in _levels(root / _TREE / "memory", groups.memory):
        limit = parse_limit(read_system_file(folder / "memory.limit_in_bytes"))
        if limit is not None:
            used = parse_limit(read_system_file(folder / "memory.usage_in_bytes")) or 0
            cached = parse_cached(read_system_file(folder / "memory.stat"), prefix="total_")
            yield Size(limit), max(0, used - cached)


def _unified_processors(root: Path, groups: Groups) -> Iterator[float]:
    for folder in _levels(root / _TREE, groups.unified):
        share = parse_quota(read_system_file(folder / "cpu.max"))
        if share is not None:
            yield share


def _old_processors(root: Path, groups: Groups) -> Iterator[float]:
    for folder in _levels(root / _TREE / "cpu", groups.processor):
        quota = parse_limit(read_system_file(folder / "cpu.cfs_quota_us"))
        share = share_of(quota, parse_limit(read_system_file(folder / "cpu.cfs_period_us")))
        if share is not None:
            yield share


def _levels(tree: Path, group: str | None) -> Iterator[Path]:
    """Yield a group's folder and all above it, up to the tree's root.

    Inside a container the group's own path is often not there, and the root is the group.
    """
    if group is None:
        return
    below = PurePosixPath(group.lstrip("/"))
    if ".." not in below.parts:
        yield from (tree / part for part in (below, *below.parents))

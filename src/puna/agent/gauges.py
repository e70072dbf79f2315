"""Reads what a container uses from the kernel's files: a hundred times cheaper than its engine.

The kernel counts by control groups, in the second version of their files or the first. A group
that does not bear the container's id is not its own, and is not believed: it would be the whole
machine's. Where these files cannot be read, the engine can still be asked.
"""

from pathlib import Path

from puna.agent.usage import Counted
from puna.units import Span

_SECOND, _PROCESSORS, _MEMORY = "", "cpuacct", "memory"
_US = 1000


def read_gauges(container: str, pid: int, at: Span, root: Path = Path("/")) -> Counted | None:
    """Return what a container has used, by its first process; None where no file says."""
    if pid <= 0:
        return None
    try:
        groups = _groups_of(container, root / f"proc/{pid}/cgroup")
        processor = _processor_ns(groups, root / "sys/fs/cgroup")
        memory = _memory(groups, root / "sys/fs/cgroup")
        network = _moved((root / f"proc/{pid}/net/dev").read_text(encoding="ascii"))
    except (OSError, ValueError, KeyError):
        return None
    return Counted(at, processor, network, memory)


def _groups_of(container: str, file: Path) -> dict[str, str]:
    """Return the container's own groups by what each of them counts."""
    found: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        _, kinds, path = line.split(":", 2)
        before, own, after = path.partition(container)
        if own:  # programs inside may have made groups below it
            whole = f"{before}{own}{after.partition('/')[0]}".lstrip("/")
            found |= dict.fromkeys(kinds.split(","), whole)
    return found


def _processor_ns(groups: dict[str, str], root: Path) -> int:
    if _PROCESSORS in groups:
        return int((root / _PROCESSORS / groups[_PROCESSORS] / "cpuacct.usage").read_text())
    said = (root / groups[_SECOND] / "cpu.stat").read_text(encoding="ascii")
    return _named(said)["usage_usec"] * _US


def _memory(groups: dict[str, str], root: Path) -> int:
    """Return the memory in use, without what the kernel only keeps until somebody needs it."""
    if _MEMORY in groups:
        folder = root / _MEMORY / groups[_MEMORY]
        used, idle = folder / "memory.usage_in_bytes", "total_inactive_file"
    else:
        folder = root / groups[_SECOND]
        used, idle = folder / "memory.current", "inactive_file"
    kept = _named((folder / "memory.stat").read_text(encoding="ascii")).get(idle, 0)
    return max(0, int(used.read_text()) - kept)


def _named(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in (line.split() for line in text.splitlines())}


def _moved(text: str) -> int:
    """Return the bytes that went over all networks but its own loop, both ways."""
    total = 0
    for line in text.splitlines()[2:]:
        name, _, figures = line.partition(":")
        if name.strip() != "lo":
            each = figures.split()
            total += int(each[0]) + int(each[8])
    return total

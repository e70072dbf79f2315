"""What a container has written to this machine's disk beside its volume, as the disk counts it.

Engines add up how long files are. So a million files of one letter would be a megabyte, and what a
program goes on writing to a file that it has removed would be nothing. Here blocks are counted, and
files, and what is open and has no name any more. No link is followed.
"""

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 512
_LEAST_FILES = 100_000
_MOST_OPEN = 200_000
"""Of open files at one look, of all programs of a container."""


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes and files, folders among them."""

    size: int = 0
    files: int = 0


def files_for(size: int, folder: Path) -> int:
    """Return how many files may be where so many bytes may be: a like part of the disk's.

    Zero where the disk has no end of them.
    """
    disk = os.statvfs(folder)
    whole = disk.f_blocks * disk.f_frsize
    if not disk.f_files or not whole:
        return 0
    return max(_LEAST_FILES, disk.f_files * size // whole)


def written_in(folders: Sequence[Path], programs: Sequence[int], *, most: Written) -> Written:
    """Count what is in some folders, and what programs hold open that has no name. Blocks.

    Counting ends as soon as there is more than `most`; a limit of zero is none.
    """
    size = files = 0
    seen: set[tuple[int, int]] = set()
    for each in _all_in(folders, programs):
        if each.st_nlink != 1 and not stat.S_ISDIR(each.st_mode):
            if (each.st_dev, each.st_ino) in seen:
                continue
            seen.add((each.st_dev, each.st_ino))
        size, files = size + each.st_blocks * _BLOCK, files + 1
        if (most.size and size > most.size) or (most.files and files > most.files):
            break
    return Written(size, files)


def _all_in(folders: Sequence[Path], programs: Sequence[int]) -> Iterator[os.stat_result]:
    disks: set[int] = set()
    for folder in folders:
        try:
            disks.add(folder.stat().st_dev)
        except OSError:  # it is gone, or not ours to see
            continue
        yield from _below(folder)
    yield from _nameless(programs, disks)


def _below(folder: Path) -> Iterator[os.stat_result]:
    waiting = [str(folder)]
    while waiting:
        for each in _listed(waiting.pop()):
            about = _about(each, follows=False)
            if about is not None:
                yield about
                if stat.S_ISDIR(about.st_mode):
                    waiting.append(each.path)


def _nameless(programs: Sequence[int], disks: Collection[int]) -> Iterator[os.stat_result]:
    """Yield files on some disks that were removed, and that a program has open or mapped."""
    looked = 0
    for pid in programs:
        own = {*disks, *_root_of(pid)}
        for kind in ("fd", "map_files"):
            for each in _listed(f"/proc/{pid}/{kind}"):
                looked += 1
                if looked > _MOST_OPEN:
                    return
                about = _about(each, follows=True)
                is_nameless = about is not None and not about.st_nlink
                if about and is_nameless and stat.S_ISREG(about.st_mode) and about.st_dev in own:
                    yield about


def _listed(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder; nothing of one that is gone, or not ours to see."""
    with suppress(OSError), os.scandir(folder) as found:
        yield from found


def _about(entry: os.DirEntry[str], *, follows: bool) -> os.stat_result | None:
    """Return what the disk knows of a file; None where it is gone meanwhile."""
    try:
        return entry.stat(follow_symlinks=follows)
    except OSError:
        return None


def _root_of(pid: int) -> Iterator[int]:
    """Yield the disk that a program takes for its root, which a container's layers make up."""
    try:
        yield Path(f"/proc/{pid}/root").stat().st_dev
    except OSError:
        return


def programs_of(container: str, proc: Path = Path("/proc")) -> Sequence[int]:
    """Return the processes of a container, as this machine numbers them."""
    found = []
    for each in proc.iterdir():
        if each.name.isdigit():
            try:
                groups = (each / "cgroup").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            if container in groups:
                found.append(int(each.name))
    return found

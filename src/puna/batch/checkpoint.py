"""The folder of a job: what is needed to go on after anything, and to write the output.

```
order.json          what was ordered
manifest.json       written once, after the intake
texts, numbers, ... the intake's files
parts/00000012      one shard's outcomes, written once
lock                held by the one process that runs the job
workers.json        who computes
rented.json         the machines that are rented for the job
pause               somebody asks that process to stop
progress.json       how far it is, for others to read
finished.json       the output is written
```

A part is whole or absent: it goes to a temporary name, to the disk, and only then to its own. It
carries a digest over the job's manifest, its number and its content, so a part of another job, and
one that the disk has damaged, is noticed and computed again.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import numpy as np

from puna.batch.strings import Packed, Strings
from puna.errors import Conflict
from puna.library.disk import remove_tree, write_whole
from puna.library.lock import Lock, try_lock
from puna.units import Span
from puna.world import wait_until

CREW = "workers.json"
"""Who computes, as the command line notes it."""
RENTED = "rented.json"
"""The machines that are rented for the job."""
_KEPT = {"lock", CREW, RENTED}
_MARK = b"puna-part 1 "
_HEAD = len(_MARK) + 64 + 1
_COUNT = 8
_LOOK = Span.of(ms=300)


class JobRuns(Conflict):
    """Another process runs the job now."""

    code = "job_runs"


class Checkpoint:
    """The folder of one job. Methods block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = folder / "parts"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the one process that runs the job. Raises `JobRuns`."""
        self._parts.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileIO(os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)) as file:
            # Whoever only looks whether the job runs holds the lock for a moment.
            if not wait_until(lambda: try_lock(file.fileno()) is not Lock.THEIRS, limit=_LOOK):
                raise JobRuns(
                    f"the job {self.folder.name} is already running",
                    hint=f"see `puna batch show {self.folder.name}`, or pause it first",
                )
            yield

    @property
    def runs(self) -> bool:
        """Whether a process runs the job now."""
        try:
            with (self.folder / "lock").open("rb") as file:
                return try_lock(file.fileno()) is Lock.THEIRS
        except FileNotFoundError:
            return False

    def read(self, name: str) -> bytes | None:
        """Return one of the small files; None if it is not there."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write one of the small files, whole or not at all."""
        temporary = self.folder / f".{name}.new"
        temporary.unlink(missing_ok=True)
        write_whole(self.folder / name, content, temporary=temporary)

    def note(self, name: str, content: bytes) -> None:
        """Write a small file that nothing depends on: whole, but not at once to the disk."""
        temporary = self.folder / f".{name}.new"
        temporary.write_bytes(content)
        temporary.replace(self.folder / name)

    def append(self, name: str, line: bytes) -> None:
        """Add a line to a file that nothing depends on."""
        with (self.folder / name).open("ab") as file:
            file.write(line + b"\n")

    def remove(self, name: str) -> None:
        """Remove one of the small files."""
        (self.folder / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove everything but the lock, which is held, who computes, and what is rented."""
        for path in self.folder.iterdir():
            if path.name in _KEPT:
                continue
            if path.is_dir():
                remove_tree(path)
            else:
                path.unlink()
        self._parts.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put_part(self, number: int, outcomes: Packed, job: str) -> None:
        """Write a shard's outcomes, once. What is there already stays."""
        path = self._part(number)
        if path.exists():
            return
        temporary = path.with_name(f".{path.name}.new")
        temporary.unlink(missing_ok=True)
        write_whole(path, _pack(number, outcomes, job), temporary=temporary)

    def part(self, number: int, job: str) -> Packed | None:
        """Return a shard's outcomes; None if there is no whole part."""
        try:
            content = self._part(number).read_bytes()
        except FileNotFoundError:
            return None
        return _unpack(content, number, job)

    def whole_parts(self, shards: int, job: str) -> Iterator[tuple[int, Packed]]:
        """Yield the shards that are done with their outcomes; damaged parts are removed."""
        with os.scandir(self._parts) as entries:
            names = {each.name for each in entries}
        for number in range(shards):
            if f"{number:08d}" not in names:
                continue
            outcomes = self.part(number, job)
            if outcomes is None:
                self._part(number).unlink(missing_ok=True)
            else:
                yield number, outcomes

    def texts(self) -> Strings:
        """Open the distinct texts; the caller closes them."""
        return Strings(self.folder / "texts")

    def _part(self, number: int) -> Path:
        return self._parts / f"{number:08d}"


def _pack(number: int, outcomes: Packed, job: str) -> bytes:
    count = len(outcomes).to_bytes(_COUNT, "little")
    body = b"".join((count, outcomes.ends.tobytes(), outcomes.content))
    return _MARK + _digest(number, body, job).encode() + b"\n" + body


def _unpack(content: bytes, number: int, job: str) -> Packed | None:
    head, body = content[:_HEAD], memoryview(content)[_HEAD:]
    if head != _MARK + _digest(number, body, job).encode() + b"\n":
        return None
    begin = _COUNT + 8 * int.from_bytes(body[:_COUNT], "little")
    return Packed(body[begin:], np.frombuffer(body[_COUNT:begin], np.int64))


def _digest(number: int, body: bytes | memoryview, job: str) -> str:
    found = hashlib.sha256(f"{job} {number}\n".encode())
    found.update(body)
    return found.hexdigest()

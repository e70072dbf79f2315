"""Many byte strings on disk, read by number: one file of content, one of where each begins.

Written once from beginning to end; a reader holds only what it is asked for, so memory stays the
same however many there are.
"""

import os
from collections.abc import Iterable, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

_OFFSET = 8
_GATHER = 2**16


class StringsWriter:
    """Appends strings. `finish` makes them durable; without it the files are of no use."""

    def __init__(self, path: Path) -> None:
        self._content = path.open("wb")
        self._offsets = _offsets_of(path).open("wb")
        self._offsets.write(np.zeros(1, np.int64).tobytes())
        self._end = 0
        self.count = 0

    def extend(self, strings: Sequence[bytes]) -> None:
        """Append some strings."""
        if not strings:
            return
        lengths = np.fromiter(map(len, strings), np.int64, len(strings))
        ends = np.cumsum(lengths) + self._end
        self._content.writelines(strings)
        self._offsets.write(ends.tobytes())
        self._end = int(ends[-1])
        self.count += len(strings)

    def finish(self) -> None:
        """Flush both files to the disk and close them."""
        for file in (self._content, self._offsets):
            file.flush()
            os.fsync(file.fileno())
            file.close()


class Strings:
    """Reads them. Close it, or use it as a context."""

    def __init__(self, path: Path) -> None:
        self._content = FileIO(str(path))
        self._offsets = FileIO(str(_offsets_of(path)))
        self.count = os.fstat(self._offsets.fileno()).st_size // _OFFSET - 1

    def __len__(self) -> int:
        return self.count

    def stretch(self, first: int, count: int) -> list[bytes]:
        """Return strings that follow each other."""
        count = min(count, self.count - first)
        if count <= 0:
            return []
        raw = os.pread(self._offsets.fileno(), (count + 1) * _OFFSET, first * _OFFSET)
        ends: list[int] = np.frombuffer(raw, np.int64).tolist()
        content = _read(self._content, ends[0], ends[-1] - ends[0])
        base = ends[0]
        return [content[ends[n] - base : ends[n + 1] - base] for n in range(count)]

    def gather(self, numbers: Iterable[int]) -> list[bytes]:
        """Return strings in any order; a negative number is an empty string."""
        return [self.stretch(number, 1)[0] if number >= 0 else b"" for number in numbers]

    def close(self) -> None:
        """Close the files."""
        self._content.close()
        self._offsets.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _offsets_of(path: Path) -> Path:
    return path.with_name(path.name + ".offsets")


def _read(file: FileIO, place: int, size: int) -> bytes:
    """Read a stretch whole; the system gives at most 2 GB at once."""
    found = os.pread(file.fileno(), size, place)
    while len(found) < size and (
        more := os.pread(file.fileno(), size - len(found), place + len(found))
    ):
        found += more
    return found

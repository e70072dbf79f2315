"""Many byte strings on disk, read by number: one file of content, one of where each begins.

Written once from beginning to end; a reader holds only what it is asked for, so memory stays the
same however many there are.
"""

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

_OFFSET = 8
_STEP = 256
"""Strings that are looked up before memory is let go: each can bring in 64 KB of either file."""


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
        self.close()

    def close(self) -> None:
        """Close both files, whole or not."""
        self._content.close()
        self._offsets.close()


class Strings:
    """Reads them. Close it, or use it as a context.

    The files are mapped into memory, and what was looked at is let go after each call, so that the
    process never holds more of them than one call needs.
    """

    def __init__(self, path: Path) -> None:
        self._content = _mapped(path)
        self._places = _mapped(_offsets_of(path))
        self.count = len(self._places) // _OFFSET - 1

    def __len__(self) -> int:
        return self.count

    def stretch(self, first: int, count: int) -> list[bytes]:
        """Return strings that follow each other."""
        count = min(count, self.count - first)
        if count <= 0:
            return []
        raw = self._places[first * _OFFSET : (first + count + 1) * _OFFSET]
        ends: list[int] = np.frombuffer(raw, np.int64).tolist()
        content = self._content
        found = [content[ends[n] : ends[n + 1]] for n in range(count)]
        self._let_go()
        return found

    def gather(self, numbers: Sequence[int]) -> list[bytes]:
        """Return strings in any order; a negative number is an empty string."""
        found: list[bytes] = []
        for first in range(0, len(numbers), _STEP):
            found += self._gather(numbers[first : first + _STEP])
            self._let_go()
        return found

    def _gather(self, numbers: Sequence[int]) -> list[bytes]:
        wanted = np.asarray(numbers, np.int64)
        is_there = wanted >= 0
        places = np.frombuffer(self._places, np.int64)
        some = np.where(is_there, wanted, 0)
        begins = places[some]
        ends = np.where(is_there, places[some + 1], begins) if self.count else begins
        del places  # a view keeps the map from being closed
        content = self._content
        pairs = zip(begins.tolist(), ends.tolist(), strict=True)
        return [content[begin:end] for begin, end in pairs]

    def _let_go(self) -> None:
        for each in (self._content, self._places):
            if isinstance(each, mmap.mmap):
                each.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Close the files."""
        for each in (self._content, self._places):
            if isinstance(each, mmap.mmap):
                each.close()

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


def _mapped(path: Path) -> mmap.mmap | bytes:
    """Return a file's content without reading it; an empty file cannot be mapped."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

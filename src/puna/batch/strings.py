"""Many byte strings on disk, read by number: one file of content, one of where each begins.

Written once from beginning to end; a reader holds only what it is asked for, so memory stays the
same however many there are.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Self

import numpy as np

_OFFSET = 8
_BOTH = Struct("=qq")


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

    The files are read and not mapped: of a mapped file the system brings in as much around each
    look as it likes, and all of it counts as the process's.
    """

    def __init__(self, path: Path) -> None:
        self._content = path.open("rb", buffering=0)
        self._places = _offsets_of(path).open("rb", buffering=0)
        self.count = max(0, os.fstat(self._places.fileno()).st_size // _OFFSET - 1)

    def __len__(self) -> int:
        return self.count

    def stretch(self, first: int, count: int) -> list[bytes]:
        """Return strings that follow each other."""
        count = min(count, self.count - first)
        if count <= 0:
            return []
        raw = os.pread(self._places.fileno(), (count + 1) * _OFFSET, first * _OFFSET)
        ends: list[int] = np.frombuffer(raw, np.int64).tolist()
        begin = ends[0]
        content = os.pread(self._content.fileno(), ends[-1] - begin, begin)
        return [content[ends[n] - begin : ends[n + 1] - begin] for n in range(count)]

    def gather(self, numbers: Sequence[int]) -> list[bytes]:
        """Return strings in any order; a negative number is an empty string."""
        places, content, read = self._places.fileno(), self._content.fileno(), os.pread
        found: list[bytes] = []
        for number in numbers:
            if number < 0:
                found.append(b"")
                continue
            begin, end = _BOTH.unpack(read(places, 2 * _OFFSET, number * _OFFSET))
            found.append(read(content, end - begin, begin))
        return found

    def close(self) -> None:
        """Close the files."""
        self._content.close()
        self._places.close()

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

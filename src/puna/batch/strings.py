"""Many byte strings on disk, read by number: one file of content, one of where each begins.

Written once from beginning to end; a reader holds only what it is asked for, so memory stays the
same however many there are.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from puna.library.disk import sync_file

_OFFSET = 8
Places = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Packed:
    """Some strings, one behind the other."""

    content: bytes | memoryview
    ends: Places
    """Where each of them ends."""

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[bytes]:
        begin = 0
        for end in self.ends.tolist():
            yield bytes(self.content[begin:end])
            begin = end

    @property
    def lengths(self) -> Places:
        """How long each of them is."""
        return np.diff(self.ends, prepend=0)

    @property
    def firsts(self) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
        """The first byte of each of them; 0 where there is none."""
        begins = self.ends - self.lengths
        content = np.frombuffer(bytes(self.content) + b"\0", np.uint8)
        return np.where(self.lengths > 0, content[begins], 0)


def pack_strings(strings: Sequence[bytes]) -> Packed:
    """Put strings one behind the other."""
    lengths = np.fromiter(map(len, strings), np.int64, len(strings))
    return Packed(b"".join(strings), np.cumsum(lengths))


def strings_of(texts: pa.LargeStringArray) -> Packed:
    """Return the texts of arrow as strings."""
    if not len(texts):
        return pack_strings(())
    places = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset :][: len(texts) + 1]
    content = memoryview(texts.buffers()[2] or b"")[int(places[0]) : int(places[-1])]
    return Packed(content, places[1:] - places[0])


class StringsWriter:
    """Appends strings. `finish` makes them durable; without it the files are of no use."""

    def __init__(self, path: Path) -> None:
        self._content = path.open("wb")
        self._offsets = _offsets_of(path).open("wb")
        self._offsets.write(np.zeros(1, np.int64).tobytes())
        self._end = 0
        self._lengths: set[int] = set()
        self.count = 0

    def extend(self, strings: Packed) -> None:
        """Append some strings."""
        if not len(strings):
            return
        if len(self._lengths) <= 1:
            lengths = strings.lengths
            self._lengths |= {int(lengths.min()), int(lengths.max())}
        self._content.write(strings.content)
        self._offsets.write((strings.ends + self._end).tobytes())
        self._end += int(strings.ends[-1])
        self.count += len(strings)

    @property
    def width(self) -> int | None:
        """How long all of them are; None if they are not of one length."""
        return next(iter(self._lengths)) if len(self._lengths) == 1 else None

    def finish(self, *, lasts: bool = True) -> None:
        """Close both files; flushed to the disk before, unless they are for this run alone."""
        for file in (self._content, self._offsets) if lasts else ():
            sync_file(file)
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

    def __init__(self, path: Path, width: int | None = None) -> None:
        """Open what was written; `width` is how long all are, where that is known."""
        self._width = width
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

    def gather(self, numbers: Places) -> Packed:
        """Return strings in any order; a negative number is an empty string."""
        lengths = np.zeros(len(numbers), np.int64)
        known = numbers >= 0
        begins, lengths[known] = self._found(numbers[known])
        file = self._content.fileno()
        found = map(os.pread, repeat(file), lengths[known].tolist(), begins.tolist())
        return Packed(b"".join(found), np.cumsum(lengths))

    def _found(self, numbers: Places) -> tuple[Places, Places]:
        """Return where some strings begin and how long they are."""
        if self._width is not None:
            return numbers * self._width, np.full(len(numbers), self._width)
        reads = repeat(self._places.fileno()), repeat(2 * _OFFSET), (numbers * _OFFSET).tolist()
        begins, ends = np.frombuffer(b"".join(map(os.pread, *reads)), np.int64).reshape(-1, 2).T
        return begins, ends - begins

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

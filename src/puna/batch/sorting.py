"""Rows in the order of their texts, however many there are, in memory that stays the same.

Rows are written in blocks, each sorted by itself. A sample of all blocks says where to cut the
alphabet, so that what lies between two cuts is as large as one block in all blocks together. Each
such stretch is gathered from the blocks, sorted and passed on, one after another. A text that alone
would fill a stretch, as where a million rows are the same, has one of its own, which is in order
as it is.

Files are read, and never mapped: a look at one row of a mapped file brings in as much as the system
likes, and all of it counts as the process's.
"""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SCHEMA = pa.schema([("row", pa.int64()), ("text", pa.large_string())])
_BLOCK = 2 * 2**20
"""Bytes of a block, and of a stretch."""
_FEW, _GROWTH = 64, 4
"""Beyond so many blocks they grow, up to so many times: each stretch is gathered from all."""
_ROW = 16
"""Bytes that a row takes beside its text."""
_SAMPLES, _LEAST = 8192, 32
"""Texts that are looked at to know where to cut: of all blocks, and at least of each."""
_GOLDEN = 0.6180339887498949
_WIDTH = 8

pa.set_memory_pool(pa.system_memory_pool())  # arrow's own keeps whatever it once had

Places = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class _Block:
    """Where a block lies in the file: numbers of rows, where each text begins, and the texts."""

    begin: int
    rows: int

    @property
    def places(self) -> int:
        """Where the beginnings of the texts begin."""
        return self.begin + _WIDTH * self.rows

    @property
    def texts(self) -> int:
        """Where the texts begin."""
        return self.places + _WIDTH * (self.rows + 1)


class RowSorter:
    """Takes rows with their texts, and gives them back sorted, or as they came. Blocks.

    Use it as a context: its file is there as long as it is.
    """

    def __init__(self, path: Path, *, sorts: bool) -> None:
        self._path, self._sorts = path, sorts
        self._file = path.open("w+b")
        self._parts: list[pa.RecordBatch] = []
        self._size = self._end = 0
        self._blocks: list[_Block] = []

    def add(self, rows: Places, texts: pa.LargeStringArray) -> None:
        """Take some rows."""
        if not len(rows):
            return
        self._parts.append(pa.record_batch([pa.array(rows), texts], schema=_SCHEMA))
        places = _places(texts)
        self._size += int(places[-1] - places[0]) + _ROW * len(texts)
        if self._size >= self._block:
            self._write()

    @property
    def _block(self) -> int:
        """How large a block is now: larger in a long list, so that there are not too many."""
        return max(_BLOCK, min(self._end // _FEW, _GROWTH * _BLOCK))

    def in_order(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows, a stretch at a time."""
        if self._parts:
            self._write()
        self._file.flush()
        if not self._blocks:
            return
        for stretch in self._stretches() if self._sorts else map(self._read, self._blocks):
            yield stretch
            pa.default_memory_pool().release_unused()

    def _write(self) -> None:
        block = pa.concat_batches(self._parts)
        self._parts, self._size = [], 0
        if self._sorts:
            block = _by_text(block)
        rows, texts = block.column("row"), block.column("text")
        places = _places(texts)
        first, last = int(places[0]), int(places[-1])
        content = texts.buffers()[2]
        self._file.write(rows.to_numpy().tobytes())
        self._file.write((places - first).tobytes())
        self._file.write(memoryview(content)[first:last] if content else b"")
        self._blocks.append(_Block(self._end, len(block)))
        self._end = self._file.tell()

    def _read(self, block: _Block, begin: int = 0, end: int | None = None) -> pa.RecordBatch:
        """Return some rows of a block."""
        end = block.rows if end is None else end
        rows = self._bytes(block.begin + _WIDTH * begin, _WIDTH * (end - begin))
        told = self._bytes(block.places + _WIDTH * begin, _WIDTH * (end - begin + 1))
        places = np.frombuffer(told, np.int64)
        first, last = int(places[0]), int(places[-1])
        content = self._bytes(block.texts + first, last - first)
        buffers = [None, pa.py_buffer((places - first).tobytes()), pa.py_buffer(content)]
        texts = pa.Array.from_buffers(pa.large_string(), end - begin, buffers)
        numbers = pa.array(np.frombuffer(rows, np.int64))
        return pa.record_batch([numbers, texts], schema=_SCHEMA)

    def _bytes(self, begin: int, count: int) -> bytes:
        found = os.pread(self._file.fileno(), count, begin)
        if len(found) < count:
            raise OSError(f"{self._path} is cut")
        return found

    def _stretches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows between each two cuts, sorted."""
        cuts = list(_cut_at(self._sample(), self._block))
        ends = np.zeros((len(cuts) + 1, len(self._blocks)), np.int64)
        for number, block in enumerate(self._blocks):
            texts = _Texts(self._read(block).column("text"))
            ends[:, number] = [*(cut.place_in(texts) for cut in cuts), len(texts)]
        begins = np.zeros(len(self._blocks), np.int64)
        for turn, row in enumerate(ends):
            parts = self._parts_between(begins, row)
            if turn < len(cuts) and cuts[turn].is_behind:  # one text alone, in order as it is
                yield from parts
            elif found := list(parts):
                yield _by_text(pa.concat_batches(found))
            begins = row

    def _parts_between(self, begins: Places, ends: Places) -> Iterator[pa.RecordBatch]:
        for number in np.flatnonzero(ends > begins).tolist():
            yield self._read(self._blocks[number], int(begins[number]), int(ends[number]))

    def _sample(self) -> list[tuple[str, float]]:
        """Return texts of all blocks in order, and for how many bytes each of them stands."""
        each = max(_LEAST, -(-_SAMPLES // len(self._blocks)))
        sample: list[tuple[str, float]] = []
        for number, block in enumerate(self._blocks):
            texts = self._read(block).column("text")
            step = -(-len(texts) // each)
            shift = number * _GOLDEN % 1  # blocks are often alike: each is looked at elsewhere
            places = range(min(int(step * shift), len(texts) - 1), len(texts), step)
            stands_for = len(texts) / len(places)
            found = (texts[place].as_py() for place in places)
            sample += ((text, stands_for * (len(text) + _ROW)) for text in found)
        sample.sort()
        return sample

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Cut:
    """A place in the alphabet: before a text, or behind it."""

    text: str
    is_behind: bool = False

    def place_in(self, texts: "_Texts") -> int:
        """Return the first of sorted texts that lies behind the cut."""
        find = bisect_right if self.is_behind else bisect_left
        return find(texts, self.text)


class _Texts(Sequence[str]):
    """Texts of a block, read one by one."""

    def __init__(self, array: pa.LargeStringArray) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, place: int) -> str:  # type: ignore[override]
        text: str = self._array[place].as_py()
        return text


def _cut_at(sample: Sequence[tuple[str, float]], block: int) -> Iterator[_Cut]:
    """Yield a cut wherever sorted texts have come to the size of a block."""
    size = 0.0
    last: _Cut | None = None
    for text, weight in sample:
        size += weight
        if size < block:
            continue
        size = 0.0
        if last is None or last.text != text:
            last = _Cut(text)
            yield last
        elif not last.is_behind:
            last = _Cut(text, is_behind=True)
            yield last


def _places(texts: pa.LargeStringArray) -> Places:
    """Return where each text begins in the array's content, and where the last one ends."""
    begin = texts.offset
    return np.frombuffer(texts.buffers()[1], np.int64)[begin : begin + len(texts) + 1]


def _by_text(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows.take(pc.sort_indices(rows.column("text")))

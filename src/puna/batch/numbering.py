"""A number for each row, given in any order, written in the order of the rows.

What is given goes into one file for each half million rows, and each of those is put in order by
itself; so memory stays the same however many rows there are.
"""

from collections.abc import Iterator
from io import BufferedRandom
from pathlib import Path

import numpy as np

from puna.library.disk import remove_tree

_SPAN, _MOST_FILES = 2**19, 256
"""Rows of a file, and how many files there are before they have more."""
BAD_ROW = -1

Numbers = np.ndarray[tuple[int], np.dtype[np.int64]]


class RowNumbers:
    """The numbers of so many rows; those that are never given are `BAD_ROW`. Blocks."""

    def __init__(self, folder: Path, rows: int) -> None:
        folder.mkdir()
        self._folder, self._rows = folder, rows
        self._span = max(_SPAN, -(-rows // _MOST_FILES))
        self._files: dict[int, BufferedRandom] = {}

    def give(self, rows: Numbers, numbers: Numbers) -> None:
        """Take the numbers of some rows."""
        order = np.argsort(rows)
        pairs = np.stack([rows[order], numbers[order]], axis=1)
        spans = pairs[:, 0] // self._span
        ends = [*np.flatnonzero(np.diff(spans)) + 1, len(pairs)]
        begin = 0
        for end in ends:
            self._file(int(spans[begin])).write(pairs[begin:end].tobytes())
            begin = end

    def in_order(self) -> Iterator[Numbers]:
        """Yield the numbers of all rows, in their order."""
        for first in range(0, self._rows, self._span):
            found = np.full(min(self._span, self._rows - first), BAD_ROW, np.int64)
            file = self._files.get(first // self._span)
            if file is not None:
                file.seek(0)
                pairs = np.frombuffer(file.read(), np.int64).reshape(-1, 2)
                found[pairs[:, 0] - first] = pairs[:, 1]
            yield found

    def close(self) -> None:
        """Remove what it wrote."""
        for each in self._files.values():
            each.close()
        remove_tree(self._folder)

    def _file(self, span: int) -> BufferedRandom:
        if span not in self._files:
            self._files[span] = (self._folder / str(span)).open("w+b")
        return self._files[span]

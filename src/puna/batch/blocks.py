"""Blocks of a text file, taken whole where nothing in them needs a second look.

Most of a long list is plain: valid UTF-8, quotes around whole fields as a spreadsheet writes them,
or within some as inches are. Such a block is parsed at once, thirty times as fast as line by line.
In all others, which are told by looking at every byte of them, the line parsers find out what is
wrong with which row; they read from the same place, so the two can take turns.
"""

import io
from enum import Enum, auto

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

LONGEST_LINE = 16 * 2**20
"""Bytes of a line or a field; what is longer is a bad row, and never in memory whole."""
MOST, _LEAST = 2**20, 2**12
"""Bytes of a block, and of one that is rather read line by line than cut further."""
_QUOTE, _END = ord('"'), ord("\n")
_BREAKS = frozenset('"\r\n\0')


class Blocks:
    """A stream of text, read in blocks of whole lines or line by line, from one place."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self._returned = io.BytesIO()
        self._size = MOST
        self.place = 0
        """How many bytes were taken."""

    def readline(self, limit: int) -> bytes:
        """Take a line, or so many bytes of it; nothing at the end."""
        line = self._returned.readline(limit)
        if not line.endswith(b"\n") and len(line) < limit:
            line += self._stream.readline(limit - len(line))
        self.place += len(line)
        return line

    def take(self) -> bytes:
        """Take some whole lines; nothing at the end."""
        block = self._returned.read(self._size)
        if len(block) < self._size:
            block += self._stream.read(self._size - len(block))
        self.place += len(block)
        if block and not block.endswith(b"\n"):
            block += self.readline(LONGEST_LINE)
        return block

    def keep_on(self) -> None:
        """Note that the last block was plain: the next one may be larger."""
        self._size = min(2 * self._size, MOST)

    def give_back(self, block: bytes) -> bool:
        """Give back what was taken last; tell whether a smaller block is worth a try."""
        self._returned = io.BytesIO(block + self._returned.read())
        self.place -= len(block)
        is_small = self._size <= _LEAST
        self._size = max(self._size // 8, _LEAST)
        return not is_small


def table_of(block: bytes, columns: tuple[str, ...], delimiter: str) -> pa.Table | None:
    """Return the rows of a block of CSV; None if it takes the line parser to tell what they are."""
    if len(block) > LONGEST_LINE or not delimiter.isascii() or delimiter in _BREAKS:
        return None
    if b"\0" in block or block.count(b"\r") != block.count(b"\r\n"):
        return None
    quoting = _quoting(block, ord(delimiter)) if b'"' in block else _Quoting.NONE
    if quoting is _Quoting.ODD:
        return None
    quote = '"' if quoting is _Quoting.FIELDS else False
    options = csv.ParseOptions(
        delimiter=delimiter, quote_char=quote, ignore_empty_lines=len(columns) > 1
    )
    try:
        return csv.read_csv(
            pa.BufferReader(block),
            csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=columns),
            options,
            csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
        )
    except pa.ArrowInvalid:  # not UTF-8, or a row of another width
        return None


def lines_of(block: bytes, column: str) -> pa.Table | None:
    """Return the lines of a block as a table of one column; None if it is not UTF-8."""
    if len(block) > LONGEST_LINE:
        return None
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _END) + 1
    if not len(ends) or ends[-1] < len(block):
        ends = np.append(ends, len(block))
    places = np.concatenate(([0], ends)).astype(np.int32)
    buffers = [None, pa.py_buffer(places.tobytes()), pa.py_buffer(block)]
    found = pa.Array.from_buffers(pa.string(), len(ends), buffers)
    try:
        found.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return pa.table({column: pc.utf8_rtrim(found, "\r\n")})


class _Quoting(Enum):
    """What the quotes of a block are."""

    NONE = auto()
    """Letters like others, since none begins a field."""
    FIELDS = auto()
    """Around whole fields of one line, and doubled within."""
    ODD = auto()


def _quoting(block: bytes, delimiter: int) -> _Quoting:
    content = np.frombuffer(b"\n" + block + b"\n", np.uint8)
    quotes = np.flatnonzero(content == _QUOTE)
    if not np.isin(content[quotes - 1], (delimiter, _END)).any():
        return _Quoting.NONE
    if len(quotes) % 2:
        return _Quoting.ODD
    before, behind = content[quotes[0::2] - 1], content[quotes[1::2] + 1]
    behind = np.where(behind == ord("\r"), _END, behind)
    edges = (delimiter, _END, _QUOTE)
    if not np.isin(before, edges).all() or not np.isin(behind, edges).all():
        return _Quoting.ODD
    ends = np.flatnonzero(content == _END)
    is_within = (np.searchsorted(quotes, ends) % 2).any()
    return _Quoting.ODD if is_within else _Quoting.FIELDS

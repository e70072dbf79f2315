"""Rows as they are read: some at a time, in the input's order, each a record or a bad row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from puna.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

CHUNK_ROWS = 8192
"""Rows that are in memory at once."""
_EXCERPT = 200

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is not answered, where it stands, and why."""

    row: int
    """Its number among all rows of the input, from 1."""
    reason: str
    file: str = ""
    line: int = 0
    """The line at which it begins, or the row within a Parquet file; 0 if nobody knows."""
    text: str = ""
    """How it begins."""

    def to_record(self) -> dict[str, object]:
        """Return it as it stands in the side file, without what nobody knows."""
        where = {"file": self.file, "line": self.line, "text": self.text}
        said = {name: value for name, value in where.items() if value}
        return {"row": self.row, "reason": self.reason, **said}


def excerpt(text: str) -> str:
    """Return the beginning of a bad row, on one line and safe to print."""
    return one_line(text[: 4 * _EXCERPT], _EXCERPT)


class Chunk(Protocol):
    """Some rows that follow each other."""

    @property
    def first(self) -> int:
        """The number of its first row, from 1."""

    @property
    def bad(self) -> Sequence[BadRow]:
        """Rows that could not be read; their records hold what could."""

    def __len__(self) -> int:
        """Return how many rows there are, bad ones included."""

    def records(self) -> Sequence[Record]:
        """Return a record for each row."""

    def column(self, name: str) -> Sequence[object]:
        """Return one value of each row; None where there is none."""

    def head(self, count: int) -> "Chunk":
        """Return the first so many rows."""


@dataclass(frozen=True, slots=True)
class RecordChunk:
    """Rows of a text format."""

    first: int
    rows: tuple[Record, ...]
    bad: tuple[BadRow, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def records(self) -> Sequence[Record]:
        """Return the rows."""
        return self.rows

    def column(self, name: str) -> Sequence[object]:
        """Return one value of each row."""
        return [row.get(name) for row in self.rows]

    def head(self, count: int) -> "RecordChunk":
        """Return the first so many rows."""
        return RecordChunk(self.first, self.rows[:count], _below(self.bad, self.first + count))


@dataclass(frozen=True, slots=True)
class ArrowChunk:
    """Rows of a Parquet file with their types, or of a text file in which nothing is odd."""

    first: int
    batch: "pa.RecordBatch"
    to_python: "Callable[[pa.Array], list[object]]"
    bad: tuple[BadRow, ...] = ()

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def records(self) -> Sequence[Record]:
        """Return the rows as Python's values."""
        names = self.batch.schema.names
        columns = [self.to_python(column) for column in self.batch.columns]
        if not names:
            return [{}] * len(self)
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def column(self, name: str) -> Sequence[object]:
        """Return one value of each row."""
        return self.to_python(self.batch.column(name))

    def head(self, count: int) -> "ArrowChunk":
        """Return the first so many rows."""
        bad = _below(self.bad, self.first + count)
        return ArrowChunk(self.first, self.batch.slice(0, count), self.to_python, bad)


def _below(bad: Sequence[BadRow], end: int) -> tuple[BadRow, ...]:
    return tuple(each for each in bad if each.row < end)


class Source(Protocol):
    """An input that can be read again and again from its beginning."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns; of JSON Lines, those of the first rows."""

    def chunks(self, only: Sequence[str] | None = None) -> Iterator[Chunk]:
        """Yield all rows in order; `only` names the columns that are needed, all by default."""

"""What kinds of values the columns of a text format hold, so that Parquet gets their types.

CSV and TSV hold texts. In JSON Lines a column of whole numbers stays one, whole numbers among
others become floating ones, and a column of several kinds or of lists and objects becomes JSON
text.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

import pyarrow as pa

from puna.batch.records import ArrowChunk, Chunk, Record

_LARGEST = 2**63


class ColumnKind(StrEnum):
    """What a column holds besides nothing."""

    NOTHING = "nothing"
    TEXT = "text"
    WHOLE = "whole"
    NUMBER = "number"
    FLAG = "flag"
    JSON = "json"


class Kinds:
    """Looks at records and remembers what their columns hold, columns in order of appearance."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._found: dict[str, ColumnKind] = dict.fromkeys(columns, ColumnKind.NOTHING)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that were there."""
        return tuple(self._found)

    def look_at(self, chunk: Chunk) -> None:
        """Take in some rows."""
        if isinstance(chunk, ArrowChunk) and all(map(pa.types.is_string, chunk.batch.schema.types)):
            for name, column in zip(chunk.batch.schema.names, chunk.batch.columns, strict=True):
                kind = ColumnKind.TEXT if column.null_count < len(column) else ColumnKind.NOTHING
                self._found[name] = joined(self._found.get(name, ColumnKind.NOTHING), kind)
            return
        self._look_at(chunk.records())

    def _look_at(self, records: Iterable[Record]) -> None:
        found = self._found
        for record in records:
            for name, value in record.items():
                known = found.get(name, ColumnKind.NOTHING)
                if type(value) is str and known is ColumnKind.TEXT:
                    continue
                found[name] = joined(known, kind_of(value))

    def found(self) -> dict[str, str]:
        """Return the kind of each column."""
        return {name: kind.value for name, kind in self._found.items()}


def kind_of(value: object) -> ColumnKind:
    """Return the kind of one value."""
    match value:
        case None:
            return ColumnKind.NOTHING
        case bool():
            return ColumnKind.FLAG
        case int():
            return ColumnKind.WHOLE if -_LARGEST <= value < _LARGEST else ColumnKind.JSON
        case float():
            return ColumnKind.NUMBER
        case str():
            return ColumnKind.TEXT
    return ColumnKind.JSON


def joined(one: ColumnKind, other: ColumnKind) -> ColumnKind:
    """Return the kind that holds both."""
    if one is other or other is ColumnKind.NOTHING:
        return one
    if one is ColumnKind.NOTHING:
        return other
    if {one, other} == {ColumnKind.WHOLE, ColumnKind.NUMBER}:
        return ColumnKind.NUMBER
    return ColumnKind.JSON

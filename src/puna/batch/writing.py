"""Write rows in the formats that are read: the input's columns as they were, then the answers.

The same rows give the same bytes, in whatever steps they come. A file goes to a temporary name
beside its own, to the disk, and then to its name.
"""

import csv
import io
import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import NoneType

import pyarrow as pa
import pyarrow.parquet as pq

from puna.batch.columns import AnswerColumn, AnswerKind
from puna.batch.formats import Format, Shape
from puna.batch.kinds import ColumnKind
from puna.batch.records import ArrowChunk, Chunk, Record
from puna.library.disk import sync_folder

_GROUP_ROWS = 65536
_GROUP_BYTES = 2**26
"""A row group of Parquet is written at so many rows or bytes, so that memory stays the same."""


class RowsWriter(ABC):
    """Writes rows, some at a time."""

    @abstractmethod
    def write(self, chunk: Chunk, answers: Sequence[Sequence[object]]) -> None:
        """Write some rows with their answer columns."""

    @abstractmethod
    def finish(self) -> None:
        """Write what is left."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Let go of what is open, whether all was written or not."""


class TableWriter(RowsWriter):
    """CSV and TSV: everything is text, lists and objects are JSON text, nothing is empty."""

    def __init__(
        self, file: pa.NativeFile, delimiter: str, names: Sequence[str], added: Sequence[str]
    ) -> None:
        self._file = file
        self._names = names
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text, delimiter=delimiter, lineterminator="\n")
        self._writer.writerow([*names, *added])

    def write(self, chunk: Chunk, answers: Sequence[Sequence[object]]) -> None:
        """Write some rows."""
        columns = [*(chunk.column(name) for name in self._names), *answers]
        self._writer.writerows(zip(*map(_cells, columns), strict=True))
        self._flush()

    def finish(self) -> None:
        """Write the header even where there are no rows."""
        self._flush()

    def _flush(self) -> None:
        self._file.write(self._text.getvalue().encode(errors="replace"))
        self._text.seek(0)
        self._text.truncate()


class LinesWriter(RowsWriter):
    """JSON Lines: the input's objects with the answers added."""

    def __init__(self, file: pa.NativeFile, added: Sequence[str]) -> None:
        self._file = file
        self._added = added

    def write(self, chunk: Chunk, answers: Sequence[Sequence[object]]) -> None:
        """Write some rows."""
        rows = zip(chunk.records(), zip(*answers, strict=True), strict=True)
        lines = (
            _line({**record, **dict(zip(self._added, values, strict=True))})
            for record, values in rows
        )
        self._file.write("".join(lines).encode(errors="replace"))

    def finish(self) -> None:
        """Write nothing more."""


class ParquetWriter(RowsWriter):
    """Parquet: the input's own types, or what its values were, then the answers'."""

    def __init__(self, file: pa.NativeFile, schema: pa.Schema, own: int) -> None:
        self._schema = schema
        self._own = own
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []

    def write(self, chunk: Chunk, answers: Sequence[Sequence[object]]) -> None:
        """Write some rows; they are kept until a row group is full."""
        fields = list(self._schema)
        if isinstance(chunk, ArrowChunk):
            columns = [chunk.batch.column(field.name) for field in fields[: self._own]]
        else:
            records = chunk.records()
            columns = [_array(records, field) for field in fields[: self._own]]
        for field, answer in zip(fields[self._own :], answers, strict=True):
            columns.append(pa.array(_all_fitted(answer, field.type), field.type))
        self._waiting.append(pa.record_batch(columns, schema=self._schema))
        rows = sum(each.num_rows for each in self._waiting)
        size = sum(each.nbytes for each in self._waiting)
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            self._flush()

    def finish(self) -> None:
        """Write the last row group."""
        self._flush()

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._writer.write_table(table, row_group_size=_GROUP_ROWS)
            self._waiting = []


def schema_of_output(
    own: pa.Schema | None, kinds: Mapping[str, str], added: Sequence[AnswerColumn]
) -> pa.Schema:
    """Return the schema of a Parquet output."""
    fields = list(own) if own is not None else []
    if own is None:
        fields = [pa.field(name, _OWN_TYPES[ColumnKind(kind)]) for name, kind in kinds.items()]
    return pa.schema([*fields, *(pa.field(each.name, _TYPES[each.kind]) for each in added)])


@contextmanager
def open_writer(
    file: pa.NativeFile, shape: Shape, schema: pa.Schema, own: Sequence[str]
) -> Iterator[RowsWriter]:
    """Open the writer for a format; the schema names all columns, the input's own first."""
    writer = _make_writer(file, shape, schema, own)
    try:
        yield writer
        writer.finish()
    finally:
        writer.close()


def _make_writer(
    file: pa.NativeFile, shape: Shape, schema: pa.Schema, own: Sequence[str]
) -> RowsWriter:
    added = schema.names[len(own) :]
    if shape.format is Format.PARQUET:
        return ParquetWriter(file, schema, len(own))
    if shape.format is Format.JSONL:
        return LinesWriter(file, added)
    return TableWriter(file, "\t" if shape.format is Format.TSV else ",", own, added)


@contextmanager
def whole_file(path: Path, shape: Shape | None = None) -> Iterator[pa.NativeFile]:
    """Open a file that is at `path` once it is whole; if anything fails, what was there stays."""
    draft = path.with_name(f".{path.name}.puna-new")
    try:
        with pa.OSFile(str(draft), "wb") as raw:
            if shape is None or not shape.packing:
                yield raw
            else:
                with pa.CompressedOutputStream(raw, shape.packing.value) as packed:
                    yield packed
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


_OWN_TYPES: Mapping[ColumnKind, pa.DataType] = {
    ColumnKind.NOTHING: pa.string(),
    ColumnKind.TEXT: pa.string(),
    ColumnKind.JSON: pa.string(),
    ColumnKind.WHOLE: pa.int64(),
    ColumnKind.NUMBER: pa.float64(),
    ColumnKind.FLAG: pa.bool_(),
}
_TYPES: Mapping[AnswerKind, pa.DataType] = {
    AnswerKind.TEXT: pa.string(),
    AnswerKind.NUMBER: pa.float64(),
    AnswerKind.WHOLE: pa.int64(),
    AnswerKind.FLAG: pa.bool_(),
    AnswerKind.TEXTS: pa.list_(pa.string()),
    AnswerKind.NUMBERS: pa.list_(pa.float64()),
    AnswerKind.VECTOR: pa.list_(pa.float32()),
    AnswerKind.JSON: pa.string(),
}


def _array(records: Sequence[Record], field: pa.Field) -> pa.Array:
    return pa.array([_fitted(record.get(field.name), field.type) for record in records], field.type)


def _fitted(value: object, kind: pa.DataType) -> object:
    """Return a value as its column has it: JSON text where it is of another kind."""
    if value is None or pa.types.is_list(kind):
        return value
    if pa.types.is_string(kind):
        return _clean(value if isinstance(value, str) else _json(value))
    if pa.types.is_floating(kind):
        return float(value) if isinstance(value, int | float) else None
    if pa.types.is_integer(kind):
        fits = isinstance(value, int) and -(2**63) <= value < 2**63
        return value if fits else None
    return value if isinstance(value, bool) else None


def _all_fitted(values: Sequence[object], kind: pa.DataType) -> Sequence[object]:
    if pa.types.is_floating(kind) and set(map(type, values)) <= {float, NoneType}:
        return values
    return [_fitted(each, kind) for each in values]


def _cells(values: Sequence[object]) -> Iterable[object]:
    """Return a column as it stands in a table; the writer knows texts, numbers and nothing."""
    is_plain = set(map(type, values)) <= {str, float, NoneType}
    return values if is_plain else map(_cell, values)


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _line(record: Mapping[str, object]) -> str:
    try:
        return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError:
        return json.dumps(_without_nan(record), ensure_ascii=False) + "\n"


def _without_nan(value: object) -> object:
    """Return a value without numbers that JSON cannot say; they become null."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {name: _without_nan(each) for name, each in value.items()}
        case list():
            return [_without_nan(each) for each in value]
    return value


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode(errors="replace").decode()

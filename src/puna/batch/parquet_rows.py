"""Rows of Parquet files, some at a time, with the types that they have there."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from puna.batch.records import CHUNK_ROWS, ArrowChunk, BadRow, excerpt

_PLAIN = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_null,
)


def schema_of(path: Path) -> pa.Schema:
    """Return the schema of a file. Raises `pyarrow.ArrowInvalid`, `OSError`."""
    return pq.read_schema(path)


def chunks_of(path: Path, first: int, only: Sequence[str] | None) -> Iterator[ArrowChunk]:
    """Yield the rows of a file; the first has the number `first`."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        row, line = first, 1
        columns = None if only is None else list(only)
        for batch in file.iter_batches(CHUNK_ROWS, columns=columns, use_threads=False):
            clean, bad = _check(batch, row, line, str(path))
            yield ArrowChunk(row, clean, to_python, bad)
            row += batch.num_rows
            line += batch.num_rows


def to_python(column: pa.Array) -> list[object]:
    """Return a column as what JSON can say; times and decimals are texts."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if any(is_kind(kind) for is_kind in _PLAIN):
        values: list[object] = column.to_pylist()
        return values
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        texts: list[object] = column.cast(pa.string()).to_pylist()
        return texts
    return [_plain(each) for each in column.to_pylist()]


def _plain(value: object) -> object:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return value.decode("utf-8", "replace")
        case dict():
            return {str(name): _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
    return str(value)


def _check(
    batch: pa.RecordBatch, row: int, line: int, file: str
) -> tuple[pa.RecordBatch, tuple[BadRow, ...]]:
    """Return a batch whose texts are UTF-8, and the rows in which one was not."""
    bad: dict[int, BadRow] = {}
    for place, field in enumerate(batch.schema):
        if not (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)):
            continue
        column = batch.column(place)
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            raw = column.cast(pa.large_binary()).to_pylist()
            texts = [None if each is None else each.decode("utf-8", "replace") for each in raw]
            for number, each in enumerate(raw):
                if each is not None and each != str(texts[number]).encode():
                    text = excerpt(str(texts[number]))
                    reason = f'column "{field.name}" is not UTF-8'
                    bad[number] = BadRow(row + number, reason, file, line + number, text)
            batch = batch.set_column(place, field, pa.array(texts, field.type))
    return batch, tuple(bad[number] for number in sorted(bad))

"""Intake: the input is read once, and what the job needs of it is put on the disk.

Left behind are the distinct texts in their order (`texts`), the number of each row's text
(`numbers`, 8 bytes a row, -1 for a bad row), the bad rows, and what kinds of values each column
has. Memory is the same for ten thousand rows and for ten million: duckdb sorts, within a bound of
memory, and spills the rest to the job's own folder.

Texts are sorted by their bytes, so that those that begin alike are computed together. Where a task
samples, equal texts get answers of their own, and the order stays the input's.
"""

import json
import mmap
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from puna.batch.kinds import Kinds
from puna.batch.reading import Files
from puna.batch.records import BadRow, Chunk
from puna.batch.strings import StringsWriter
from puna.batch.texts import Texts

_SORT_MEMORY = ("128MB", "512MB", "2GB")
_NO_MEMORY = "out of memory"
_SCHEMA = pa.schema([("row", pa.int64()), ("text", pa.string())])
_AT_ONCE = 65536
_SORTED = 4096
"""Rows whose numbers are written at once: each can bring a page of the file into memory."""
_NUMBER = 8
BAD_ROW = -1


@dataclass(frozen=True, slots=True)
class Intake:
    """What was found in the input."""

    rows: int
    distinct: int
    bad: int
    columns: tuple[str, ...]
    kinds: dict[str, str] = field(default_factory=dict)
    """What each column holds: see `kinds`. Empty for Parquet, which says so itself."""


@dataclass(frozen=True, slots=True)
class IntakeStep:
    """So many rows were read."""

    rows: int


def take_in(
    source: Files, texts: Texts, folder: Path, *, merges: bool
) -> Generator[IntakeStep | Intake]:
    """Read the input into `folder`; the last thing yielded is what was found. Blocks."""
    kinds = None if source.schema is not None else Kinds(source.columns)
    only = texts.needed if kinds is None else None
    rows = bad = 0
    draft = folder / "rows.parquet"
    with (
        pq.ParquetWriter(draft, _SCHEMA, compression="lz4") as writer,
        (folder / "bad.jsonl").open("w", encoding="utf-8") as bad_file,
    ):
        for chunk in source.chunks(only):
            good, bad_rows = _split(texts, chunk)
            if kinds is not None:
                kinds.look_at(chunk.records())
            writer.write_batch(pa.record_batch(good, schema=_SCHEMA))
            bad_file.writelines(json.dumps(each.to_record()) + "\n" for each in bad_rows)
            rows += len(chunk)
            bad += len(bad_rows)
            yield IntakeStep(rows)
    distinct = _number(draft, folder, rows, merges=merges)
    draft.unlink()
    columns = source.columns if kinds is None else kinds.columns
    yield Intake(rows, distinct, bad, columns, {} if kinds is None else kinds.found())


def read_bad(folder: Path) -> Iterator[BadRow]:
    """Yield the bad rows that the intake found."""
    with (folder / "bad.jsonl").open(encoding="utf-8") as file:
        for line in file:
            yield BadRow(**json.loads(line))


def read_numbers(folder: Path, first: int, count: int) -> list[int]:
    """Return the numbers of the texts of some rows, `first` counted from 0."""
    numbers: list[int] = np.fromfile(
        folder / "numbers", np.int64, count, offset=first * _NUMBER
    ).tolist()
    return numbers


def _split(texts: Texts, chunk: Chunk) -> tuple[list[pa.Array], list[BadRow]]:
    rows: list[int] = []
    good: list[str] = []
    bad: list[BadRow] = []
    for row, text in enumerate(texts.of(chunk), chunk.first):
        if isinstance(text, BadRow):
            bad.append(text)
        else:
            rows.append(row - 1)
            good.append(text)
    return [pa.array(rows, pa.int64()), pa.array(good, pa.string())], bad


def _number(draft: Path, folder: Path, rows: int, *, merges: bool) -> int:
    """Write the texts in order, and for each row the number of its text; return their count.

    A sort that spills needs some memory for each of its runs, the more rows the more runs, so a
    bound that turned out too low is raised and the sort begun again.
    """
    for limit in _SORT_MEMORY[:-1]:
        try:
            return _sort(draft, folder, rows, limit=limit, merges=merges)
        except (OSError, duckdb.Error) as error:  # pyarrow passes duckdb's error on as its own
            if _NO_MEMORY not in str(error).lower():
                raise
    return _sort(draft, folder, rows, limit=_SORT_MEMORY[-1], merges=merges)


def _sort(draft: Path, folder: Path, rows: int, *, limit: str, merges: bool) -> int:
    writer = StringsWriter(folder / "texts")
    order = "text, row" if merges else "row"
    config = {"memory_limit": limit, "temp_directory": str(folder / "spill")}
    last: str | None = None
    with (
        _number_table(folder / "numbers", rows) as mapped,
        closing(writer),
        duckdb.connect(config=dict(config)) as db,
    ):
        query = f"SELECT row, text FROM read_parquet($1) ORDER BY {order}"  # noqa: S608 - one of two
        for batch in db.sql(query, params=[str(draft)]).to_arrow_reader(_SORTED):
            found = batch.column(1)
            is_new = _changes(found, last) if merges else np.ones(len(found), bool)
            table = np.frombuffer(mapped, np.int64)
            table[batch.column(0).to_numpy()] = writer.count - 1 + np.cumsum(is_new)
            del table  # a view keeps the map from being closed
            mapped.madvise(mmap.MADV_DONTNEED)
            writer.extend(found.filter(pa.array(is_new)).cast(pa.binary()).to_pylist())
            last = found[-1].as_py()
        writer.finish()
    return writer.count


@contextmanager
def _number_table(path: Path, rows: int) -> Iterator[mmap.mmap]:
    """Map a file with a number for each row, at first `BAD_ROW`, whose bytes are all ones."""
    with path.open("w+b") as file:
        for first in range(0, max(1, rows), _AT_ONCE):
            file.write(b"\xff" * _NUMBER * min(_AT_ONCE, max(1, rows) - first))
        file.flush()
        with mmap.mmap(file.fileno(), 0) as mapped:
            yield mapped
            mapped.flush()


def _changes(texts: pa.Array, before: str | None) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Tell of each text whether it differs from the one before it."""
    changed = np.ones(len(texts), bool)
    changed[0] = texts[0].as_py() != before
    changed[1:] = pc.not_equal(texts[1:], texts[:-1]).to_numpy(zero_copy_only=False)
    return changed

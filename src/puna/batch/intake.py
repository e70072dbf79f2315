"""Intake: the input is read once, and what the job needs of it is put on the disk.

Left behind are the distinct texts in their order (`texts`), the number of each row's text
(`numbers`, 8 bytes a row, -1 for a bad row), the bad rows, and what kinds of values each column
has. Memory is the same for ten thousand rows and for ten million: what is sorted lies in the job's
own folder, and a stretch of it in memory at a time.

Texts are sorted by their bytes, so that those that begin alike are computed together. Where a task
samples, equal texts get answers of their own, and the order stays the input's.
"""

import json
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from puna.batch.kinds import Kinds
from puna.batch.numbering import Numbers, RowNumbers
from puna.batch.reading import Files
from puna.batch.records import BadRow
from puna.batch.sorting import RowSorter
from puna.batch.strings import StringsWriter, strings_of
from puna.batch.texts import Texts
from puna.library.disk import remove_tree, sync_file

_PILES = "piles"
_NUMBER = 8


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
    with (
        RowSorter(folder / "rows", sorts=merges) as sorter,
        (folder / "bad.jsonl").open("w", encoding="utf-8") as bad_file,
    ):
        for chunk in source.chunks(only):
            told = texts.told(chunk)
            if kinds is not None:
                kinds.look_at(chunk)
            sorter.add(told.rows, told.texts)
            bad_file.writelines(json.dumps(each.to_record()) + "\n" for each in told.bad)
            rows += len(chunk)
            bad += len(told.bad)
            yield IntakeStep(rows)
        sync_file(bad_file)
        distinct = _number(sorter, folder, rows, merges=merges)
    columns = source.columns if kinds is None else kinds.columns
    yield Intake(rows, distinct, bad, columns, {} if kinds is None else kinds.found())


def read_bad(folder: Path) -> Iterator[BadRow]:
    """Yield the bad rows that the intake found."""
    with (folder / "bad.jsonl").open(encoding="utf-8") as file:
        for line in file:
            yield BadRow(**json.loads(line))


def read_numbers(folder: Path, first: int, count: int) -> Numbers:
    """Return the numbers of the texts of some rows, `first` counted from 0."""
    return np.fromfile(folder / "numbers", np.int64, count, offset=first * _NUMBER)


def _number(sorter: RowSorter, folder: Path, rows: int, *, merges: bool) -> int:
    """Write the texts in order, and for each row the number of its text; return their count."""
    writer = StringsWriter(folder / "texts")
    last: str | None = None
    remove_tree(folder / _PILES)
    with closing(RowNumbers(folder / _PILES, rows)) as numbers, closing(writer):
        for stretch in sorter.in_order():
            found = stretch.column("text")
            is_new = _changes(found, last) if merges else np.ones(len(found), bool)
            numbers.give(stretch.column("row").to_numpy(), writer.count - 1 + np.cumsum(is_new))
            writer.extend(strings_of(found.filter(pa.array(is_new))))
            last = found[-1].as_py()
        writer.finish()
        with (folder / "numbers").open("wb") as file:
            for each in numbers.in_order():
                file.write(each.tobytes())
            sync_file(file)
    return writer.count


def _changes(texts: pa.Array, before: str | None) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Tell of each text whether it differs from the one before it."""
    changed = np.ones(len(texts), bool)
    changed[0] = texts[0].as_py() != before
    changed[1:] = pc.not_equal(texts[1:], texts[:-1]).to_numpy(zero_copy_only=False)
    return changed

"""Inputs: files, folders, patterns or what is piped in, as one stream of rows in a fixed order."""

import glob
import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from puna.batch.formats import Format, Packing, Shape, shape_of_input, shape_of_name
from puna.batch.parquet_rows import chunks_of, schema_of, to_python
from puna.batch.records import CHUNK_ROWS, ArrowChunk, Chunk, RecordChunk
from puna.batch.text_rows import BadHeader, Dialect, Found, TextRows
from puna.errors import Invalid
from puna.models.regular_file import open_regular, shown_path

_BUFFER = 2**20
_LOOK_ROWS = 1000
"""Rows of JSON Lines that are read for the names of the columns."""


class NoInput(Invalid):
    """There is nothing to read where the input should be."""

    code = "no_input"


class DamagedInput(Invalid):
    """A file cannot be read to its end."""

    code = "damaged_input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How an input is read, where a person says so."""

    format: Format | None = None
    delimiter: str = ""
    has_header: bool = True
    limit: int | None = None
    """Read only so many rows."""


def find_files(words: Sequence[str], leave_out: Sequence[Path] = ()) -> tuple[Path, ...]:
    """Return the files that the words name: files, folders with all below, patterns.

    In a folder only files with a known ending count. Raises `NoInput`.
    """
    left_out = {path.absolute() for path in leave_out}
    found: list[Path] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            some = [each for each in sorted(path.rglob("*")) if _is_of_folder(each, path)]
        elif path.exists() or not glob.has_magic(word):
            some = [path]
        else:
            names = glob.glob(word, recursive=True)  # noqa: PTH207 - a pattern can be absolute
            some = [Path(name) for name in sorted(names) if Path(name).is_file()]
        some = [each.absolute() for each in some if each.absolute() not in left_out]
        if not some:
            raise NoInput(f'"{shown_path(path)}" holds no rows', hint="name a file of rows")
        found += [each for each in some if each not in found]
    return tuple(found)


def _is_of_folder(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    return not hidden and path.is_file() and shape_of_name(path) is not None


def digest_of_inputs(files: Sequence[Path]) -> str:
    """Return one digest of all bytes of the files, in their order. Blocks."""
    whole = hashlib.sha256()
    for path in files:
        with open_regular(path) as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


class Files:
    """Files of rows, in order, as one input."""

    def __init__(self, files: Sequence[Path], reading: Reading) -> None:
        self.files = tuple(files)
        self._reading = reading
        self._shapes = tuple(self._shape(path) for path in self.files)
        self.columns = self._columns()

    @property
    def schema(self) -> pa.Schema | None:
        """The types of the columns, if all files are Parquet."""
        if any(shape.format is not Format.PARQUET for shape in self._shapes):
            return None
        return schema_of(self.files[0]).remove_metadata()

    def chunks(self, only: Sequence[str] | None = None) -> Iterator[Chunk]:
        """Yield all rows in order. Raises `DamagedInput`, `BadHeader`."""
        left = self._reading.limit
        first = 1
        for path, shape in zip(self.files, self._shapes, strict=True):
            with _explained(path):
                for chunk in self._of_file(path, shape, first, only):
                    cut = chunk if left is None or len(chunk) <= left else chunk.head(left)
                    if len(cut):
                        yield cut
                    first += len(cut)
                    left = None if left is None else left - len(cut)
                    if left == 0:
                        return

    def _of_file(
        self, path: Path, shape: Shape, first: int, only: Sequence[str] | None
    ) -> Iterator[Chunk]:
        if shape.format is Format.PARQUET:
            yield from chunks_of(path, first, only)
            return
        with _unpacked(path, shape.packing) as stream:
            rows = TextRows(stream, self._dialect(shape), path.name)
            yield from _grouped(rows.pieces(), first, str(path))

    def _dialect(self, shape: Shape) -> Dialect:
        usual = "\t" if shape.format is Format.TSV else ","
        return Dialect(shape.format, self._reading.delimiter or usual, self._reading.has_header)

    def _shape(self, path: Path) -> Shape:
        with open_regular(path) as file:
            head = file.read(16) or b""
        return shape_of_input(path, head, self._reading.format)

    def _columns(self) -> tuple[str, ...]:
        """Return the columns of the first file; the others must have the same."""
        known: tuple[str, ...] = ()
        for path, shape in zip(self.files, self._shapes, strict=True):
            with _explained(path):
                names = self._names(path, shape)
            if not known:
                known = names
            elif names and set(names) != set(known) and shape.format is not Format.JSONL:
                odd = ", ".join(sorted(set(names) ^ set(known)))
                raise BadHeader(
                    f'"{self.files[0].name}" and "{path.name}" have other columns: {odd}',
                    hint="make a job for each, or give them the same columns",
                )
        return known

    def _names(self, path: Path, shape: Shape) -> tuple[str, ...]:
        if shape.format is Format.PARQUET:
            return tuple(schema_of(path).names)
        with _unpacked(path, shape.packing) as stream:
            rows = TextRows(stream, self._dialect(shape), path.name)
            if shape.format is not Format.JSONL:
                return rows.columns
            names: dict[str, None] = {}
            for _, found in zip(range(_LOOK_ROWS), rows, strict=False):
                names |= dict.fromkeys(found.record)
            return tuple(names)


def _grouped(pieces: Iterator[pa.Table | list[Found]], first: int, file: str) -> Iterator[Chunk]:
    """Yield pieces as chunks; of rows that were found one by one, several pieces together."""
    some: list[Found] = []
    for piece in pieces:
        if isinstance(piece, list):
            some += piece
        if some and (len(some) >= CHUNK_ROWS or not isinstance(piece, list)):
            yield _chunk(some, first, file)
            first += len(some)
            some = []
        if isinstance(piece, pa.Table):
            for batch in piece.to_batches(CHUNK_ROWS):
                yield ArrowChunk(first, batch, to_python)
                first += len(batch)
    if some:
        yield _chunk(some, first, file)


def _chunk(some: Sequence[Found], first: int, file: str) -> RecordChunk:
    bad = tuple(found.to_bad(row, file) for row, found in enumerate(some, first) if found.reason)
    return RecordChunk(first, tuple(found.record for found in some), bad)


@contextmanager
def _unpacked(path: Path, packing: Packing) -> Iterator[io.BufferedReader]:
    with pa.OSFile(str(path)) as raw:
        stream = pa.CompressedInputStream(raw, packing.value) if packing else raw
        with io.BufferedReader(stream, _BUFFER) as buffered:
            yield buffered


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what pyarrow and the system say of a file into `DamagedInput`."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedInput(
            f'"{shown_path(path)}" cannot be read to its end: {words}',
            hint="is the file whole? Nothing was computed",
        ) from error

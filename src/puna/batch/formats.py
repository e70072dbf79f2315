"""What a file of rows is, by its name and its first bytes: a format, and how it is packed."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from puna.errors import Invalid
from puna.text import one_line


class UnknownFormat(Invalid):
    """Nothing says how the rows of a file are written."""

    code = "unknown_format"


class Format(StrEnum):
    """How rows are written."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    LINES = "lines"
    """A text on each line, and nothing else; its column is called `text`."""


class Packing(StrEnum):
    """How the bytes of a file are packed, in the words of pyarrow."""

    NONE = ""
    GZIP = "gzip"
    ZSTD = "zstd"
    BZ2 = "bz2"


@dataclass(frozen=True, slots=True)
class Shape:
    """A format and its packing."""

    format: Format
    packing: Packing = Packing.NONE


_FORMATS = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".tab": Format.TSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".json": Format.JSONL,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".txt": Format.LINES,
}
_PACKINGS = {
    ".gz": Packing.GZIP,
    ".zst": Packing.ZSTD,
    ".zstd": Packing.ZSTD,
    ".bz2": Packing.BZ2,
}
_MARKS = ((b"\x1f\x8b", Packing.GZIP), (b"\x28\xb5\x2f\xfd", Packing.ZSTD), (b"BZh", Packing.BZ2))
_PARQUET_MARK = b"PAR1"
_WRITTEN = "use .csv, .tsv, .jsonl or .parquet; all but .parquet also with .gz, .zst or .bz2"
_KNOWN = "use .csv, .tsv, .jsonl, .parquet or .txt, alone or with .gz, .zst or .bz2"


def shape_of_name(path: PurePath) -> Shape | None:
    """Return what a name says of its file; None if it says nothing."""
    packing = _PACKINGS.get(path.suffix.lower(), Packing.NONE)
    inner = path.with_suffix("") if packing else path
    found = _FORMATS.get(inner.suffix.lower())
    return Shape(found, packing) if found else None


def shape_of_output(path: PurePath) -> Shape:
    """Return how an output is to be written. Raises `UnknownFormat`."""
    shape = shape_of_name(path)
    if shape is None:
        raise UnknownFormat(f'the output "{_shown(path)}" has no known format', hint=_WRITTEN)
    if shape.format is Format.LINES:
        raise UnknownFormat(
            f'the output "{_shown(path)}" would be lines without columns',
            hint="name it .csv, .tsv, .jsonl or .parquet",
        )
    if shape.format is Format.PARQUET and shape.packing:
        raise UnknownFormat(
            f'the output "{_shown(path)}" would be packed twice: Parquet packs by itself',
            hint="name it .parquet",
        )
    return shape


def shape_of_input(path: PurePath, head: bytes, wanted: Format | None = None) -> Shape:
    """Return how an input is written: by `wanted`, its first bytes and its name, in this order.

    Raises `UnknownFormat`.
    """
    named = shape_of_name(path)
    packing = next((packing for mark, packing in _MARKS if head.startswith(mark)), Packing.NONE)
    if wanted is None and head.startswith(_PARQUET_MARK):
        wanted = Format.PARQUET
    found = wanted or (named.format if named else None)
    if found is None:
        raise UnknownFormat(
            f'the format of "{_shown(path)}" is not known',
            hint="say it with --format csv, tsv, jsonl, parquet or lines",
        )
    return Shape(found, packing)


def _shown(path: PurePath) -> str:
    return one_line(str(path), 200)

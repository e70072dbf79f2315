"""What a file of rows is: its name, its first bytes, and what a person says."""

from pathlib import PurePath

import pytest

from puna.batch.formats import (
    Format,
    Packing,
    Shape,
    UnknownFormat,
    shape_of_input,
    shape_of_name,
    shape_of_output,
)


@pytest.mark.parametrize(
    ("name", "format_", "packing"),
    [
        ("a.csv", Format.CSV, Packing.NONE),
        ("a.CSV.GZ", Format.CSV, Packing.GZIP),
        ("a.tsv.zst", Format.TSV, Packing.ZSTD),
        ("a.b.jsonl.bz2", Format.JSONL, Packing.BZ2),
        ("a.ndjson", Format.JSONL, Packing.NONE),
        ("a.parquet", Format.PARQUET, Packing.NONE),
        ("a.txt.gz", Format.LINES, Packing.GZIP),
    ],
)
def test_a_name_says_format_and_packing(name: str, format_: Format, packing: Packing) -> None:
    assert shape_of_name(PurePath(name)) == Shape(format_, packing)


@pytest.mark.parametrize("name", ["a", "a.gz", "a.xlsx", "csv"])
def test_other_names_say_nothing(name: str) -> None:
    assert shape_of_name(PurePath(name)) is None


@pytest.mark.parametrize(
    ("name", "head", "wanted", "shape"),
    [
        ("a.csv", b"\x1f\x8b\x08", None, Shape(Format.CSV, Packing.GZIP)),
        ("a.csv.gz", b"id,text\n", None, Shape(Format.CSV)),
        ("a", b"PAR1", None, Shape(Format.PARQUET)),
        ("a.csv", b"PAR1", None, Shape(Format.PARQUET)),
        ("piped", b"id\n", Format.TSV, Shape(Format.TSV)),
        ("piped", b"BZh9", Format.JSONL, Shape(Format.JSONL, Packing.BZ2)),
    ],
    ids=str,
)
def test_the_first_bytes_count_for_more_than_the_name(
    name: str, head: bytes, wanted: Format | None, shape: Shape
) -> None:
    assert shape_of_input(PurePath(name), head, wanted) == shape


def test_an_input_without_a_known_format_is_refused() -> None:
    with pytest.raises(UnknownFormat, match=r'format of "rows.dat" is not known') as caught:
        shape_of_input(PurePath("rows.dat"), b"id,text\n")
    assert "--format" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out", "no known format"),
        ("out.xlsx", "no known format"),
        ("out.txt", "lines without columns"),
        ("out.parquet.gz", "packed twice"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused(name: str, words: str) -> None:
    with pytest.raises(UnknownFormat, match=words):
        shape_of_output(PurePath(name))

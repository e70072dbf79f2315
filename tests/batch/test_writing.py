"""Output in every format: the input's columns as they were, then the answers, the same bytes."""

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from puna.batch.columns import AnswerColumn, AnswerKind
from puna.batch.formats import shape_of_output
from puna.batch.parquet_rows import to_python
from puna.batch.records import ArrowChunk, Chunk, RecordChunk
from puna.batch.writing import open_writer, schema_of_output, whole_file

LABEL = AnswerColumn("label", AnswerKind.TEXT, "label")
TAGS = AnswerColumn("tags", AnswerKind.TEXTS, "tags")
KINDS = {"text": "text", "n": "whole", "x": "json"}
ROWS = RecordChunk(1, ({"text": 'a "b"\nc', "n": 1, "x": [1]}, {"text": "é\t,", "x": "y"}, {}))
ANSWERS: list[tuple[object, ...]] = [("one", ["p", "q"]), (None, []), ("three", None)]


def write(path: Path, *chunks: tuple[Chunk, Sequence[tuple[object, ...]]]) -> bytes:
    shape = shape_of_output(path)
    own = None if isinstance(chunks[0][0], RecordChunk) else chunks[0][0].batch.schema  # type: ignore[attr-defined]
    schema = schema_of_output(own, KINDS, (LABEL, TAGS))
    with (
        whole_file(path, shape) as file,
        open_writer(file, shape, schema, schema.names[:-2]) as writer,
    ):
        for chunk, answers in chunks:
            writer.write(chunk, list(zip(*answers, strict=True)))
    return path.read_bytes()


def read_table(content: bytes, delimiter: str) -> list[Mapping[str, str]]:
    text = content.decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t")])
def test_tables_hold_text_and_json_text(tmp_path: Path, name: str, delimiter: str) -> None:
    found = read_table(write(tmp_path / name, (ROWS, ANSWERS)), delimiter)
    assert found == [
        {"text": 'a "b"\nc', "n": "1", "x": "[1]", "label": "one", "tags": '["p", "q"]'},
        {"text": "é\t,", "n": "", "x": "y", "label": "", "tags": "[]"},
        {"text": "", "n": "", "x": "", "label": "three", "tags": ""},
    ]


def test_json_lines_keep_their_objects(tmp_path: Path) -> None:
    content = write(tmp_path / "a.jsonl", (ROWS, ANSWERS))
    assert [json.loads(line) for line in content.splitlines()] == [
        {"text": 'a "b"\nc', "n": 1, "x": [1], "label": "one", "tags": ["p", "q"]},
        {"text": "é\t,", "x": "y", "label": None, "tags": []},
        {"label": "three", "tags": None},
    ]
    assert "é".encode() in content


def test_parquet_has_types(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", (ROWS, ANSWERS))
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.field("n").type == pa.int64()
    assert table.to_pylist() == [
        {"text": 'a "b"\nc', "n": 1, "x": "[1]", "label": "one", "tags": ["p", "q"]},
        {"text": "é\t,", "n": None, "x": "y", "label": None, "tags": []},
        {"text": None, "n": None, "x": None, "label": "three", "tags": None},
    ]


def test_types_of_parquet_stay(tmp_path: Path) -> None:
    table = pa.table(
        {
            "when": pa.array([datetime(2026, 8, 1, tzinfo=UTC)], pa.timestamp("ns", "UTC")),
            "price": pa.array([Decimal("1.50")]),
            "kind": pa.array(["x"]).dictionary_encode(),
        }
    )
    chunk = ArrowChunk(1, table.to_batches()[0], to_python)
    write(tmp_path / "a.parquet", (chunk, [("one", None)]))
    found = pq.read_table(tmp_path / "a.parquet")
    assert found.select(["when", "price", "kind"]).equals(table)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.csv.gz", "a.jsonl.zst"])
def test_the_same_rows_are_the_same_bytes_in_whatever_steps(tmp_path: Path, name: str) -> None:
    one = write(tmp_path / name, (ROWS, ANSWERS))
    parts = [
        (RecordChunk(n + 1, (row,)), [values])
        for n, (row, values) in enumerate(zip(ROWS.rows, ANSWERS, strict=True))
    ]
    assert write(tmp_path / name, *parts) == one


def test_packed_outputs_unpack_to_the_plain_ones(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.csv", (ROWS, ANSWERS))
    assert gzip.decompress(write(tmp_path / "a.csv.gz", (ROWS, ANSWERS))) == plain


def test_numbers_that_json_cannot_say_are_null(tmp_path: Path) -> None:
    chunk = RecordChunk(1, ({"x": float("nan"), "y": [float("inf"), 1.5]},))
    content = write(tmp_path / "a.jsonl", (chunk, [("one", None)]))
    assert json.loads(content) == {"x": None, "y": [None, 1.5], "label": "one", "tags": None}


def test_half_a_surrogate_pair_does_not_stop_the_output(tmp_path: Path) -> None:
    chunk = RecordChunk(1, ({"text": "\ud800", "n": 1},))
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        write(tmp_path / name, (chunk, [("one", None)]))
    assert pq.read_table(tmp_path / "a.parquet")["text"].to_pylist() == ["?"]


def test_what_was_there_stays_if_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), whole_file(path) as file:
        file.write(b"half" * (1 // 0))
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["a.csv"]

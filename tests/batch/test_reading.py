"""Inputs: files, folders and patterns in every format, as one stream of rows."""

import bz2
import gzip
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from puna.batch.formats import Format
from puna.batch.reading import (
    DamagedInput,
    Files,
    NoInput,
    Reading,
    digest_of_inputs,
    find_files,
)
from puna.batch.records import BadRow, Record
from puna.batch.text_rows import BadHeader
from puna.models.regular_file import UnusableFile

ROWS = [{"id": "1", "text": "red shoes"}, {"id": "2", "text": 'a "b", c'}, {"id": "3", "text": "é"}]


def read(*files: Path, **reading: object) -> list[Record]:
    source = Files(files, Reading(**reading))  # type: ignore[arg-type]
    return [record for chunk in source.chunks() for record in chunk.records()]


def bad_of(*files: Path) -> list[BadRow]:
    return [each for chunk in Files(files, Reading()).chunks() for each in chunk.bad]


def as_csv(delimiter: str = ",") -> bytes:
    quoted = [
        [f'"{value.replace(chr(34), chr(34) * 2)}"' for value in row.values()] for row in ROWS
    ]
    lines = [delimiter.join(each) for each in [["id", "text"], *quoted]]
    return "\n".join(lines).encode()


def as_jsonl() -> bytes:
    return "\n".join(json.dumps(row) for row in ROWS).encode()


def as_parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return bytes(sink.getvalue())


def as_zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


@pytest.mark.parametrize(
    ("ending", "make"),
    [
        (".csv", as_csv),
        (".tsv", lambda: as_csv("\t")),
        (".jsonl", as_jsonl),
        (".parquet", as_parquet),
    ],
)
@pytest.mark.parametrize(
    ("packed", "pack"),
    [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".zst", as_zstd)],
)
def test_every_format_reads_the_same_rows(
    tmp_path: Path,
    ending: str,
    make: Callable[[], bytes],
    packed: str,
    pack: Callable[[bytes], bytes],
) -> None:
    if ending == ".parquet" and packed:
        pytest.skip("Parquet packs by itself")
    path = tmp_path / f"rows{ending}{packed}"
    path.write_bytes(pack(make()))
    assert read(path) == ROWS


def test_several_packed_files_in_one_are_read_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a\n1\n") + gzip.compress(b"2\n"))
    assert read(path) == [{"a": "1"}, {"a": "2"}]


def test_files_of_a_folder_are_one_input_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "b.csv").write_text("a\n2\n")
    (tmp_path / "a.csv").write_text("a\n1\n")
    (tmp_path / "deep/c.jsonl").write_text('{"a": "3"}\n')
    (tmp_path / ".hidden.csv").write_text("a\n9\n")
    (tmp_path / "README.md").write_text("not rows")
    files = find_files([str(tmp_path)])
    assert [each.name for each in files] == ["a.csv", "b.csv", "c.jsonl"]
    assert [record["a"] for record in read(*files)] == ["1", "2", "3"]


def test_a_pattern_names_files_and_the_output_is_none_of_them(tmp_path: Path) -> None:
    for name in ("x1.csv", "x2.csv", "y.csv"):
        (tmp_path / name).write_text("a\n1\n")
    found = find_files([f"{tmp_path}/x*.csv"], leave_out=[tmp_path / "x2.csv"])
    assert [each.name for each in found] == ["x1.csv"]


@pytest.mark.parametrize("word", ["", "nothing*.csv"])
def test_an_input_without_files_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(NoInput, match="holds no rows"):
        find_files([str(tmp_path / word)])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match=r'cannot read ".*rows.csv": no such file'):
        Files(find_files([str(tmp_path / "rows.csv")]), Reading())


def test_rows_are_numbered_through_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "b.csv").write_bytes(b"a,b\n3\n4,5\n")
    (bad,) = bad_of(tmp_path / "a.csv", tmp_path / "b.csv")
    assert (bad.row, bad.line, Path(bad.file).name) == (2, 2, "b.csv")


def test_files_with_other_columns_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.csv").write_text("b,c\n3,4\n")
    with pytest.raises(BadHeader, match=r'"a.csv" and "b.csv" have other columns: a, c'):
        Files([tmp_path / "a.csv", tmp_path / "b.csv"], Reading())


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
def test_a_limit_is_the_first_rows(tmp_path: Path, limit: int) -> None:
    (tmp_path / "a.csv").write_bytes(as_csv())
    (tmp_path / "b.parquet").write_bytes(as_parquet())
    assert read(tmp_path / "a.csv", tmp_path / "b.parquet", limit=limit) == (ROWS * 2)[:limit]


@pytest.mark.parametrize("ending", [".csv.gz", ".csv.zst", ".csv.bz2"])
def test_a_file_that_breaks_off_is_damaged(tmp_path: Path, ending: str) -> None:
    packs: dict[str, Callable[[bytes], bytes]] = {
        ".csv.gz": gzip.compress,
        ".csv.zst": as_zstd,
        ".csv.bz2": bz2.compress,
    }
    pack = packs[ending]
    content = pack(b"a\n" + b"".join(b"%d\n" % (n * n) for n in range(5000)))
    path = tmp_path / f"rows{ending}"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedInput, match="cannot be read to its end"):
        read(path)


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(as_parquet()[:-20])
    with pytest.raises(DamagedInput, match=r"rows.parquet"):
        read(path)


def test_a_format_that_was_said_counts(tmp_path: Path) -> None:
    path = tmp_path / "rows.dat"
    path.write_text("red shoes\n")
    assert read(path, format=Format.LINES) == [{"text": "red shoes"}]


def test_types_of_parquet_become_what_json_can_say(tmp_path: Path) -> None:
    table = pa.table(
        {
            "day": pa.array([date(2026, 8, 1)]),
            "price": pa.array([Decimal("1.50")]),
            "raw": pa.array([b"ab"]),
            "list": pa.array([[1, 2]]),
            "kind": pa.array(["x"]).dictionary_encode(),
            "none": pa.array([None], pa.int32()),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet") == [
        {
            "day": "2026-08-01",
            "price": "1.50",
            "raw": "ab",
            "list": [1, 2],
            "kind": "x",
            "none": None,
        }
    ]


def test_a_text_in_parquet_that_is_not_utf8_is_a_bad_row(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"\xff", None], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "rows.parquet")
    (bad,) = bad_of(tmp_path / "rows.parquet")
    assert (bad.row, bad.reason) == (2, 'column "text" is not UTF-8')
    assert [each["text"] for each in read(tmp_path / "rows.parquet")] == ["good", "�", None]


def test_a_digest_tells_inputs_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "a.csv", tmp_path / "b.csv"
    one.write_text("a\n1\n")
    two.write_text("a\n2\n")
    assert digest_of_inputs([one, two]) == digest_of_inputs([one, two])
    assert digest_of_inputs([one, two]) != digest_of_inputs([two, one])

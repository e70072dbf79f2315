"""Rows of text formats: what is a row, what is a bad one, and that one costs no other."""

import io

import pytest

from puna.batch.blocks import LONGEST_LINE
from puna.batch.formats import Format
from puna.batch.text_rows import BadHeader, Dialect, Found, TextRows


def rows(content: bytes, format_: Format = Format.CSV, **dialect: object) -> list[Found]:
    return list(TextRows(io.BytesIO(content), Dialect(format_, **dialect), "a.csv"))  # type: ignore[arg-type]


def values(content: bytes, format_: Format = Format.CSV, **dialect: object) -> list[object]:
    return [list(found.record.values()) for found in rows(content, format_, **dialect)]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"a,b\n1,2\n", [["1", "2"]]),
        (b"a,b\r\n1,2\r\n", [["1", "2"]]),
        (b"a,b\n1,2", [["1", "2"]]),
        (b'a,b\n"x, ""y""","1\n2"\n', [['x, "y"', "1\n2"]]),
        (b"\xef\xbb\xbfa,b\n1,2\n", [["1", "2"]]),
        (b"a,b\n\n1,2\n\n", [["1", "2"]]),
        (b"a\n1\n\n2\n", [["1"], [""], ["2"]]),
        (b"a,b\n,\n", [["", ""]]),
        (b"a,b\n", []),
        (b"", []),
        ("a\nÅre\n東京\n".encode(), [["Åre"], ["東京"]]),
        (b"a,b\n1\x00,2\n", [["1\x00", "2"]]),
    ],
    ids=repr,
)
def test_csv_is_read_as_spreadsheets_write_it(content: bytes, found: list[object]) -> None:
    assert values(content) == found


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\xff,2\n", "it is not UTF-8: byte 0xff at place 1 of the line"),
        (b"1,2,3\n", "it has 3 fields, the header 2"),
        (b"1\n", "it has 1 fields, the header 2"),
        (b'"open,2\n', "a quote is not closed"),
        (b"a\rb,2\n", "it has a carriage return without a line feed behind it"),
        (b'"a"b,2\n', "it is not well-formed CSV: ',' expected after '\"'"),
        (b"1," + b"x" * LONGEST_LINE + b"\n", "it is longer than 16 MB"),
    ],
    ids=["utf8", "wide", "narrow", "quote", "return", "after a quote", "huge"],
)
def test_a_bad_row_costs_no_other(line: bytes, reason: str) -> None:
    found = rows(b"a,b\n1,2\n" + line + b"3,4\n5,6\n")
    assert [each.reason for each in found] == ["", reason, "", ""]
    assert [each.line for each in found] == [2, 3, 4, 5]
    assert list(found[-1].record.values()) == ["5", "6"]


def test_what_can_be_read_of_a_bad_row_is_kept() -> None:
    (found,) = rows(b"a,b\nx\xffy,2\n")
    assert found.record == {"a": "x�y", "b": "2"}
    assert found.text == "x�y,2\n"


def test_columns_of_the_same_name_are_told_apart() -> None:
    assert TextRows(io.BytesIO(b"a,a, ,a\n"), Dialect(Format.CSV), "x").columns == (
        "a",
        "a_2",
        "column3",
        "a_3",
    )


def test_without_a_header_the_first_line_is_a_row() -> None:
    found = rows(b"1,2\n3,4\n", has_header=False)
    assert [each.record for each in found] == [
        {"column1": "1", "column2": "2"},
        {"column1": "3", "column2": "4"},
    ]


def test_a_table_with_tabs_is_read_like_one_with_commas() -> None:
    assert values(b'a\tb\n1,5\t"x\ty"\n', Format.TSV, delimiter="\t") == [["1,5", "x\ty"]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a;b\n1;2\n", 'separated by ";"'),
        (b"\xff\xfea\x00,\x00b\x00", "not UTF-8"),
        (b'"a\n1\n', "its first line cannot be read: a quote is not closed"),
        (b"a,b\r1,2\r", "a carriage return without a line feed"),
        ("a,b".encode("utf-16-le") + b"\n", "iconv"),
    ],
    ids=["semicolon", "utf16 with a mark", "open quote", "returns", "utf16"],
)
def test_a_first_line_that_names_no_columns_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(BadHeader) as caught:
        rows(content)
    assert words in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "it is no JSON: Expecting property name"),
        (b"[1]", "it is no JSON object"),
        (b'"a"', "it is no JSON object"),
        (b'{"a": NaN}', "it is no JSON: NaN is no number in JSON"),
        (b'{"a": "\xff"}', "it is not UTF-8"),
        (b"[" * 100_000, "it is nested too deeply"),
    ],
    ids=["broken", "list", "text", "nan", "utf8", "deep"],
)
def test_a_bad_object_costs_no_other(line: bytes, reason: str) -> None:
    found = rows(b'{"a": 1}\n' + line + b'\n\n{"a": 2}', Format.JSONL)
    assert [each.record for each in found] == [{"a": 1}, {}, {"a": 2}]
    assert found[1].reason.startswith(reason)


def test_a_json_list_is_no_lines() -> None:
    with pytest.raises(BadHeader, match="one JSON list"):
        rows(b'[{"a": 1},\n{"a": 2}]', Format.JSONL)


def test_plain_lines_are_texts() -> None:
    assert values(b'red "shoes"\r\n, blue\n\nlast', Format.LINES) == [
        ['red "shoes"'],
        [", blue"],
        [""],
        ["last"],
    ]

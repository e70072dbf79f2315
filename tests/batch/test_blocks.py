"""Blocks of text that are parsed at once hold the rows that the line parsers find."""

import io
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import example, given, settings, strategies as st

from puna.batch import blocks
from puna.batch.blocks import lines_of, table_of
from puna.batch.formats import Format
from puna.batch.text_rows import Dialect, Found, TextRows

PIECE = st.sampled_from(
    [
        b"a",
        b"b c",
        b",",
        b",",
        b'"',
        b'""',
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b" ",
        b"\xff",
        b"\0",
        b"\t",
        "é".encode(),
        b'"x, y"',
        b'5" pipe',
        b'"""q"""',
        b'"two\nlines"',
        b"\xef\xbb\xbf",
        b"plain,row\n" * 4,
    ]
)
HEAD = {Format.CSV: b"x,y\n", Format.TSV: b"x\ty\n", Format.LINES: b""}


@pytest.fixture(autouse=True, params=[(8, 4), (2**20, 2**12)], ids=str)
def block_sizes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Short files have several blocks, or one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "MOST", request.param[0])
        patch.setattr(blocks, "_LEAST", request.param[1])
        yield


def opened(content: bytes, format_: Format, **dialect: object) -> TextRows:
    delimiter = "\t" if format_ is Format.TSV else ","
    return TextRows(io.BytesIO(content), Dialect(format_, delimiter, **dialect), "a")  # type: ignore[arg-type]


def in_pieces(rows: TextRows) -> list[Found | dict[str, object]]:
    """All rows of all pieces; those of a table without what they have not."""
    found: list[Found | dict[str, object]] = []
    for piece in rows.pieces():
        found += piece.to_pylist() if isinstance(piece, pa.Table) else piece
    return found


def same(one: Found | dict[str, object], other: Found) -> bool:
    return one == other if isinstance(one, Found) else (one, "") == (other.record, other.reason)


@settings(max_examples=30)
@given(st.lists(PIECE, max_size=24).map(b"".join), st.sampled_from(sorted(HEAD)))
@example(b'a,"b"\nc,5" d\ne,f\n', Format.CSV)
@example(b'a,"b\nc",d\ne,f\n', Format.CSV)
@example(b"\n\na\r\n", Format.LINES)
def test_rows_are_those_that_are_found_line_by_line(content: bytes, format_: Format) -> None:
    whole = HEAD[format_] + content
    found, wanted = in_pieces(opened(whole, format_)), list(opened(whole, format_))
    assert len(found) == len(wanted)
    assert all(same(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("content", [b"1\n\n2\n", b'""\n"a"\n\n', b"\n", b"", b"x"])
@pytest.mark.parametrize("has_header", [True, False])
def test_a_table_of_one_column_has_empty_rows(content: bytes, has_header: bool) -> None:
    whole = b"text\n" + content
    found = in_pieces(opened(whole, Format.CSV, has_header=has_header))
    wanted = list(opened(whole, Format.CSV, has_header=has_header))
    assert [each.record if isinstance(each, Found) else each for each in found] == [
        each.record for each in wanted
    ]


@pytest.mark.parametrize(
    ("block", "is_plain"),
    [
        (b"a,b\n", True),
        (b'a,"b, c"\r\n', True),
        (b'"say ""hi""",b\n', True),
        ("é,b\n".encode(), True),
        (b'a,5" pipe\n', True),
        (b'a,5" pipe\n"b",c\n', False),
        (b'a, "b"\n', True),
        (b'a, "b"\n"c",d\n', False),
        (b'a,"b\nc"\n', False),
        (b'a,"b"c\n', False),
        (b"a,b,c\n", False),
        (b"a\rb,c\n", False),
        (b"a,\xff\n", False),
        (b"a,\0\n", False),
    ],
    ids=repr,
)
def test_what_is_odd_is_left_to_the_line_parser(block: bytes, is_plain: bool) -> None:
    assert (table_of(block, ("x", "y"), ",") is not None) == is_plain


def test_lines_that_are_not_utf8_are_left_to_the_line_parser() -> None:
    assert lines_of(b"a\n\xff\n", "text") is None

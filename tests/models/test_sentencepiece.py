"""SentencePiece models: their pieces are read, and damage is an error."""

import contextlib
import struct

import pytest
from hypothesis import given, settings, strategies as st

from puna.models.sentencepiece import BadSentencePiece, PieceType, read_sentencepiece


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def whole(number: int, value: int) -> bytes:
    return bytes([number << 3]) + varint(value)


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def a_piece(text: str, score: float = 0.0, kind: int = 1) -> bytes:
    """Return a piece as the first field of a model."""
    own = field(1, text.encode()) + b"\x15" + struct.pack("<f", score)
    return field(1, own + (whole(3, kind) if kind != 1 else b""))


def a_model(*pieces: bytes, kind: int = 2, adds_blank: bool = True) -> bytes:
    """Return a model; a trainer's and a normalizer's words stand after its pieces."""
    normalizer = field(1, b"identity") + whole(3, int(adds_blank))
    return b"".join(pieces) + field(2, whole(3, kind)) + field(3, normalizer)


def test_pieces_are_read_with_their_scores_and_kinds() -> None:
    found = read_sentencepiece(
        a_model(a_piece("<unk>", kind=2), a_piece("\u2581the", -3.5), a_piece("<0x0A>", kind=6))
    )
    assert [each.text for each in found.pieces] == ["<unk>", "\u2581the", "<0x0A>"]
    assert [each.score for each in found.pieces] == [0.0, -3.5, 0.0]
    assert [each.type for each in found.pieces] == [
        PieceType.UNKNOWN,
        PieceType.NORMAL,
        PieceType.BYTE,
    ]
    assert (found.kind, found.adds_blank) == (2, True)


def test_what_the_normalizer_does_with_blanks_is_read() -> None:
    assert not read_sentencepiece(a_model(a_piece("a"), adds_blank=False)).adds_blank


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no pieces"),
        (field(1, b"")[:-1] + b"\x7f", "cut short"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "cut short"),
        (field(1, field(1, b"\xff")), "cannot be read"),
        (field(1, field(1, b"a") + whole(3, 99)), "cannot be read"),
        (b"\x0b", "unknown kind"),
    ],
)
def test_damage_is_an_error(raw: bytes, reason: str) -> None:
    with pytest.raises(BadSentencePiece, match=reason):
        read_sentencepiece(raw)


@settings(max_examples=100)
@given(st.binary(max_size=120))
def test_no_bytes_do_more_than_be_refused_or_read(raw: bytes) -> None:
    with contextlib.suppress(BadSentencePiece):
        assert read_sentencepiece(raw).pieces

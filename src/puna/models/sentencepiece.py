"""Read a SentencePiece model (`tokenizer.model`): its pieces, and how it treats blanks.

The file is a protocol buffer. Only what a vocabulary needs is read; the rest is passed over, and a
length that leads out of the file is an error.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from puna.errors import Invalid

_MAX_PIECES = 1 << 21
_VARINT, _FIXED64, _TEXT, _FIXED32 = 0, 1, 2, 5
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_MODEL_TYPE, _DUMMY_PREFIX = 3, 3
_UNIGRAM = 1
BPE = 2
"""The kind of model that llama.cpp's `llama` tokenizer carries out."""


class PieceType(IntEnum):
    """What a piece is, by SentencePiece's numbers, which are also GGUF's."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class BadSentencePiece(Invalid):
    """The file is no SentencePiece model."""

    code = "bad_sentencepiece"

    def __init__(self, reason: str) -> None:
        super().__init__(f"tokenizer.model is not a usable SentencePiece model: {reason}")


@dataclass(frozen=True, slots=True)
class Piece:
    """A token: its text, what it is worth, and what it is."""

    text: str
    score: float
    type: PieceType


@dataclass(frozen=True, slots=True)
class SentencePiece:
    """What a SentencePiece model says."""

    pieces: tuple[Piece, ...]
    kind: int
    """1 is a unigram model, 2 is byte-pair encoding."""
    adds_blank: bool
    """Whether a text gets a blank in front."""


def read_sentencepiece(raw: bytes) -> SentencePiece:
    """Return what a model says. Raises `BadSentencePiece`."""
    pieces: list[Piece] = []
    kind, adds_blank = _UNIGRAM, True
    for field, value in _fields(raw):
        if field == _PIECES and isinstance(value, bytes):
            pieces.append(_piece(value))
        elif field == _TRAINER and isinstance(value, bytes):
            kind = next(
                (n for f, n in _fields(value) if f == _MODEL_TYPE and isinstance(n, int)), kind
            )
        elif field == _NORMALIZER and isinstance(value, bytes):
            found = [n for f, n in _fields(value) if f == _DUMMY_PREFIX and isinstance(n, int)]
            adds_blank = bool(found[-1]) if found else adds_blank
        if len(pieces) > _MAX_PIECES:
            raise BadSentencePiece(f"it has more than {_MAX_PIECES} pieces")
    if not pieces:
        raise BadSentencePiece("it has no pieces")
    return SentencePiece(tuple(pieces), kind, adds_blank)


def _piece(raw: bytes) -> Piece:
    text, score, kind = "", 0.0, PieceType.NORMAL
    for field, value in _fields(raw):
        try:
            if field == 1 and isinstance(value, bytes):
                text = value.decode("utf-8")
            elif field == 2 and isinstance(value, bytes):  # noqa: PLR2004 - the score's number
                (score,) = struct.unpack("<f", value)
            elif field == 3 and isinstance(value, int):  # noqa: PLR2004 - the type's number
                kind = PieceType(value)
        except (ValueError, struct.error) as error:
            raise BadSentencePiece("a piece of it cannot be read") from error
    return Piece(text, score, kind)


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a message; numbers of fixed size as bytes."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        field, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            number, at = _varint(raw, at)
            yield field, number
            continue
        if wire == _TEXT:
            size, at = _varint(raw, at)
        elif wire in {_FIXED64, _FIXED32}:
            size = 8 if wire == _FIXED64 else 4
        else:
            raise BadSentencePiece(f"byte {at} has the unknown kind {wire}")
        if at + size > len(raw):
            raise BadSentencePiece("it is cut short")
        yield field, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(raw) and shift < 64:  # noqa: PLR2004 - bits
        byte = raw[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004 - the last of its bytes
            return number, at
    raise BadSentencePiece("it is cut short")

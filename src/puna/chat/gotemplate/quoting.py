r"""Go's quoted texts, read and written; and Go's view of a text, which is bytes.

What is no UTF-8 travels in Python's texts as lone surrogates (`surrogateescape`).
"""

import re
from contextlib import suppress

_SHORT = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92}
_SHORT_BY_CODE = {code: letter for letter, code in _SHORT.items()}
_ESCAPE = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|[abfnrtv\\'\"])"
)
_PIECE = re.compile(_ESCAPE.pattern + r"|[^\\]", re.DOTALL)
_SURROGATES = range(0xD800, 0xE000)
_ESCAPED = range(0xDC80, 0xDD00)
_MOST = 0x10FFFF
_BYTE = 256


def to_bytes(text: str) -> bytes:
    """Return the bytes of a text."""
    return text.encode("utf-8", "surrogateescape")


def from_bytes(raw: bytes) -> str:
    """Return the text of some bytes, whatever they are."""
    return raw.decode("utf-8", "surrogateescape")


def unquote(written: str) -> str:
    """Return what a quoted text says. Raises `ValueError`."""
    quote, inner = written[0], written[1:-1]
    if quote == "`":
        return inner.replace("\r", "")
    pieces = _PIECE.findall(inner)
    if "".join(pieces) != inner:
        raise ValueError("invalid syntax")
    return from_bytes(b"".join(_piece(each, quote) for each in pieces))


def unquote_rune(written: str) -> int:
    """Return the number of a character constant. Raises `ValueError`."""
    match = _PIECE.match(written[1:-1])
    if match is None or match[0] == '\\"':
        raise ValueError("invalid syntax")
    piece = match[0]
    if piece != written[1:-1]:
        raise ValueError(f"malformed character constant: {written}")
    if piece[0] != "\\":
        return ord(piece)
    if piece[1] in "x01234567":
        return _piece(piece, "'")[0]
    return ord(from_bytes(_piece(piece, "'")))


def _piece(piece: str, quote: str) -> bytes:
    if piece[0] != "\\":
        return to_bytes(piece)
    mark, digits = piece[1], piece[2:]
    if mark in "'\"":
        if mark != quote:
            raise ValueError("invalid syntax")
        return mark.encode()
    if mark in _SHORT:
        return bytes([_SHORT[mark]])
    number = int(digits, 16) if mark in "xuU" else int(piece[1:], 8)
    if mark in "uU":
        if number > _MOST or number in _SURROGATES:
            raise ValueError("invalid syntax")
        return chr(number).encode()
    if number >= _BYTE:
        raise ValueError("invalid syntax")
    return bytes([number])


def quoted(text: str, *, quote: str = '"', ascii_only: bool = False) -> str:
    """Return a text as Go quotes it."""
    table = _TABLES.setdefault((quote, ascii_only), _Letters(quote, ascii_only=ascii_only))
    return quote + text.translate(table) + quote


class _Letters(dict[int, str]):
    """How each letter is written, found out once: a template can have a megabyte quoted."""

    def __init__(self, quote: str, *, ascii_only: bool) -> None:
        super().__init__()
        self._quote = quote
        self._ascii_only = ascii_only

    def __missing__(self, code: int) -> str:
        shown = self[code] = _shown(chr(code), self._quote, ascii_only=self._ascii_only)
        return shown


_TABLES: dict[tuple[str, bool], _Letters] = {}


def _shown(letter: str, quote: str, *, ascii_only: bool) -> str:
    code = ord(letter)
    if letter == quote:
        return f"\\{letter}"
    if code in _SHORT_BY_CODE:
        return f"\\{_SHORT_BY_CODE[code]}"
    if code in _ESCAPED:
        return f"\\x{code - 0xDC00:02x}"
    if letter.isprintable() and (letter.isascii() or not ascii_only):
        return letter
    if code < 0x80:  # noqa: PLR2004 - ASCII
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four digits


def whole_number(written: str) -> int | None:
    """Read a whole number as Go does with base 0; None if it is none."""
    sign = -1 if written.startswith("-") else 1
    digits = written.lstrip("+-")
    if not re.fullmatch(r"0[xX](_?[0-9a-fA-F])+|0[oO](_?[0-7])+|0[bB](_?[01])+|0|0?(_?[0-9])+",
                        digits) or digits.startswith("_"):  # fmt: skip
        return None
    plain = digits.replace("_", "").lower()
    base = {"0x": 16, "0o": 8, "0b": 2}.get(plain[:2], 8 if plain[0] == "0" else 10)
    with suppress(ValueError):
        return sign * int(plain, base)
    return None

"""Options as people type and read them: `/set parameter`, `PARAMETER` lines, `/api/show`."""

from collections.abc import Callable, Mapping, Sequence

from puna.errors import Invalid
from puna.models.options import (
    OPTION_TABLE,
    OptionKind,
    OptionOutOfRange,
    OptionValue,
    parse_option,
)
from puna.text import one_line

# What Go's strconv.ParseBool takes.
_TRUTH = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def _plain(text: str) -> str:
    """Return a number if Go reads it too: Python takes `1_000` and digits of other scripts."""
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return text


_READERS: Mapping[OptionKind, tuple[str, Callable[[str], object]]] = {
    OptionKind.INTEGER: ("int", lambda text: int(_plain(text))),
    OptionKind.FLOAT: ("float", lambda text: float(_plain(text))),
    OptionKind.BOOLEAN: ("bool", _TRUTH.__getitem__),
}


class UnknownOption(Invalid):
    """There is no option of this name."""

    code = "unknown_option"


def option_from_words(name: str, words: Sequence[str]) -> OptionValue:
    """Read what follows `/set parameter NAME` or `PARAMETER NAME`. Raises `Invalid`."""
    row = OPTION_TABLE.get(name)
    if row is None:
        hint = f"known parameters: {', '.join(OPTION_TABLE)}"
        raise UnknownOption(f"unknown parameter '{one_line(name, 60)}'", hint=hint)
    if row.kind is OptionKind.STRINGS:
        return parse_option(row, list(words))
    if len(words) != 1:
        raise OptionOutOfRange(f"parameter '{name}' takes one value, not {len(words)}")
    kind, read = _READERS[row.kind]
    try:
        value = read(words[0].strip())
    except (ValueError, KeyError) as error:
        shown = one_line(words[0], 60)
        raise OptionOutOfRange(f"invalid {kind} value [{shown}]") from error
    return parse_option(row, value)


def parameters_text(parameters: Mapping[str, object]) -> str:
    """Return the `parameters` text of `/api/show`: a line for each value, names padded to 30."""
    lines = []
    for name, value in parameters.items():
        values = value if isinstance(value, list | tuple) else (value,)
        lines += [f"{name:<30} {_shown(item)}" for item in values]
    return "\n".join(lines)


def plain_value(value: object) -> str:
    """Return one value as a `PARAMETER` line holds it: `true`, `4096`, `0.8`, or the text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def go_quoted(text: str) -> str:
    """Return `text` in double quotes as Go's strconv.Quote does: one printable line."""
    return '"' + "".join(_go_char(char) for char in text) + '"'


def _shown(value: object) -> str:
    return go_quoted(value) if isinstance(value, str) else plain_value(value)


_GO_ESCAPES = dict(zip('"\\\a\b\f\n\r\t\v', ('"', "\\", *"abfnrtv"), strict=True))
_ASCII_END, _FOUR_DIGITS_END = 0x80, 0x10000


def _go_char(char: str) -> str:
    if char in _GO_ESCAPES:
        return f"\\{_GO_ESCAPES[char]}"
    if char.isprintable():
        return char
    code = ord(char)
    if code < _ASCII_END:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _FOUR_DIGITS_END else f"\\U{code:08x}"

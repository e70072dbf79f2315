"""Go's `fmt`: `%v` and its relatives, faithfully, since templates build prompts with them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from puna.chat.gotemplate.errors import CallFailed
from puna.chat.gotemplate.floats import shown_float
from puna.chat.gotemplate.go_syntax import go_syntax
from puna.chat.gotemplate.quoting import from_bytes, quoted, to_bytes
from puna.chat.gotemplate.values import (
    Boxed,
    Byte,
    GoList,
    GoMap,
    GoStruct,
    Value,
    ValueKind,
    entries_of,
    items_of,
    kind_of,
    sorted_keys,
    type_of,
    unboxed,
)

_MOST_WIDTH = 1_000_000
_MOST_TEXT = 2**25
_POINTER = "0xc000000000"
"""What puna writes for the address of a struct; Go's differs from run to run."""
_DIRECTIVE = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>(?:\[\d+\])?\*|\d+)?"
    r"(?:(?P<dot>\.)(?P<precision>(?:\[\d+\])?\*|\d+)?)?(?P<index>\[[^\]]*\])?(?P<verb>.)?",
    re.DOTALL,
)
_STRING_VERBS = frozenset("vsxXq")
_RADIX = {"b": "b", "o": "o", "O": "o", "x": "x", "X": "X", "d": "d", "v": "d"}
_PREFIX = {"b": "0b", "o": "0", "O": "0o", "x": "0x", "X": "0X"}


@dataclass(frozen=True, slots=True)
class Form:
    """How one value is to be written."""

    verb: str = "v"
    flags: frozenset[str] = frozenset()
    width: int | None = None
    precision: int | None = None

    @property
    def plus(self) -> bool:
        """Whether signs are written."""
        return "+" in self.flags

    @property
    def names(self) -> bool:
        """Whether the names of fields are written: what `+` means to `%v`."""
        return "names" in self.flags

    @property
    def sharp(self) -> bool:
        """Whether the alternate form is wanted."""
        return "#" in self.flags

    def padded(self, text: str, *, zeros: bool = True) -> str:
        """Fill a text up to the width."""
        missing = (self.width or 0) - len(text)
        if missing <= 0:
            return text
        if "-" in self.flags:
            return text + " " * missing
        if not zeros or "0" not in self.flags:
            return " " * missing + text
        sign = text[:1] if text[:1] in {"+", "-", " "} else ""
        return sign + "0" * missing + text[len(sign) :]


PLAIN = Form()


def sprint(values: Sequence[Value]) -> str:
    """Write values one after the other, with a blank between two that are no texts."""
    pieces: list[str] = []
    was_text = True
    for at, value in enumerate(values):
        is_text = isinstance(unboxed(value), str)
        if at and not is_text and not was_text:
            pieces.append(" ")
        pieces.append(shown(value))
        was_text = is_text
    return "".join(pieces)


def sprintln(values: Sequence[Value]) -> str:
    """Write values with a blank between them, and end the line."""
    return " ".join(map(shown, values)) + "\n"


def shown(value: Value, form: Form = PLAIN) -> str:
    """Write one value by a verb."""
    value = unboxed(value)
    kind = kind_of(value)
    if form.verb == "v" and form.plus:
        form = replace(form, flags=form.flags - {"+"} | {"names"})
    if form.verb == "T":
        name = "<nil>" if kind is ValueKind.INVALID else type_of(value)
        return shown(name, replace(form, verb="s"))
    if form.verb == "v" and form.sharp:
        return form.padded(go_syntax(value))
    if kind is ValueKind.INVALID:
        return form.padded("<nil>") if form.verb == "v" else f"%!{form.verb}(<nil>)"
    return _nested(value, form, depth=0)


def _nested(value: Value, form: Form, *, depth: int) -> str:
    value = value.value if isinstance(value, Boxed) else value
    if value is None:
        return "<nil>" if depth else f"%!{form.verb}(<nil>)"
    if isinstance(value, GoList | GoMap | GoStruct) and value.text and _writes_itself(form):
        return _string(value.text(), form)
    return _WRITERS[kind_of(value)](value, form, depth)


def _writes_itself(form: Form) -> bool:
    return form.verb in _STRING_VERBS and not (form.verb == "v" and form.sharp)


def _bad(value: Value, form: Form, _depth: int = 0) -> str:
    return f"%!{form.verb}({type_of(value)}={_nested(value, replace(form, verb='v'), depth=0)})"


def _bool(value: Value, form: Form, _depth: int) -> str:
    return form.padded("true" if value else "false") if form.verb in "tv" else _bad(value, form)


def _int(value: Value, form: Form, _depth: int) -> str:
    number = int(value) if isinstance(value, int) else 0
    if form.verb in _RADIX:
        return _whole(number, form)
    if form.verb == "c":
        return form.padded(_rune(number))
    if form.verb == "q":
        return form.padded(quoted(_rune(number), quote="'", ascii_only=form.plus))
    if form.verb == "U":
        letter = f" '{chr(number)}'" if form.sharp and chr(number).isprintable() else ""
        return form.padded(f"U+{number:04X}{letter}")
    return _bad(value, form)


def _rune(number: int) -> str:
    is_rune = 0 <= number <= 0x10FFFF and not 0xD800 <= number < 0xE000  # noqa: PLR2004 - Unicode
    return chr(number) if is_rune else "\ufffd"


def _whole(number: int, form: Form) -> str:
    if form.precision == 0 and number == 0:
        return form.padded("", zeros=False)
    digits = format(abs(number), _RADIX[form.verb]).zfill(form.precision or 0)
    prefix = _PREFIX.get(form.verb, "") if form.sharp or form.verb == "O" else ""
    if prefix == "0" and digits.startswith("0"):
        prefix = ""
    sign = "-" if number < 0 else _plus(form)
    fills = form.precision is None and "0" in form.flags and "-" not in form.flags
    if fills and form.width:
        digits = digits.zfill(form.width - len(sign) if form.width else 0)
    return form.padded(sign + prefix + digits, zeros=False)


def _plus(form: Form) -> str:
    if form.plus:
        return "+"
    return " " if " " in form.flags else ""


def _float(value: Value, form: Form, _depth: int) -> str:
    if form.verb not in "vbgGxXfFeE":
        return _bad(value, form)
    number = float(value) if isinstance(value, int | float) else 0.0
    text = shown_float(number, form.verb, form.precision)
    if text[0] not in "+-":
        text = _plus(form) + text
    return form.padded(text, zeros=text.lstrip("+- ")[:1].isdigit())


def _complex(value: Value, form: Form, _depth: int) -> str:
    if not isinstance(value, complex) or form.verb not in "vbgGxXfFeE":
        return _bad(value, form)
    real = shown_float(value.real, form.verb, form.precision)
    imaginary = shown_float(value.imag, form.verb, form.precision)
    return form.padded(f"({real}{'' if imaginary[0] in '+-' else '+'}{imaginary}i)")


def _string(text: str, form: Form) -> str:
    if form.verb in "xX":
        raw = to_bytes(text)[: form.precision]
        return form.padded(_hex(raw, form))
    cut = text if form.precision is None else text[: form.precision]
    if form.verb in "vs":
        return form.padded(cut, zeros=True)
    if form.verb == "q":
        if form.sharp and "`" not in cut and all(_is_raw(each) for each in cut):
            return form.padded(f"`{cut}`")
        return form.padded(quoted(cut, ascii_only=form.plus))
    return _bad(text, form)


def _is_raw(letter: str) -> bool:
    return letter == "\t" or (letter >= " " and letter not in "\x7f\ufeff")


def _hex(raw: bytes, form: Form) -> str:
    digits = raw.hex().upper() if form.verb == "X" else raw.hex()
    prefix = _PREFIX[form.verb] if form.sharp and raw else ""
    if " " not in form.flags:
        return prefix + digits
    pairs = [prefix + digits[at : at + 2] for at in range(0, len(digits), 2)]
    return " ".join(pairs)


def _text(value: Value, form: Form, _depth: int) -> str:
    return _string(value if isinstance(value, str) else "", form)


def _list(value: Value, form: Form, depth: int) -> str:
    if isinstance(value, bytes) and form.verb in "sqxX":
        return _string(from_bytes(value), form)
    inner = " ".join(_nested(each, form, depth=depth + 1) for each in items_of(value))
    return f"[{inner}]"


def _map(value: Value, form: Form, depth: int) -> str:
    entries = entries_of(value)
    inner = " ".join(
        f"{_string(key, form)}:{_nested(entries[key], form, depth=depth + 1)}"
        for key in sorted_keys(value)
    )
    return f"map[{inner}]"


def _struct(value: Value, form: Form, depth: int) -> str:
    if not isinstance(value, GoStruct):
        return ""
    inner = " ".join(
        (f"{name}:" if form.names else "") + _nested(each, form, depth=depth + 1)
        for name, each in value.fields.items()
    )
    return f"{{{inner}}}"


def _pointer(value: Value, form: Form, depth: int) -> str:
    return _POINTER if depth else f"&{_struct(value, form, depth)}"


_WRITERS: dict[ValueKind, Callable[[Value, Form, int], str]] = {
    ValueKind.BOOL: _bool,
    ValueKind.INT: _int,
    ValueKind.UINT: _int,
    ValueKind.FLOAT: _float,
    ValueKind.COMPLEX: _complex,
    ValueKind.STRING: _text,
    ValueKind.LIST: _list,
    ValueKind.MAP: _map,
    ValueKind.STRUCT: _struct,
    ValueKind.POINTER: _pointer,
}


def sprintf(pattern: str, values: Sequence[Value]) -> str:
    """Write values by a pattern, with Go's remarks where the two do not agree."""
    return _Format(values).written(pattern)


class _Format:
    def __init__(self, values: Sequence[Value]) -> None:
        self._values = values
        self._next = 0
        self._reordered = False
        self._bad_index = False
        self._remarks = ""

    def written(self, pattern: str) -> str:
        pieces: list[str] = []
        place = total = 0
        while (found := pattern.find("%", place)) >= 0:
            pieces.append(pattern[place:found])
            match = _DIRECTIVE.match(pattern, found)
            if match is None:
                break
            pieces.append(self._directive(match))
            place = match.end()
            total += len(pieces[-1])
            if total > _MOST_TEXT:
                raise CallFailed(f"the text is longer than {_MOST_TEXT} characters")
        pieces.append(pattern[place:])
        if not self._reordered and self._next < len(self._values):
            pieces.append(self._extra())
        return "".join(pieces)

    def _directive(self, match: re.Match[str]) -> str:
        self._remarks, self._bad_index, was_reordered = "", False, self._reordered
        width, is_left = self._number(match["width"], "BADWIDTH")
        flags = frozenset(match["flags"]) | (frozenset("-") if is_left else frozenset())
        precision, _ = (
            self._number(match["precision"], "BADPREC") if match["dot"] else (None, False)
        )
        if match["dot"] and match["precision"] is None:
            precision = 0
        self._reordered = was_reordered
        if match["index"] is not None:
            self._go_to(match["index"])
        verb = match["verb"]
        if verb is None:
            return f"{self._remarks}%!(NOVERB)"
        if verb == "%":
            return f"{self._remarks}%"
        if self._bad_index:
            return f"{self._remarks}%!{verb}(BADINDEX)"
        if self._next >= len(self._values):
            return f"{self._remarks}%!{verb}(MISSING)"
        value = self._values[self._next]
        self._next += 1
        return self._remarks + shown(value, Form(verb, flags, width, precision))

    def _number(self, text: str | None, remark: str) -> tuple[int | None, bool]:
        """Return a width or precision, and whether it was negative, which pads on the right."""
        if text is None:
            return None, False
        if not text.endswith("*"):
            if int(text) > _MOST_WIDTH:
                raise CallFailed(f"a width of {text} is more than {_MOST_WIDTH}")
            return int(text), False
        if len(text) > 1:
            self._go_to(text[:-1])
        value = unboxed(self._values[self._next]) if self._next < len(self._values) else None
        self._next += self._next < len(self._values)
        is_whole = isinstance(value, int) and not isinstance(value, bool | Byte)
        if not isinstance(value, int) or not is_whole or abs(value) > _MOST_WIDTH:
            self._remarks += f"%!({remark})"
            return None, False
        if value < 0:
            if remark == "BADPREC":
                self._remarks += "%!(BADPREC)"
                return None, False
            return -value, True
        return value, False

    def _go_to(self, bracket: str) -> None:
        self._reordered = True
        number = bracket[1:-1]
        if not number.isdigit() or not 1 <= int(number) <= len(self._values):
            self._bad_index = True
            return
        self._next = int(number) - 1

    def _extra(self) -> str:
        shown_values = [
            "<nil>" if kind_of(unboxed(each)) is ValueKind.INVALID
            else f"{type_of(unboxed(each))}={shown(each)}"
            for each in self._values[self._next :]
        ]  # fmt: skip
        return f"%!(EXTRA {', '.join(shown_values)})"

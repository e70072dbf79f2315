r"""JSON as Go's `encoding/json` writes it: sorted keys, `<` as `\u003c`, floats the short way."""

import base64
import math

from puna.chat.gotemplate.quoting import quoted
from puna.chat.gotemplate.values import (
    Boxed,
    GoList,
    GoMap,
    GoStruct,
    Value,
    ValueKind,
    entries_of,
    is_true,
    items_of,
    kind_of,
    sorted_keys,
    unboxed,
)

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", '"': '\\"', "\\": "\\\\"}
_LETTERS = {
    **{code: f"\\u{code:04x}" for code in (*range(0x20), *map(ord, "<>&\u2028\u2029"))},
    **dict.fromkeys(range(55296, 57344), "\\ufffd"),
    **{ord(letter): short for letter, short in _SHORT.items()},
}
_SMALL, _LARGE = 1e-6, 1e21


class NoJson(ValueError):
    """JSON has no word for a value, such as an infinite number."""


def json_text(value: Value) -> str:
    """Return a value as JSON. Raises `NoJson`."""
    value = unboxed(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _float(value) if isinstance(value, float) else str(int(value))
    if isinstance(value, bytes):
        return f'"{base64.b64encode(value).decode()}"'
    if isinstance(value, GoStruct):
        return _struct(value)
    return _several(value, kind_of(value))


def _several(value: Value, kind: ValueKind) -> str:
    if isinstance(value, GoList | GoMap) and value.is_nil:
        return "null"
    if isinstance(value, GoList) and value.is_bare and len(value.items) == 1:
        return json_text(value.items[0])
    if kind is ValueKind.LIST:
        return f"[{','.join(map(json_text, items_of(value)))}]"
    if kind is ValueKind.MAP:
        entries = entries_of(value)
        return _object([(key, entries[key]) for key in sorted_keys(value)])
    if kind is ValueKind.BOOL:
        return "true" if value else "false"
    if kind is ValueKind.INVALID:
        return "null"
    raise NoJson(f"json: unsupported type: {quoted(str(kind.value))}")


def _struct(value: GoStruct) -> str:
    rows = value.json or tuple((name, name, False) for name in value.fields)
    return _object(
        [
            (shown, value.fields[name])
            for name, shown, is_optional in rows
            if not is_optional or _is_present(value.fields[name])
        ]
    )


def _is_present(value: Value) -> bool:
    if isinstance(value, Boxed):
        return value.value is not None
    return is_true(value)


def _object(pairs: list[tuple[str, Value]]) -> str:
    return "{" + ",".join(f"{_string(key)}:{json_text(value)}" for key, value in pairs) + "}"


def _string(text: str) -> str:
    return f'"{text.translate(_LETTERS)}"'


def _float(number: float) -> str:
    if not math.isfinite(number):
        raise NoJson(f"json: unsupported value: {number}")
    if number == 0:
        return "-0" if math.copysign(1, number) < 0 else "0"
    digits = repr(number)
    if _SMALL <= abs(number) < _LARGE:
        return plain_digits(digits)
    mantissa, _, exponent = _scientific(digits).partition("e")
    sign, power = exponent[0], exponent[1:].lstrip("0")
    return f"{mantissa}e{sign}{power.zfill(1)}"


def plain_digits(digits: str) -> str:
    """Write a number without an exponent and without `.0`."""
    if "e" in digits:
        mantissa, _, exponent = digits.partition("e")
        places = max(0, len(mantissa.partition(".")[2]) - int(exponent))
        return f"{float(digits):.{places}f}" if places else str(int(float(digits)))
    return digits.removesuffix(".0")


def _scientific(digits: str) -> str:
    if "e" in digits:
        return digits.replace(".0e", "e")
    number = float(digits)
    count = len(digits.replace(".", "").replace("-", "").strip("0"))
    return f"{number:.{max(0, count - 1)}e}"

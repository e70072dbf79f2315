"""What is wrong with a body, in the words of RunPod's version 2, whose schema checker speaks so.

Clients compare these strings: `$: missing property 'x'`, `value must be one of 'a', 'b'`. What was
sent is named by its kind, and by its value only where that is a number: text may be a password.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from puna.text import one_line

_LONGEST = 300
_BODY = 1
"""The first part of a place says that it is in the body."""
_WANTED = {
    "int_type": "integer",
    "int_from_float": "integer",
    "int_parsing": "integer",
    "float_type": "number",
    "float_parsing": "number",
    "string_type": "string",
    "bool_type": "boolean",
    "bool_parsing": "boolean",
    "list_type": "array",
    "tuple_type": "array",
    "dict_type": "object",
    "model_type": "object",
    "model_attributes_type": "object",
}
_BOUNDS = {
    "greater_than_equal": ("minimum", "ge"),
    "greater_than": ("exclusiveMinimum", "gt"),
    "less_than_equal": ("maximum", "le"),
    "less_than": ("exclusiveMaximum", "lt"),
}
_LENGTHS = {
    "string_too_short": ("min", "min_length"),
    "string_too_long": ("max", "max_length"),
    "too_short": ("min", "min_length"),
    "too_long": ("max", "max_length"),
}
_KINDS: Sequence[tuple[type, str]] = (
    (bool, "boolean"),
    (int, "number"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
)


def mistake(found: Mapping[str, Any]) -> str:
    """Return one sentence for one of pydantic's errors."""
    where = [part for part in found["loc"] if isinstance(part, str | int)]
    kind = str(found["type"])
    if kind == "json_invalid":
        return "$: the body is not JSON"
    if kind in {"extra_forbidden", "missing"} and len(where) > _BODY:
        name = one_line(str(where[-1]), _LONGEST)
        if kind == "missing":
            return f"{_place(where[:-1])}: missing property '{name}'"
        return f"{_place(where[:-1])}: additional properties '{name}' not allowed"
    if kind == "missing":
        return "$: got null, want object"
    if isinstance(found.get("input"), bytes):
        return "$: the body is not JSON: send it with Content-Type: application/json"
    return f"{_place(where)}: {_complaint(kind, found)}"


def _place(where: Sequence[str | int]) -> str:
    inner = (
        f"[{part}]" if isinstance(part, int) else f".{one_line(part, _LONGEST)}"
        for part in where[_BODY:]
    )
    return "$" + "".join(inner)


def _complaint(kind: str, found: Mapping[str, Any]) -> str:
    context, sent = found.get("ctx") or {}, found.get("input")
    if kind in _WANTED:
        return f"got {_kind_of(sent)}, want {_WANTED[kind]}"
    if kind in _BOUNDS:
        name, bound = _BOUNDS[kind]
        return f"{name}: got {sent}, want {context[bound]}"
    if kind in _LENGTHS and isinstance(sent, str | list | dict):
        name, bound = _LENGTHS[kind]
        unit = "Length" if isinstance(sent, str) else "Items"
        return f"{name}{unit}: got {len(sent)}, want {context[bound]}"
    return _OTHER.get(kind, _as_it_says)(found)


def _kind_of(sent: object) -> str:
    return next((name for kind, name in _KINDS if isinstance(sent, kind)), "null")


def _one_of(found: Mapping[str, Any]) -> str:
    expected = str((found.get("ctx") or {}).get("expected", "")).replace(" or ", ", ")
    return f"value must be one of {expected}"


def _pattern(found: Mapping[str, Any]) -> str:
    return f"does not match pattern '{(found.get('ctx') or {}).get('pattern')}'"


def _as_it_says(found: Mapping[str, Any]) -> str:
    text = one_line(str(found["msg"]), _LONGEST).removeprefix("Value error, ")
    return f"{text[:1].lower()}{text[1:]}"


_OTHER: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "literal_error": _one_of,
    "enum": _one_of,
    "string_pattern_mismatch": _pattern,
}

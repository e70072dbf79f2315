"""The functions that templates can call: Go's own, and the four that Ollama adds."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import quote_plus

from puna.chat.gotemplate.compare import eq, ge, gt, le, lt, ne
from puna.chat.gotemplate.errors import CallFailed, NotAFunction
from puna.chat.gotemplate.json_text import NoJson, json_text
from puna.chat.gotemplate.printing import sprint, sprintf, sprintln
from puna.chat.gotemplate.quoting import from_bytes, to_bytes
from puna.chat.gotemplate.values import (
    NO_VALUE,
    Boxed,
    Byte,
    GoList,
    GoMap,
    GoStruct,
    Value,
    ValueKind,
    entries_of,
    is_true,
    is_untyped,
    items_of,
    kind_of,
    type_of,
    unboxed,
)

_LIST_KINDS = frozenset({ValueKind.LIST, ValueKind.STRING})
_MEASURED = frozenset({ValueKind.LIST, ValueKind.STRING, ValueKind.MAP})
_NO_TYPE = "reflect: call of reflect.Value.Type on zero Value"
_MOST_INDEXES = 3
_HTML = {'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd"}
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026"}
_JS |= {"=": "\\u003D"}
_TYPESCRIPT = {
    "string": "string", "number": "number", "integer": "number", "boolean": "boolean",
    "array": "any[]", "object": "Record<string, any>", "null": "null",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Function:
    """A function, and which arguments it takes."""

    call: Callable[[Sequence[Value]], Value]
    fixed: int = 0
    is_variadic: bool = True
    takes_text: int = 0
    """How many of its first arguments have to be texts; -1 for all."""


def functions_on(day: date) -> Mapping[str, Function]:
    """Return every function by name; `day` is today."""
    yesterday = day - timedelta(days=1)
    return {
        **_FUNCTIONS,
        "currentDate": Function(lambda _: day.isoformat(), takes_text=-1),
        "yesterdayDate": Function(lambda _: yesterday.isoformat(), takes_text=-1),
    }


def _length(values: Sequence[Value]) -> Value:
    value = values[0]
    if isinstance(value, Boxed) and value.value is None:
        raise CallFailed("len of nil pointer")
    value = unboxed(value)
    if isinstance(value, str):
        return len(to_bytes(value))
    kind = kind_of(value)
    if kind in _MEASURED:
        return len(items_of(value)) if kind is ValueKind.LIST else len(entries_of(value))
    if kind is ValueKind.INVALID:
        raise CallFailed(_NO_TYPE)
    raise CallFailed(f"len of type {_pointed(value)}")


def _pointed(value: Value) -> str:
    return value.go_type if isinstance(value, GoStruct) else type_of(value)


def _place(value: Value, most: int) -> int:
    index = unboxed(value)
    if isinstance(index, int) and not isinstance(index, bool):
        if not 0 <= index <= most:
            raise CallFailed(f"index out of range: {int(index)}")
        return index
    if kind_of(index) is ValueKind.INVALID:
        raise CallFailed("cannot index slice/array with nil")
    raise CallFailed(f"cannot index slice/array with type {type_of(index)}")


def _index(values: Sequence[Value]) -> Value:
    item = unboxed(values[0])
    if item is NO_VALUE:
        raise CallFailed("index of untyped nil")
    for index in values[1:]:
        item = unboxed(item)
        if item is NO_VALUE:
            raise CallFailed("index of nil pointer")
        kind = kind_of(item)
        if kind in _LIST_KINDS:
            item = _element(item, index)
        elif kind is ValueKind.MAP:
            item = _entry(item, index)
        else:
            raise CallFailed(f"can't index item of type {_pointed(item)}")
    return item


def _element(item: Value, index: Value) -> Value:
    if isinstance(item, str):
        raw = to_bytes(item)
        place = _place(index, len(raw))
        if place == len(raw):
            raise CallFailed("reflect: string index out of range")
        return Byte(raw[place])
    items = items_of(item)
    place = _place(index, len(items))
    if place == len(items):
        raise CallFailed("reflect: slice index out of range")
    return Boxed(items[place]) if is_untyped(item) else items[place]


def _entry(item: Value, index: Value) -> Value:
    key = unboxed(index)
    if not isinstance(key, str):
        if key is NO_VALUE:
            raise CallFailed("value is nil; should be of type string")
        raise CallFailed(f"value has type {type_of(key)}; should be string")
    entries = entries_of(item)
    if key in entries:
        return Boxed(entries[key]) if is_untyped(item) else entries[key]
    return item.zero if isinstance(item, GoMap) else Boxed(None)


def _slice(values: Sequence[Value]) -> Value:
    item, indexes = unboxed(values[0]), values[1:]
    if item is NO_VALUE:
        raise CallFailed("slice of untyped nil")
    if len(indexes) > _MOST_INDEXES:
        raise CallFailed(f"too many slice indexes: {len(indexes)}")
    if isinstance(item, str):
        if len(indexes) == _MOST_INDEXES:
            raise CallFailed("cannot 3-index slice a string")
        raw = to_bytes(item)
        start, end = _bounds(indexes, len(raw))
        return from_bytes(raw[start:end])
    if kind_of(item) is not ValueKind.LIST:
        raise CallFailed(f"can't slice item of type {_pointed(item)}")
    items = items_of(item)
    start, end = _bounds(indexes, len(items))
    if isinstance(item, GoList):
        return GoList(item.go_type, items[start:end])
    return items[start:end]


def _bounds(indexes: Sequence[Value], size: int) -> tuple[int, int]:
    for each in indexes:
        if isinstance(each, Boxed):  # Go does not look into it here
            raise CallFailed("cannot index slice/array with type interface {}")
    places = [_place(each, size) for each in indexes]
    start, end = [*places, *(0, size)[len(places) :]][:2]
    if start > end:
        raise CallFailed(f"invalid slice index: {start} > {end}")
    if len(places) == _MOST_INDEXES and end > places[2]:
        raise CallFailed(f"invalid slice index: {end} > {places[2]}")
    return start, end


def _printf(values: Sequence[Value]) -> Value:
    pattern = unboxed(values[0])
    return sprintf(pattern if isinstance(pattern, str) else "", values[1:])


def _plain_text(values: Sequence[Value]) -> str:
    """Write arguments as an action would."""
    return sprint([_pointee(each) for each in values])


def _pointee(value: Value) -> Value:
    value = unboxed(value)
    if value is NO_VALUE:
        return "<no value>"
    if isinstance(value, GoStruct) and value.is_pointer:
        return GoStruct(value.go_type, value.fields, value.json, value.text, value.methods)
    return value


def _html(values: Sequence[Value]) -> Value:
    return re.sub("[\"'&<>\0]", lambda match: _HTML[match[0]], _plain_text(values))


def _js(values: Sequence[Value]) -> Value:
    return "".join(map(_js_letter, _plain_text(values)))


def _js_letter(letter: str) -> str:
    if letter in _JS:
        return _JS[letter]
    code = ord(letter)
    if code < 0x20:  # noqa: PLR2004 - control characters
        return f"\\u00{code:02X}"
    if code < 0x80 or letter.isprintable():  # noqa: PLR2004 - ASCII
        return letter
    return f"\\u{code:04X}"


def _urlquery(values: Sequence[Value]) -> Value:
    return quote_plus(to_bytes(_plain_text(values)), safe="~")


def _json(values: Sequence[Value]) -> Value:
    try:
        return json_text(values[0])
    except NoJson:
        return ""


def _call(values: Sequence[Value]) -> Value:
    function = unboxed(values[0])
    if function is NO_VALUE:
        raise CallFailed("call of nil")
    raise NotAFunction(type_of(function))


def typescript_type(value: Value) -> str:
    """Return the TypeScript type of a tool's property."""
    if not isinstance(value, GoStruct) or not value.go_type.endswith("ToolProperty"):
        return "any"
    if choices := items_of(value.fields.get("AnyOf", ())):
        return " | ".join(map(typescript_type, choices))
    names = items_of(value.fields.get("Type", ()))
    return " | ".join(_TYPESCRIPT.get(str(each), "any") for each in names) or "any"


_FUNCTIONS: Mapping[str, Function] = {
    # `and` and `or` do not compute all their arguments, so the template itself carries them out.
    "and": Function(lambda values: values[-1], fixed=1),
    "or": Function(lambda values: values[-1], fixed=1),
    "not": Function(lambda values: not is_true(values[0]), fixed=1, is_variadic=False),
    "eq": Function(eq, fixed=1),
    "ne": Function(ne, fixed=2, is_variadic=False),
    "lt": Function(lt, fixed=2, is_variadic=False),
    "le": Function(le, fixed=2, is_variadic=False),
    "gt": Function(gt, fixed=2, is_variadic=False),
    "ge": Function(ge, fixed=2, is_variadic=False),
    "len": Function(_length, fixed=1, is_variadic=False),
    "index": Function(_index, fixed=1),
    "slice": Function(_slice, fixed=1),
    "print": Function(sprint),
    "println": Function(sprintln),
    "printf": Function(_printf, fixed=1, takes_text=1),
    "html": Function(_html),
    "js": Function(_js),
    "urlquery": Function(_urlquery),
    "call": Function(_call, fixed=1),
    "json": Function(_json, fixed=1, is_variadic=False),
    "toTypeScriptType": Function(
        lambda values: typescript_type(unboxed(values[0])), fixed=1, is_variadic=False
    ),
}
FUNCTION_NAMES = frozenset({*_FUNCTIONS, "currentDate", "yesterdayDate"})
"""The names that a template may call."""

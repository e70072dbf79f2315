"""Values as Go's own source has them: `%#v`."""

from puna.chat.gotemplate.floats import shown_float
from puna.chat.gotemplate.quoting import quoted
from puna.chat.gotemplate.values import (
    NO_VALUE,
    Boxed,
    Byte,
    GoMap,
    GoStruct,
    Value,
    ValueKind,
    entries_of,
    items_of,
    kind_of,
    sorted_keys,
    type_of,
)


def go_syntax(value: Value) -> str:
    """Return a value as Go code."""
    return "<nil>" if value is None or value is NO_VALUE else _inner(value)


def _inner(value: Value) -> str:
    value = value.value if isinstance(value, Boxed) else value
    match kind_of(value):
        case ValueKind.INVALID:
            return "interface {}(nil)"
        case ValueKind.STRING:
            return quoted(str(value))
        case ValueKind.LIST:
            return _list(value)
        case ValueKind.MAP:
            return _map(value)
        case ValueKind.STRUCT | ValueKind.POINTER:
            return _struct(value)
    return _number(value)


def _number(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Byte):
        return hex(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return shown_float(value, "g", None)
    return "" if not isinstance(value, complex) else f"({value.real:g}{value.imag:+g}i)"


def _list(value: Value) -> str:
    items = ", ".join(map(_inner, items_of(value)))
    return f"{type_of(value)}{{{items}}}"


def _map(value: Value) -> str:
    if isinstance(value, GoMap) and value.is_nil:
        return f"{value.go_type}(nil)"
    entries = entries_of(value)
    items = ", ".join(f"{quoted(key)}:{_inner(entries[key])}" for key in sorted_keys(value))
    return f"{type_of(value)}{{{items}}}"


def _struct(value: Value) -> str:
    if not isinstance(value, GoStruct):
        return ""
    fields = ", ".join(f"{name}:{_inner(each)}" for name, each in value.fields.items())
    return f"{'&' if value.is_pointer else ''}{value.go_type}{{{fields}}}"

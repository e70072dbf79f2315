"""What templates work on: Go's values, as Python ones.

Plain Python values stand for what Go decodes from JSON: `dict` for `map[string]interface {}`,
`list` and `tuple` for `[]interface {}`, `str`, `bool`, `int`, `float`, `None`. The classes here
stand for the rest: structs, typed lists and maps, and the two kinds of nothing that Go tells apart.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum


class _Nothing(Enum):
    NO_VALUE = "<no value>"
    MISSING = "missing"


NO_VALUE = _Nothing.NO_VALUE
"""No value at all, not even nil: what a pipeline yields for a name that is not there."""
MISSING = _Nothing.MISSING
"""The absence of a last argument."""


class Byte(int):
    """A byte of a text: Go's `uint8`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Boxed:
    """A value behind an interface: what lists and maps of any kind hold."""

    value: "Value"


@dataclass(frozen=True, slots=True)
class GoList:
    """A slice of one type; the one without items may be nil."""

    go_type: str
    items: Sequence["Value"]
    text: Callable[[], str] | None = field(default=None, compare=False)
    """How it writes itself, if it does."""
    is_nil: bool = False
    is_bare: bool = False
    """Whether a single item stands alone in JSON."""


@dataclass(frozen=True, slots=True)
class GoMap:
    """A map from texts to one type."""

    go_type: str
    items: Mapping[str, "Value"]
    zero: "Value" = None
    text: Callable[[], str] | None = field(default=None, compare=False)
    is_nil: bool = False


@dataclass(frozen=True, slots=True)
class GoStruct:
    """A struct, or a pointer to one."""

    go_type: str
    fields: Mapping[str, "Value"]
    json: tuple[tuple[str, str, bool], ...] = ()
    """For each field: its name, its name in JSON, and whether it is left out when empty."""
    text: Callable[[], str] | None = field(default=None, compare=False)
    methods: Mapping[str, Callable[[], "Value"]] = field(default_factory=dict, compare=False)
    is_pointer: bool = False


Value = (
    _Nothing | Boxed | GoList | GoMap | GoStruct | str | bytes | bool | int | float | complex | None
    | Sequence["Value"] | Mapping[str, "Value"]
)  # fmt: skip
Argument = Value


class ValueKind(Enum):
    """Go's kinds, as far as templates tell them apart."""

    INVALID = "invalid"
    BOOL = "bool"
    INT = "int"
    UINT = "uint8"
    FLOAT = "float64"
    COMPLEX = "complex128"
    STRING = "string"
    LIST = "slice"
    MAP = "map"
    STRUCT = "struct"
    POINTER = "ptr"


_KINDS: Mapping[type, ValueKind] = {
    _Nothing: ValueKind.INVALID,
    type(None): ValueKind.INVALID,
    bool: ValueKind.BOOL,
    int: ValueKind.INT,
    Byte: ValueKind.UINT,
    float: ValueKind.FLOAT,
    complex: ValueKind.COMPLEX,
    str: ValueKind.STRING,
    bytes: ValueKind.LIST,
    list: ValueKind.LIST,
    tuple: ValueKind.LIST,
    dict: ValueKind.MAP,
    GoList: ValueKind.LIST,
    GoMap: ValueKind.MAP,
}


def unboxed(value: Value) -> Value:
    """Return what is behind an interface; nothing for nil."""
    if isinstance(value, Boxed):
        value = value.value
    return NO_VALUE if value is None else value


def kind_of(value: Value) -> ValueKind:
    """Return the kind of a value that is not boxed."""
    if isinstance(value, GoStruct):
        return ValueKind.POINTER if value.is_pointer else ValueKind.STRUCT
    kind = _KINDS.get(type(value))
    if kind is not None:
        return kind
    return ValueKind.MAP if isinstance(value, Mapping) else ValueKind.LIST


def type_of(value: Value) -> str:
    """Return the name of a value's type as Go writes it."""
    if isinstance(value, GoStruct):
        return f"*{value.go_type}" if value.is_pointer else value.go_type
    if isinstance(value, GoList | GoMap):
        return value.go_type
    if isinstance(value, Boxed):
        return "interface {}"
    kind = kind_of(value)
    if kind is ValueKind.LIST:
        return "[]uint8" if isinstance(value, bytes) else "[]interface {}"
    return "map[string]interface {}" if kind is ValueKind.MAP else kind.value


def items_of(value: Value) -> Sequence[Value]:
    """Return the elements of a list; boxed where the list holds anything."""
    if isinstance(value, GoList):
        return value.items
    if isinstance(value, bytes):
        return [Byte(each) for each in value]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    return ()


def entries_of(value: Value) -> Mapping[str, Value]:
    """Return the entries of a map."""
    if isinstance(value, GoMap):
        return value.items
    return value if isinstance(value, Mapping) else {}


def is_untyped(value: Value) -> bool:
    """Tell whether a list or a map holds values of any type."""
    return not isinstance(value, GoList | GoMap | bytes)


def sorted_keys(value: Value) -> list[str]:
    """Return the keys of a map in Go's order, which is that of their bytes."""
    return sorted(entries_of(value), key=lambda key: key.encode("utf-8", "surrogateescape"))


def is_true(value: Value) -> bool:
    """Tell whether a value is anything but the zero of its type; structs always are."""
    value = unboxed(value)
    if value is NO_VALUE or value is MISSING:
        return False
    if isinstance(value, GoStruct):
        return True
    if isinstance(value, GoList | GoMap):
        return bool(value.items)
    return bool(value)


def is_nil(value: Value) -> bool:
    """Tell whether a value equals nil."""
    value = unboxed(value)
    return value is NO_VALUE or (isinstance(value, GoList | GoMap) and value.is_nil)

"""`eq`, `lt` and their relatives: which values can be compared, and how."""

from collections.abc import Sequence

from puna.chat.gotemplate.errors import CallFailed
from puna.chat.gotemplate.printing import Form, shown
from puna.chat.gotemplate.values import (
    NO_VALUE,
    Value,
    ValueKind,
    is_nil,
    kind_of,
    type_of,
    unboxed,
)

_BASIC = frozenset(
    {
        ValueKind.BOOL, ValueKind.INT, ValueKind.UINT, ValueKind.FLOAT, ValueKind.COMPLEX,
        ValueKind.STRING,
    }
)  # fmt: skip
_ORDERED = _BASIC - {ValueKind.BOOL, ValueKind.COMPLEX}
_WHOLE = frozenset({ValueKind.INT, ValueKind.UINT})
_AS_TEXT = Form("s")
_BAD_TYPE = "invalid type for comparison"


def eq(values: Sequence[Value]) -> bool:
    """Tell whether the first value equals any of the others."""
    first = unboxed(values[0])
    if len(values) == 1:
        raise CallFailed("missing argument for comparison")
    return any(_equal(first, unboxed(each)) for each in values[1:])


def _equal(one: Value, other: Value) -> bool:
    kinds = kind_of(one), kind_of(other)
    basic = [kind if kind in _BASIC else None for kind in kinds]
    if basic[0] != basic[1]:
        if kinds[0] in _WHOLE and kinds[1] in _WHOLE:
            return one == other
        if one is NO_VALUE or other is NO_VALUE:
            return False
        raise CallFailed(f"incompatible types for comparison: {type_of(one)} and {type_of(other)}")
    if basic[0] is not None:
        return one == other
    return _equal_others(one, other)


def _equal_others(one: Value, other: Value) -> bool:
    kinds = {kind_of(one), kind_of(other)}
    if len(kinds) > 1 and ValueKind.INVALID not in kinds:
        raise CallFailed(
            f"non-comparable types {shown(one, _AS_TEXT)}: {type_of(one)}, "
            f"{type_of(other)}: {shown(other)}"
        )
    if is_nil(one) or is_nil(other):
        return is_nil(one) == is_nil(other)
    if kind_of(other) is ValueKind.POINTER:
        return one is other
    raise CallFailed(f"non-comparable type {shown(other, _AS_TEXT)}: {type_of(other)}")


def ne(values: Sequence[Value]) -> bool:
    """Tell whether two values differ."""
    return not eq(values)


def lt(values: Sequence[Value]) -> bool:
    """Tell whether the first value comes before the second."""
    one, other = map(unboxed, values)
    kinds = kind_of(one), kind_of(other)
    if kinds[0] not in _BASIC or kinds[1] not in _BASIC:
        raise CallFailed(_BAD_TYPE)
    if kinds[0] is not kinds[1] and not _WHOLE.issuperset(kinds):
        raise CallFailed(f"incompatible types for comparison: {type_of(one)} and {type_of(other)}")
    if isinstance(one, str) and isinstance(other, str):
        return one.encode("utf-8", "surrogateescape") < other.encode("utf-8", "surrogateescape")
    if kinds[0] not in _ORDERED or not isinstance(one, int | float):
        raise CallFailed(_BAD_TYPE)
    return isinstance(other, int | float) and one < other


def le(values: Sequence[Value]) -> bool:
    """Tell whether the first value comes before the second, or equals it."""
    return lt(values) or eq(values)


def gt(values: Sequence[Value]) -> bool:
    """Tell whether the first value comes after the second."""
    return not le(values)


def ge(values: Sequence[Value]) -> bool:
    """Tell whether the first value comes after the second, or equals it."""
    return not lt(values)

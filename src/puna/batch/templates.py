"""A template over the columns of a row, which can neither reach into the program nor keep it busy.

Jinja's sandbox keeps a template from attributes that are none of its business. It does not keep it
from going on for ever, or from filling the memory: so its turns, its calls and what it makes larger
are bounded for each row, and a row for which that is too much is a bad row.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateRuntimeError, meta, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from puna.batch.records import Record
from puna.errors import Invalid

LONGEST_TEXT = 1_000_000
"""Characters of a row's text; longer ones are bad rows."""
_MOST_STEPS = 200_000
"""Turns of loops for one row; a call counts as several, since it takes as long."""
_CALL_STEPS = 4
_MOST_BITS = 4096
_MOST_LETTERS = 100 * LONGEST_TEXT
_TURNS = "puna_turns"
_GROWING = ("batch", "center", "format", "indent", "replace", "round", "slice", "wordwrap")
"""Filters whose arguments say how large a text becomes."""
_WIDTH = re.compile(r"[%:{][^%{}\s]{0,8}\d{7}")
"""A width of millions, as texts have it that are formats."""


class NoSuchColumn(Invalid):
    """The task names a column that the input does not have, or names none where it must."""

    code = "no_such_column"


class BadTemplate(Invalid):
    """A template cannot be read."""

    code = "bad_template"


class RowTemplate:
    """A template that is read, to be filled with row after row."""

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        """Raises `BadTemplate`, `NoSuchColumn`."""
        self._bounds = _Bounded()
        try:
            tree = self._bounds.parse(text)
            named = meta.find_undeclared_variables(tree)
            self._compiled = self._bounds.from_string(_with_turns_counted(tree))
        except (TemplateError, RecursionError) as error:
            raise BadTemplate(f"the template cannot be read: {error}") from error
        missing = sorted(named - {*columns, "row"})
        if missing:
            raise NoSuchColumn(
                f'the template names "{missing[0]}", and the input has no such column',
                hint=f"its columns: {', '.join(columns)}; odd names are written row['name']",
            )
        self.needed: tuple[str, ...] | None = None if "row" in named else tuple(sorted(named))
        """The columns that it names; None where it may look at any."""

    def fill(self, record: Record) -> tuple[str, str]:
        """Return the filled template, or why it could not be filled."""
        self._bounds.steps = 0
        try:
            return self._compiled.render({**record, "row": record}), ""
        except RecursionError:
            return "", "the template cannot be filled: it calls itself too deeply"
        except MemoryError:
            return "", "the template cannot be filled: it takes more memory than there is"
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            return "", f"the template cannot be filled: {error}"


def _with_turns_counted(tree: nodes.Template) -> nodes.Template:
    for loop in tree.find_all(nodes.For):
        loop.iter = nodes.Filter(loop.iter, _TURNS, [], [], None, None, lineno=loop.lineno)
    return tree


class _Bounded(ImmutableSandboxedEnvironment):
    """A sandbox that counts."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
        self.globals.clear()
        self.filters |= {name: _modest(self.filters[name]) for name in _GROWING}
        self.filters[_TURNS] = self._turns
        self.steps = 0

    def call(
        self,
        context: Context,
        obj: Callable[..., object],
        *args: Any,  # noqa: ANN401 - whatever a template gives
        **kwargs: Any,  # noqa: ANN401 - the same
    ) -> Any:  # noqa: ANN401 - the same
        """Count a call, and look at those of texts' own methods, which can make them larger."""
        self._step(_CALL_STEPS)
        text = getattr(getattr(obj, "__wrapped__", obj), "__self__", None)
        if isinstance(text, str):
            _check_modest(text, (*args, *kwargs.values()))
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - any operands
        """Refuse a product that would fill the memory."""
        del context
        if operator == "*" and not _is_small_product(left, right):
            raise TemplateRuntimeError("it multiplies to more than a row may have")
        if operator == "%" and isinstance(left, str):
            _check_modest(left, ())
        if operator == "**" and not _is_small_power(left, right):
            raise TemplateRuntimeError("it makes too large a number")
        return self.binop_table[operator](left, right)

    def _turns(self, items: Iterable[object]) -> Iterator[object]:
        for each in items:
            self._step()
            yield each

    def _step(self, count: int = 1) -> None:
        self.steps += count
        if self.steps > _MOST_STEPS:
            raise TemplateRuntimeError(f"it takes more than {_MOST_STEPS} turns and calls")


def _modest(grow: Callable[..., object]) -> Callable[..., object]:
    """Return a filter that refuses to make a text far larger."""
    skipped = 2 if hasattr(grow, "jinja_pass_arg") else 1

    @wraps(grow)
    def grown(*args: object, **kwargs: object) -> object:
        _check_modest(str(args[skipped - 1]), (*args[skipped:], *kwargs.values()))
        return grow(*args, **kwargs)

    return grown


def _check_modest(text: str, given: Sequence[object]) -> None:
    """Raise for widths that no row needs, and for texts in place of every letter of another."""
    widths = [each for each in given if isinstance(each, int)]
    longest = max((len(each) for each in given if isinstance(each, str)), default=0)
    if (
        max(widths, default=0) > LONGEST_TEXT
        or _WIDTH.search(text)
        or (len(text) + 1) * longest > _MOST_LETTERS
    ):
        raise TemplateRuntimeError("it makes a text far longer than a row may have")


def _is_small_product(left: object, right: object) -> bool:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple) and isinstance(other, int):
            return len(one) * other <= LONGEST_TEXT
    return _bits(left) + _bits(right) <= _MOST_BITS


def _is_small_power(left: object, right: object) -> bool:
    if not isinstance(left, int) or not isinstance(right, int):
        return True  # a float ends at its largest
    return right <= 0 or _bits(left) * right <= _MOST_BITS


def _bits(number: object) -> int:
    return number.bit_length() if isinstance(number, int) else 0

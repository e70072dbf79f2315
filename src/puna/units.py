"""Quantities, integers inside: bytes, nanoseconds, micro-dollars, counts.

Each prints as Ollama prints it, since people compare the two, and parses what it prints. Sizes and
counts are decimal: 1 GB is 10**9 bytes.
"""

import re
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Self

from puna.errors import Invalid

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?i?B?)", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_FOREVER = 2**63 - 1
_SHOWN = 40
_LARGEST = 8
"""The power of ten of what is read as dollars: below a billion."""


class Size(int):
    """Bytes."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `512`, `4.7 GB`, `24GiB`. Raises `Invalid`."""
        match = _SIZE.fullmatch(text.strip())
        if match is None:
            raise Invalid(
                f'size "{text}" is not a number of bytes', hint="write it like 24GB or 24GiB"
            )
        number, unit = match[1], match[2].upper().removesuffix("B")
        if unit.endswith("I"):
            if unit == "I":
                raise Invalid(
                    f'size "{text}" has an unknown unit', hint="write it like 24GB or 24GiB"
                )
            factor = 1024 ** ("KMGT".index(unit[0]) + 1)
        else:
            factor = _SIZE_UNITS[unit]
        return cls(int(Decimal(number) * factor))

    def __str__(self) -> str:
        """Print as Ollama: `274 MB`, `4.7 GB`.

        At least ten is cut to an integer; below ten has one decimal, rounded, unless it is whole.
        """
        for unit in ("TB", "GB", "MB", "KB"):
            factor = _SIZE_UNITS[unit[0]]
            if abs(self) >= factor:
                whole, rest = divmod(abs(self), factor)
                sign = "-" if self < 0 else ""
                is_short = whole >= 10 or rest == 0  # noqa: PLR2004 - two digits are enough
                text = f"{whole}" if is_short else f"{abs(self) / factor:.1f}"
                return f"{sign}{text} {unit}"
        return f"{int(self)} B"


class Count(int):
    """A number of parameters or tokens, printed short: `135M`, `8.0B`."""

    def __str__(self) -> str:
        """Print as Ollama: two decimals from 10**6, one from 10**9, none of whole numbers."""
        for unit, letter, decimals in ((10**9, "B", 1), (10**6, "M", 2)):
            if self >= unit:
                return f"{self / unit:.{decimals if self % unit else 0}f}{letter}"
        if self >= 10**3:
            return f"{self / 10**3:.0f}K"
        return f"{int(self)}"


class Money(int):
    """Micro-dollars. Never a float: a bill must add up."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `1.25` or `$0.000001`. Raises `Invalid` for more than six decimals."""
        try:
            dollars = Decimal(text.strip().removeprefix("$"))
        except InvalidOperation as error:
            raise Invalid(
                f'"{text[:_SHOWN]}" is not an amount of dollars', hint="write it like 1.25"
            ) from error
        if dollars.is_finite() and dollars.adjusted() > _LARGEST:  # 1e999999999 takes for ever
            raise Invalid(f'"{text[:_SHOWN]}" is more money than there is')
        micros = dollars * 10**6
        if not micros.is_finite() or micros != micros.to_integral_value():
            raise Invalid(
                f'"{text[:_SHOWN]}" is not a whole number of micro-dollars',
                hint="use at most six decimals",
            )
        return cls(int(micros))

    def __str__(self) -> str:
        """Print with at least two decimals and no more than needed."""
        dollars, micros = divmod(abs(self), 10**6)
        decimals = f"{micros:06d}".rstrip("0").ljust(2, "0")
        return f"{'-' if self < 0 else ''}${dollars}.{decimals}"


class Span(int):
    """A length of time in nanoseconds; `FOREVER` never passes."""

    @classmethod
    def of(cls, *, hours: float = 0, minutes: float = 0, seconds: float = 0, ms: float = 0) -> Self:
        """Build one from everyday units."""
        return cls(round((hours * 3600 + minutes * 60 + seconds) * 10**9 + ms * 10**6))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read Go's form: `1h30m`, `5m`, `300ms`, `-1m`. Raises `Invalid`."""
        body = text.strip()
        sign = -1 if body.startswith("-") else 1
        body = body.removeprefix("-") if sign < 0 else body.removeprefix("+")
        if body == "0":
            return cls(0)
        parts = _DURATION.findall(body)
        if not parts or "".join(number + unit for number, unit in parts) != body:
            raise Invalid(f'"{text}" is not a duration', hint="write it like 5m or 1h30m")
        total = int(sum(Decimal(number) * _DURATION_UNITS[unit] for number, unit in parts))
        return cls(sign * min(total, _FOREVER))

    @property
    def seconds(self) -> float:
        """The span in seconds, for borders that want a float."""
        return self / 1e9

    @property
    def timedelta(self) -> timedelta:
        """The span for adding to a time of day; beyond 100 years it is 100 years."""
        return timedelta(microseconds=min(int(self), 100 * 365 * 86400 * 10**9) // 1000)

    def __str__(self) -> str:
        """Print as Go: `1h30m0s`, `5m0s`, `1.5s`, `300ms`."""
        if self == 0:
            return "0s"
        sign, left = ("-", -int(self)) if self < 0 else ("", int(self))
        if left < 10**9:
            unit, factor = (
                ("ms", 10**6) if left >= 10**6 else ("µs", 10**3) if left >= 10**3 else ("ns", 1)
            )
            return f"{sign}{_decimal(left, factor)}{unit}"
        hours, left = divmod(left, 3600 * 10**9)
        minutes, left = divmod(left, 60 * 10**9)
        text = f"{hours}h" if hours else ""
        text += f"{minutes}m" if hours or minutes else ""
        return f"{sign}{text}{_decimal(left, 10**9)}s"


FOREVER = Span(_FOREVER)


def _decimal(number: int, factor: int) -> str:
    whole, rest = divmod(number, factor)
    if not rest:
        return str(whole)
    return f"{whole}.{str(rest).zfill(len(str(factor)) - 1).rstrip('0')}"


_AGES = (  # below so many seconds: the words, the divisor of N
    (1, "Less than a second", 0),
    (2, "1 second", 0),
    (60, "{} seconds", 1),
    (120, "About a minute", 0),
    (3600, "{} minutes", 60),
    (7200, "About an hour", 0),
    (48 * 3600, "{} hours", 3600),
    (14 * 86400, "{} days", 86400),
    (60 * 86400, "{} weeks", 7 * 86400),
    (730 * 86400, "{} months", 30 * 86400),
)


def relative_time(moment: datetime | None, now: datetime) -> str:
    """Say `5 minutes ago` or `4 minutes from now` as Ollama does; no moment is `Never`."""
    if moment is None:
        return "Never"
    seconds = (now - moment).total_seconds()
    suffix = "ago" if seconds >= 0 else "from now"
    seconds = abs(seconds)
    for below, words, divisor in _AGES:
        if seconds < below:
            return f"{words.format(int(seconds // divisor) if divisor else '')} {suffix}"
    return f"{int(seconds // (365 * 86400))} years {suffix}"

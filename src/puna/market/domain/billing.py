"""Stretches of a calendar in which spending is summed, in UTC.

A line of a bill belongs to the stretch in which it ends; one that ends at midnight belongs to the
day before. Weeks begin on Monday. A window that is asked for is widened to whole stretches, as
RunPod does.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from puna.errors import Invalid
from puna.text import one_line

_MOST_STRETCHES = 10_000
_FIRST_YEAR, _LAST_YEAR = 2, 9000
"""Whole stretches around these are still in the calendar."""
_SHOWN = 64
_US = timedelta(microseconds=1)
_DAY = timedelta(days=1)


class InvalidWindow(Invalid):
    """A stretch of time that cannot be billed."""

    code = "invalid_window"


class Bucket(StrEnum):
    """How long a stretch is."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"

    def begin_of(self, moment: datetime) -> datetime:
        """Return when the stretch that `moment` lies in began."""
        at = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if self is Bucket.HOUR:
            return at
        at = at.replace(hour=0)
        if self is Bucket.WEEK:
            return at - at.weekday() * _DAY
        if self is Bucket.MONTH:
            return at.replace(day=1)
        return at.replace(month=1, day=1) if self is Bucket.YEAR else at

    def end_of(self, begin: datetime) -> datetime:
        """Return when a stretch ends that begins then."""
        if self is Bucket.YEAR:
            return begin.replace(year=begin.year + 1)
        if self is Bucket.MONTH:
            return (begin + 31 * _DAY).replace(day=1)
        return begin + {Bucket.HOUR: _DAY / 24, Bucket.DAY: _DAY, Bucket.WEEK: 7 * _DAY}[self]

    def of_line(self, end: datetime) -> datetime:
        """Return the begin of the stretch that a line belongs to."""
        return self.begin_of(end - _US)


@dataclass(frozen=True, slots=True)
class Window:
    """From `start`, which is not in it, to `end`, which is: that is when its lines end."""

    start: datetime
    end: datetime


def window(start: datetime, end: datetime, bucket: Bucket) -> Window:
    """Return the window of whole stretches around a time. Raises `InvalidWindow`."""
    if end <= start:
        raise InvalidWindow(f"the window ends at {end.isoformat()}, before it begins")
    first, last = bucket.begin_of(start), bucket.of_line(end)
    span = bucket.end_of(last) - first
    if span / (bucket.end_of(first) - first) > _MOST_STRETCHES:
        raise InvalidWindow(
            f"the window has more than {_MOST_STRETCHES} stretches", hint="choose a longer bucket"
        )
    return Window(first, bucket.end_of(last))


def last(count: int, bucket: Bucket, now: datetime) -> Window:
    """Return the window of the last stretches, the one that `now` lies in among them."""
    if not 0 < count <= _MOST_STRETCHES:
        raise InvalidWindow(f"{count} is not a number of stretches up to {_MOST_STRETCHES}")
    begin = bucket.begin_of(now)
    end = bucket.end_of(begin)
    for _ in range(count - 1):
        begin = bucket.of_line(begin)
    return Window(begin, end)


def moment(text: str, now: datetime) -> datetime:
    """Read a time: RFC 3339, a day, `now`, or so long ago as `-30d` or `-6h`."""
    body = text.strip()
    if body in {"", "now"}:
        return now
    units = {"h": timedelta(hours=1), "d": _DAY, "w": 7 * _DAY}
    if body.startswith("-") and body[-1:] in units and body[1:-1].isdecimal():
        return now - min(int(body[1:-1][:9]), 40_000) * units[body[-1]]
    try:
        found = datetime.fromisoformat(body)
    except ValueError as error:
        raise InvalidWindow(
            f'"{one_line(text, _SHOWN)}" is not a time',
            hint="write it like 2026-11-24T12:00:00Z or -30d",
        ) from error
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise InvalidWindow(f'"{text}" is too far away to be billed')
    return found if found.tzinfo else found.replace(tzinfo=UTC)

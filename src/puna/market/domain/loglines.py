"""Lines of a pod's logs: what its host narrates and what its container writes, in one order.

A client that was cut off names the moment of the last line it has, so no two lines of one source
may have the same: those of one moment are told apart by a microsecond each, always the same way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

_US = timedelta(microseconds=1)


class Source(StrEnum):
    """Who wrote a line."""

    CONTAINER = "container"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """A line of a log."""

    at: datetime
    source: Source
    text: str

    @property
    def stamp(self) -> str:
        """The moment as RunPod writes it, exact to the microsecond where it has one."""
        exact = "microseconds" if self.at.microsecond % 1000 else "milliseconds"
        return self.at.astimezone(UTC).isoformat(timespec=exact).replace("+00:00", "Z")


def apart(source: Source, said: Iterable[tuple[datetime, str]]) -> Sequence[Line]:
    """Return what was said, in its order, as lines that are never of one moment."""
    found: list[Line] = []
    for at, text in said:
        last = found[-1].at if found else None
        later = at if last is None or at > last else last + _US
        found.append(Line(later, source, text))
    return found

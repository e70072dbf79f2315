"""What the market believes of what a host says: never more than it could have seen itself.

A host's clock may be wrong, by mistake or to be paid for more. A container that the last report did
not show began after that report; nothing begins or ends after the report that tells of it. So the
most that a host can be paid for is the time between its own reports, while it was ordered to run.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from puna.market.domain.rules import Rules

_NONE = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A report, as the market sees it come."""

    now: datetime
    before: datetime
    """When the report before this one came."""
    skew: timedelta
    """How far the host's clock is behind the market's; zero where it is near enough."""

    def moment(self, said: datetime, *, earliest: datetime | None = None) -> datetime:
        """Return when something happened of which a host says `said`."""
        try:
            moved = said + self.skew
        except OverflowError:  # beyond all calendars: as late, or as early, as it could be
            moved = self.now if self.skew > _NONE else self.before
        return min(self.now, max(earliest or self.before, moved))


def witness_of(now: datetime, before: datetime, said: datetime, rules: Rules) -> Witness:
    """Return what a report is worth; `said` is the host's clock in it."""
    skew = now - said
    return Witness(
        now=now,
        before=min(before, now),
        skew=skew if abs(skew) > rules.clock_error else _NONE,
    )

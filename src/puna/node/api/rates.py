"""How much each may ask in a minute: buckets that fill with time, one for each who asks."""

from dataclasses import dataclass

from puna.units import Span

_MINUTE_S = 60


@dataclass(slots=True)
class _Bucket:
    level: float
    at: Span


class Rates:
    """A bucket for each name. The oldest is forgotten once there are too many."""

    def __init__(self, *, most: int = 10_000) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self._most = most

    def wait_for(self, who: str, *, per_minute: int, now: Span) -> float:
        """Return how many seconds are left until `who` has one left; 0 if there is one now."""
        level = self._filled(who, per_minute, now).level
        return 0.0 if level >= 1 else (1 - level) * _MINUTE_S / per_minute

    def spend(self, who: str, amount: float, *, per_minute: int, now: Span) -> None:
        """Take from the bucket of `who`; it may owe afterwards."""
        self._filled(who, per_minute, now).level -= amount

    def level_of(self, who: str, *, per_minute: int, now: Span) -> float:
        """Return what `who` has left."""
        return self._filled(who, per_minute, now).level

    def _filled(self, who: str, per_minute: int, now: Span) -> _Bucket:
        bucket = self._buckets.get(who)
        if bucket is None:
            if len(self._buckets) >= self._most:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[who] = _Bucket(per_minute, now)
        gained = (now - bucket.at) / 1e9 * per_minute / _MINUTE_S
        bucket.level = min(per_minute, bucket.level + gained)
        bucket.at = now
        return bucket

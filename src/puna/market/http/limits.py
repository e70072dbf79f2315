"""How much each key may ask: requests a minute, and how many at once.

Who sends no key, or one that was never good, is known by its address, so that making up keys gains
nothing. Limits are of one process: of several, each has its own.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from math import ceil

from puna.errors import Unavailable
from puna.node.api.rates import Rates
from puna.world import World

_MINUTE_S = 60
_MOST_KNOWN = 50_000


class TooMany(Unavailable):
    """A key's requests of this minute are used up, or too many of its are open."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, *, wait_s: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = max(1, ceil(wait_s))


@dataclass(frozen=True, slots=True)
class Left:
    """What a key has left of this minute."""

    quota: int
    remaining: int
    reset_s: int

    @property
    def headers(self) -> dict[str, str]:
        """The headers by which RunPod's version 2 says it."""
        return {
            "RateLimit": f'"minute";r={self.remaining};t={self.reset_s}',
            "RateLimit-Policy": f'"minute";q={self.quota};w={_MINUTE_S}',
        }


class Limits:
    """The limits of all keys in one process."""

    def __init__(self, world: World, *, per_minute: int, at_once: int) -> None:
        self._world = world
        self._per_minute = per_minute
        self._at_once = at_once
        self._rates = Rates(most=_MOST_KNOWN)
        self._open: Counter[str] = Counter()
        self._good: dict[str, None] = {}

    def name_of(self, key: str, address: str) -> str:
        """Return by what a request is counted: its key if that was good before, or its address."""
        name = hashlib.sha256(key.encode(errors="replace")).hexdigest()[:24] if key else ""
        return name if name in self._good else f"from {address}"

    def trust(self, key: str) -> None:
        """Note that a key is good."""
        name = hashlib.sha256(key.encode(errors="replace")).hexdigest()[:24]
        if name not in self._good and len(self._good) >= _MOST_KNOWN:
            del self._good[next(iter(self._good))]
        self._good[name] = None

    def begin(self, name: str) -> Left | None:
        """Let a request begin. Raises `TooMany`. None where there is no limit of requests."""
        if self._at_once and self._open[name] >= self._at_once:
            raise TooMany(
                f"{self._at_once} requests are open already",
                wait_s=1,
                hint="end some, or wait for their answers",
            )
        left = self._spend(name) if self._per_minute else None
        self._open[name] += 1
        return left

    def end(self, name: str) -> None:
        """Note that a request is over."""
        self._open[name] -= 1
        if self._open[name] <= 0:
            del self._open[name]

    def _spend(self, name: str) -> Left:
        now, quota = self._world.elapsed(), self._per_minute
        if wait := self._rates.wait_for(name, per_minute=quota, now=now):
            raise TooMany(f"{quota} requests a minute are allowed", wait_s=wait)
        self._rates.spend(name, 1, per_minute=quota, now=now)
        level = self._rates.level_of(name, per_minute=quota, now=now)
        return Left(quota, int(level), ceil((quota - level) * _MINUTE_S / quota))

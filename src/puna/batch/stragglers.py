"""Which shard an idle worker takes over from a slower one, when none waits any more.

Pure. At the end of a job everybody waits for the last shards, and those lie with the slowest. A
shard is taken over where that ends it clearly sooner, and two of those who are on time compute it
at most; the first result counts.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Protocol

from puna.units import Span

_CLEARLY = 1.5
_MOST_COPIES = 2


class Going(Protocol):
    """A shard that somebody computes."""

    @property
    def shard(self) -> int:
        """Its number."""

    @property
    def worker(self) -> str:
        """Who computes it."""

    @property
    def begun(self) -> Span:
        """Since when."""

    @property
    def deadline(self) -> Span:
        """When it is overdue."""


def take_over(
    going: Collection[Going], worker: str, usual: Mapping[str, Span], now: Span
) -> int | None:
    """Return the shard that `worker` should compute as well; None if waiting is as good.

    `usual` is how long a shard takes with each worker; who has no time yet counts by its deadline.
    """
    copies = Counter(each.shard for each in going if each.deadline > now)
    mine = {each.shard for each in going if each.worker == worker}
    open_to_me = [
        each for each in going if each.shard not in mine and copies[each.shard] < _MOST_COPIES
    ]
    late = [each for each in open_to_me if _left(each, usual, now) > _needed(worker, usual)]
    if not late:
        return None
    return max(late, key=lambda each: (_left(each, usual, now), -each.shard)).shard


def _left(going: Going, usual: Mapping[str, Span], now: Span) -> float:
    """Return how long a shard still takes; one that is late takes as long again as it is late."""
    if going.deadline <= now:
        return float("inf")
    if going.worker not in usual:
        return 0.0
    left = going.begun + usual[going.worker] - now
    return float(left if left > 0 else -left)


def _needed(worker: str, usual: Mapping[str, Span]) -> float:
    return _CLEARLY * usual[worker] if worker in usual else 0.0

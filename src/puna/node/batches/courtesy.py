"""How much a batch may compute now, so that nobody who waits is kept waiting by it.

Pure: from what is seen of the others to a number of rows.
"""

from puna.node.scheduler.crowd import Crowd
from puna.units import Span

PATIENCE = Span.of(seconds=2)
"""How long somebody may wait before rows that are being computed are given up for him."""
_AFTERGLOW = Span.of(seconds=5)
"""How long a place stays free for somebody who may ask again, as in a conversation."""
_RETURN = Span.of(seconds=15)
"""How long a model that others use stays before a batch may have it replaced by its own."""


def places(crowd: Crowd) -> int:
    """Return how many rows of batches may be under way."""
    if crowd.homeless:
        return 0  # somebody waits for the memory that our own model holds
    if not crowd.slots:
        # Loading ours may end theirs.
        return 0 if crowd.neighbours and crowd.quiet < _RETURN else 1
    wanted = crowd.held + crowd.waiting
    if crowd.quiet < _AFTERGLOW and crowd.slots > 1:
        wanted = max(wanted, 1)
    return max(0, crowd.slots - wanted)


def given_up(crowd: Crowd, under_way: int) -> int:
    """Return how many of the rows under way are given up at once; they are computed later."""
    if not (crowd.homeless or crowd.waiting) or crowd.longest < PATIENCE:
        return 0
    return under_way if crowd.homeless else min(under_way, crowd.waiting)


def shares(free: int, wishes: int) -> list[int]:
    """Share places among batches, the oldest first; every one gets some before one gets more."""
    if not wishes:
        return []
    each, left = divmod(max(0, free), wishes)
    return [each + (number < left) for number in range(wishes)]

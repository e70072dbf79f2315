"""How many rows may be under way, by what is seen of the others: a table."""

import pytest

from puna.node.batches.courtesy import given_up, places, shares
from puna.node.scheduler.crowd import Crowd
from puna.units import Span

LONG = Span.of(hours=1)
WAITED = Span.of(seconds=3)
ROWS: dict[str, tuple[Crowd, int, int]] = {
    "alone, it has every place": (Crowd(slots=4, quiet=LONG), 4, 0),
    "not loaded, one row has it loaded": (Crowd(quiet=LONG), 1, 0),
    "others' places are theirs": (Crowd(slots=4, held=3), 1, 0),
    "one stays free for who may ask again": (Crowd(slots=4, quiet=Span.of(seconds=1)), 3, 0),
    "of a single place none can": (Crowd(slots=1, quiet=Span.of(seconds=1)), 1, 0),
    "who has just come waits for a row's end": (Crowd(slots=4, held=1, waiting=2), 1, 0),
    "who has waited gets a place at once": (Crowd(slots=4, waiting=2, longest=WAITED), 2, 2),
    "who needs the memory gets all of it": (Crowd(slots=4, homeless=1, longest=WAITED), 0, 4),
    "who needs it and has just come": (Crowd(slots=4, homeless=1), 0, 0),
    "a model in use elsewhere is not replaced": (Crowd(neighbours=1), 0, 0),
    "one that was used long ago may be": (Crowd(neighbours=1, quiet=LONG), 1, 0),
}


@pytest.mark.parametrize(("crowd", "free", "stopped"), ROWS.values(), ids=ROWS)
def test_others_come_first(crowd: Crowd, free: int, stopped: int) -> None:
    assert (places(crowd), given_up(crowd, 4)) == (free, stopped)


@pytest.mark.parametrize(
    ("free", "wishes", "shared"),
    [(4, 1, [4]), (4, 3, [2, 1, 1]), (1, 3, [1, 0, 0]), (0, 2, [0, 0]), (4, 0, [])],
)
def test_batches_share_evenly_the_oldest_first(free: int, wishes: int, shared: list[int]) -> None:
    assert shares(free, wishes) == shared

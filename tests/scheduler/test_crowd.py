"""What work in the background sees of the others: a table over states of the scheduler."""

from pathlib import Path

import pytest

from puna.ids import RequestId
from puna.node.engine.request import Purpose
from puna.node.scheduler.crowd import Crowd, crowd_of
from puna.node.scheduler.events import Event
from puna.units import Span
from tests.scheduler.words import LIMITS, ask, ready, resident, state_after

Row = tuple[tuple[Event, ...], set[int], Crowd]
AT = Span.of(seconds=100)
ROWS: dict[str, Row] = {
    "nothing is loaded": ((), set(), Crowd()),
    "a lease of another": ((ask(1, "a"), ready(1)), set(), Crowd(slots=1, held=1)),
    "our own lease does not count": ((ask(1, "a"), ready(1)), {1}, Crowd(slots=1)),
    "another who waits for our slot": (
        (ask(1, "a"), ready(1), ask(2, "a")),
        {1},
        Crowd(slots=1, waiting=1, longest=AT),
    ),
    "while it loads it has no slots": ((ask(1, "a"),), {1}, Crowd()),
    "a neighbour": (resident("b"), set(), Crowd(neighbours=1)),
}


@pytest.mark.parametrize(("events", "background", "crowd"), ROWS.values(), ids=ROWS)
def test_the_crowd_is_the_others(
    events: tuple[Event, ...], background: set[int], crowd: Crowd
) -> None:
    key = ask(99, "a").wanted.spec.key
    state = state_after(*events, limits=LIMITS)
    ours = {RequestId(each) for each in background}
    found = crowd_of(state, key, ours, at=AT, quiet=Span(0))
    assert found == crowd


def test_another_model_sees_nothing_of_ours() -> None:
    state = state_after(*resident("a"), limits=LIMITS)
    other = Path("elsewhere"), Purpose.ANSWER
    assert crowd_of(state, other, set(), at=AT, quiet=Span(0)).slots == 0

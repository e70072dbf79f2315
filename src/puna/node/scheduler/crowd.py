"""How busy others keep a model: what work in the background looks at before it asks for more.

Requests in the background wait in the scheduler's queue like all others. That they come last is
their own courtesy: they look at the crowd, ask for no more than is left over, and give back what
somebody waits for.
"""

from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from puna.ids import RequestId
from puna.node.engine.request import Purpose
from puna.node.scheduler.state import EngineState, State
from puna.units import Span

_NOTHING = Span(0)
BACKGROUND: ContextVar[bool] = ContextVar("puna.background", default=False)
"""Set where work runs for nobody who waits at this moment; it travels with the task."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who uses and who wants what, apart from the background, as one model sees it."""

    slots: int = 0
    """Requests that its engine computes together; 0 while it is not loaded."""
    held: int = 0
    """Of these, how many others use."""
    waiting: int = 0
    """Others who wait for one of them."""
    homeless: int = 0
    """Others who wait for room in memory."""
    longest: Span = _NOTHING
    """How long the first of those two has waited."""
    neighbours: int = 0
    """Other engines in memory."""
    quiet: Span = _NOTHING
    """How long nobody else has used or wanted any model."""


def crowd_of(
    state: State,
    key: tuple[Path, Purpose],
    background: AbstractSet[RequestId],
    *,
    at: Span,
    quiet: Span,
) -> Crowd:
    """Return the crowd around the model of `key` at the moment `at`."""
    mine = next((each for each in state.residents if each.spec.key == key), None)
    others = [each for each in state.waiting if each.id not in background]
    here = [each for each in others if mine is not None and each.engine == mine.id]
    homeless = [each for each in others if each.engine is None]
    first = min((each.since for each in (*here, *homeless)), default=at)
    is_ready = mine is not None and mine.state is EngineState.READY
    return Crowd(
        slots=(mine.facts or mine.spec).slots if mine is not None and is_ready else 0,
        held=len(mine.leases - background) if mine is not None else 0,
        waiting=len(here),
        homeless=len(homeless),
        longest=Span(at - first),
        neighbours=sum(each is not mine for each in state.residents),
        quiet=quiet,
    )

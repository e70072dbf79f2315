"""Events and orders in few words, so that the policy's table reads as a specification.

Models: `a`, `b` and `c` take 4 of 10 bytes and have one slot, `big` takes 10, `huge` takes 11.
Engines are numbered in the order of their loads, requests in the order of arrival; time is in plain
units.
"""

from collections.abc import Sequence
from pathlib import Path

from puna.errors import PunaError
from puna.ids import EngineId, RequestId
from puna.node.scheduler.effects import Effect, Grant, LoadEngine, Refuse, StopEngine
from puna.node.scheduler.events import (
    CloseAsked,
    Departed,
    Died,
    Event,
    Gone,
    GraceEnded,
    Loaded,
    MemoryMeasured,
    Requested,
    TimePassed,
    UnloadAsked,
)
from puna.node.scheduler.policy import decide
from puna.node.scheduler.state import Limits, State
from puna.units import Size, Span
from tests.scheduler.stage import a_spec, a_wanted, some_facts

MEMORY_BY_MODEL = {"a": 4, "b": 4, "c": 4, "big": 10, "huge": 11}
LIMITS = Limits(
    Size(10), max_queue=3, keep_alive=Span(100), load_timeout=Span(50), patience=Span(10)
)


def ask(
    request: int,
    model: str,
    *,
    at: int = 0,
    keep: int | None = None,
    context: int | None = 4096,
) -> Requested:
    """Ask for a model; no `context` means that any will do."""
    spec = a_spec(model, memory=MEMORY_BY_MODEL[model], context=context or 4096)
    wanted = a_wanted(spec, auto=() if context else ("context",))
    return Requested(Span(at), RequestId(request), wanted, None if keep is None else Span(keep))


def leave(request: int, *, at: int = 0) -> Departed:
    return Departed(Span(at), RequestId(request))


def ready(engine: int, *, at: int = 0, slots: int = 1) -> Loaded:
    return Loaded(Span(at), EngineId(engine), some_facts(a_spec(slots=slots)))


def gone(engine: int, *, at: int = 0, error: PunaError | None = None) -> Gone:
    return Gone(Span(at), EngineId(engine), error)


def died(engine: int, *, at: int = 0) -> Died:
    return Died(Span(at), EngineId(engine))


def stop(target: str, *, at: int = 0) -> UnloadAsked:
    return UnloadAsked(Span(at), target)


def stop_file(name: str, *, at: int = 0) -> UnloadAsked:
    return UnloadAsked(Span(at), Path("/models") / name)


def measured(memory: int, *, at: int = 0) -> MemoryMeasured:
    return MemoryMeasured(Span(at), Size(memory))


def tick(at: int) -> TimePassed:
    return TimePassed(Span(at))


def close(*, at: int = 0) -> CloseAsked:
    return CloseAsked(Span(at))


def close_now(*, at: int = 0) -> GraceEnded:
    return GraceEnded(Span(at))


def resident(model: str, *, engine: int = 1, request: int = 1, at: int = 0) -> tuple[Event, ...]:
    """Tell of a model that was loaded for `request`, which has left again: it is idle."""
    return (ask(request, model, at=at), ready(engine, at=at), leave(request, at=at))


def busy(model: str, *, engine: int = 1, request: int = 1, at: int = 0) -> tuple[Event, ...]:
    """Tell of a model that was loaded for `request`, which still uses it."""
    return (ask(request, model, at=at), ready(engine, at=at))


def state_after(*events: Event, limits: Limits = LIMITS) -> State:
    state = State(limits, memory=limits.memory)
    for event in events:
        state, _ = decide(state, event)
    return state


def in_words(effects: Sequence[Effect]) -> list[str]:
    return [_word(effect) for effect in effects]


def _word(effect: Effect) -> str:
    match effect:
        case Grant():
            return f"grant {effect.request}"
        case Refuse():
            return f"refuse {effect.request}: {effect.error.code}"
        case LoadEngine():
            return f"load {effect.engine}: {effect.spec.weights.name}"
        case StopEngine():
            return f"end {effect.engine}: {effect.reason.name.lower()}"

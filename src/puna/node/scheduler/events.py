"""What has happened, as the scheduler is told: past facts, each with its `World.elapsed`."""

from dataclasses import dataclass
from pathlib import Path

from puna.errors import PunaError
from puna.ids import EngineId, RequestId
from puna.node.engine.request import EngineFacts
from puna.node.scheduler.state import Wanted
from puna.units import Size, Span


@dataclass(frozen=True, slots=True)
class Requested:
    """Somebody wants to use a model. Ids grow in the order of arrival."""

    at: Span
    request: RequestId
    wanted: Wanted
    keep_alive: Span | None = None
    """Negative is for ever; None keeps what the engine has."""


@dataclass(frozen=True, slots=True)
class Departed:
    """A request needs nothing any more: it is done, or its client vanished at any moment."""

    at: Span
    request: RequestId


@dataclass(frozen=True, slots=True)
class Loaded:
    """An engine is ready."""

    at: Span
    engine: EngineId
    facts: EngineFacts


@dataclass(frozen=True, slots=True)
class Died:
    """A ready engine's process has ended by itself. `Gone` follows once its remains are cleared."""

    at: Span
    engine: EngineId


@dataclass(frozen=True, slots=True)
class Gone:
    """An engine holds nothing any more: stopped, its load cancelled, or failed with `error`."""

    at: Span
    engine: EngineId
    error: PunaError | None = None


@dataclass(frozen=True, slots=True)
class UnloadAsked:
    """Somebody said `puna stop`: the engine of these weights, or this name, ends when idle."""

    at: Span
    target: Path | str


@dataclass(frozen=True, slots=True)
class MemoryMeasured:
    """So many bytes may all engines take together from now on."""

    at: Span
    memory: Size
    cards: tuple[tuple[str, Size], ...] = ()
    """The same for each card, by the engine's name for it."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A deadline may have come: see `policy.wake_at`."""

    at: Span


@dataclass(frozen=True, slots=True)
class CloseAsked:
    """The server goes down: nobody new is served, who computes may finish."""

    at: Span


@dataclass(frozen=True, slots=True)
class GraceEnded:
    """The server goes down now, whoever computes."""

    at: Span


Event = (
    Requested
    | Departed
    | Loaded
    | Died
    | Gone
    | UnloadAsked
    | MemoryMeasured
    | TimePassed
    | CloseAsked
    | GraceEnded
)

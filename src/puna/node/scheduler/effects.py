"""What must be done, as the scheduler decides: orders, and the reasons to refuse a request."""

from dataclasses import dataclass
from enum import StrEnum

from puna.errors import Failed, PunaError, Unavailable
from puna.ids import EngineId, RequestId
from puna.node.engine.request import LoadSpec
from puna.units import Size, Span


class QueueFull(Unavailable):
    """Too many requests wait already."""

    code = "queue_full"

    def __init__(self) -> None:
        # Ollama's text with its two spaces: clients compare it.
        super().__init__("server busy, please try again.  maximum pending requests exceeded")


class ShuttingDown(Unavailable):
    """The server takes no more requests."""

    code = "shutting_down"

    def __init__(self) -> None:
        super().__init__("the server is shutting down")


class NoRoom(Failed):
    """The model does not fit, even with nothing else loaded."""

    code = "no_room"

    def __init__(self, label: str, *, needed: Size, limit: Size, where: str = "") -> None:
        super().__init__(
            f'model "{label}" needs {needed} of memory and {limit} can be used: '
            f"{needed - limit} bytes too few"
            if not where
            else f'model "{label}" needs {needed} on {where} and {limit} can be used',
            hint=f"a smaller context or quantization needs less; `puna fit {label}` says how much",
        )
        self.needed = needed
        self.limit = limit


class EndReason(StrEnum):
    """Why an engine is ended, for the log."""

    EXPIRED = "nobody used it for its keep-alive"
    ROOM = "another model needs its room"
    RELOAD = "a request needs other load options"
    UNLOADED = "it was told to unload"
    UNWANTED = "nobody waits for it any more"
    TOO_SLOW = "it took too long to load"
    CLOSING = "the server is shutting down"


@dataclass(frozen=True, slots=True)
class Grant:
    """Give a request its lease."""

    request: RequestId
    engine: EngineId
    load_span: Span
    """How long the request waited for the load; 0 where the engine was there."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell a request why it gets no lease."""

    request: RequestId
    error: PunaError


@dataclass(frozen=True, slots=True)
class LoadEngine:
    """Begin a load. `Loaded` or `Gone` must follow."""

    engine: EngineId
    label: str
    spec: LoadSpec


@dataclass(frozen=True, slots=True)
class StopEngine:
    """Stop an engine, or cancel its load. `Gone` must follow."""

    engine: EngineId
    reason: EndReason


Effect = Grant | Refuse | LoadEngine | StopEngine

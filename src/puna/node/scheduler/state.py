"""What the scheduler knows, as frozen values: engines that hold memory and requests that wait.

Nothing here decides and nothing here acts. The values are hashable and carry no clock, so that a
test can walk every order of events; every moment is a `Span` of `World.elapsed`, which never jumps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from puna.ids import EngineId, RequestId
from puna.node.engine.request import EngineFacts, LoadSpec, Purpose
from puna.units import FOREVER, Size, Span

AUTOMATIC_MAX_LOADED = 3
"""How many models stay loaded when the setting says nothing; as Ollama with one card or none."""

_START = Span(0)
_NOBODY = RequestId(0)
_NOTHING = EngineId(0)
_DEFAULT_KEEP_ALIVE = Span.of(minutes=5)
_DEFAULT_LOAD_TIMEOUT = Span.of(minutes=5)
_DEFAULT_PATIENCE = Span.of(seconds=5)

_PLANNED = ("all_layers", "shares", "model_memory", "may_shrink")
"""What the server decides about cards; `gpu_layers` and `main_gpu` can be asked for."""

# Weights and purpose are the key, the memory is a forecast, and the slots are the server's choice.
_LOAD_OPTIONS = tuple(
    each.name
    for each in fields(LoadSpec)
    if each.name not in {"weights", "purpose", "memory", "slots", "adapters", *_PLANNED}
)


class EngineState(StrEnum):
    """Where an engine is in its life."""

    LOADING = "loading"
    READY = "ready"
    STOPPING = "stopping"
    """Its process is ending; what it holds counts until it is gone."""


NEXT_STATES: Mapping[EngineState, frozenset[EngineState]] = {
    EngineState.LOADING: frozenset({EngineState.READY, EngineState.STOPPING}),
    EngineState.READY: frozenset({EngineState.STOPPING}),
    EngineState.STOPPING: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What the scheduler may use, and how long it waits."""

    memory: Size
    """Bytes that all engines together may take."""
    max_loaded: int = 0
    """Engines that may be loaded together; 0 is automatic."""
    max_queue: int = 512
    """Requests that may wait, for whatever reason. At least 1: who starts a load waits for it."""
    keep_alive: Span = _DEFAULT_KEEP_ALIVE
    """How long an idle engine stays when no request said so; negative is for ever."""
    load_timeout: Span = _DEFAULT_LOAD_TIMEOUT
    """How long a load may take; 0 or negative is for ever."""
    patience: Span = _DEFAULT_PATIENCE
    """How long a load waits for engines in use to fall idle before they take no new requests."""

    @property
    def places(self) -> int:
        """How many engines may be loaded together."""
        return self.max_loaded if self.max_loaded > 0 else AUTOMATIC_MAX_LOADED


@dataclass(frozen=True, slots=True)
class Wanted:
    """The model that a request needs, and how it should be loaded."""

    label: str
    """The name that the user gave."""
    spec: LoadSpec
    auto: frozenset[str] = frozenset()
    """Fields of `spec` that nobody asked for: a loaded engine is taken whatever it has there."""
    adapters: tuple[Path, ...] | None = None
    """The adapters of this model alone; None for all that `spec` loads."""

    @property
    def own_adapters(self) -> tuple[Path, ...]:
        """The adapters that change the model for this request."""
        return self.spec.adapters if self.adapters is None else self.adapters

    def __post_init__(self) -> None:
        if unknown := self.auto - {each.name for each in fields(LoadSpec)}:
            raise ValueError(f"LoadSpec has no field {', '.join(sorted(unknown))}")

    def accepts(self, spec: LoadSpec) -> bool:
        """Tell whether an engine loaded as `spec` serves this request without a reload."""
        mine = self.spec
        return (
            spec.key == mine.key
            and all(
                name in self.auto or getattr(spec, name) == getattr(mine, name)
                for name in _LOAD_OPTIONS
            )
            and self._has_adapters(spec)
        )

    def _has_adapters(self, spec: LoadSpec) -> bool:
        """Tell whether an engine has the adapters; each answer chooses among those it has."""
        if spec.purpose is not Purpose.ANSWER:
            return spec.adapters == self.own_adapters
        return set(self.own_adapters) <= set(spec.adapters)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request without a lease yet. Requests wait in the order of their ids."""

    id: RequestId
    wanted: Wanted
    since: Span
    keep_alive: Span | None = None
    """What the request said; None says nothing."""
    engine: EngineId | None = None
    """The engine whose load, or whose next free slot, it waits for; None while it needs one."""


@dataclass(frozen=True, slots=True)
class Resident:
    """An engine that holds memory, from the first byte of its load until its process is gone."""

    id: EngineId
    labels: tuple[str, ...]
    """The names under which it was used, first one first."""
    spec: LoadSpec
    keep_alive: Span
    since: Span
    """When its load began."""
    state: EngineState = EngineState.LOADING
    facts: EngineFacts | None = None
    ready_at: Span = _START
    used_at: Span = _START
    """When it last took a request, or began to load."""
    idle_since: Span = _START
    leases: frozenset[RequestId] = field(default_factory=frozenset)
    last_request: RequestId | None = None
    """Set once it was told to unload: it serves requests up to this one, then ends."""

    @property
    def is_idle(self) -> bool:
        """Whether it could be stopped without harm to anybody."""
        return self.state is EngineState.READY and not self.leases

    @property
    def has_free_slot(self) -> bool:
        """Whether it can compute one more request now."""
        return (
            self.state is EngineState.READY and len(self.leases) < (self.facts or self.spec).slots
        )

    @property
    def is_full(self) -> bool:
        """Whether those who want it must wait: for its load, or for a slot."""
        return self.state is not EngineState.STOPPING and not self.has_free_slot

    @property
    def is_leaving(self) -> bool:
        """Whether it ends as soon as nobody uses it, if not sooner."""
        return self.state is EngineState.STOPPING or self.last_request is not None

    @property
    def expires_at(self) -> Span:
        """When it ends if it stays idle, as a moment of `World.elapsed`; `FOREVER` for never."""
        return after(self.idle_since, self.keep_alive)

    def takes(self, request: RequestId) -> bool:
        """Tell whether `request` came before the engine was told to unload."""
        return self.last_request is None or request <= self.last_request

    def is_called(self, target: Path | str) -> bool:
        """Tell whether `target` is its weights, or a name under which it was used."""
        return target == self.spec.weights if isinstance(target, Path) else target in self.labels

    def moved(self, state: EngineState) -> "Resident":
        """Return it in the next state of its life; the only place where that changes."""
        if state not in NEXT_STATES[self.state]:
            raise ValueError(f"an engine cannot go from {self.state} to {state}")
        return replace(self, state=state)


@dataclass(frozen=True, slots=True)
class State:
    """All that a decision depends on."""

    limits: Limits
    memory: Size
    """Bytes that all engines together may take now; it can shrink below what they hold."""
    cards: tuple[tuple[str, Size], ...] = ()
    """The same for each card, by the engine's name for it."""
    residents: tuple[Resident, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    last_request: RequestId = _NOBODY
    last_engine: EngineId = _NOTHING
    closing: bool = False

    @property
    def is_over(self) -> bool:
        """Whether the scheduler was closed and nothing is left to end."""
        return self.closing and not self.residents


@dataclass(frozen=True, slots=True)
class Running:
    """An engine as a person sees it in `puna ps`."""

    labels: tuple[str, ...]
    spec: LoadSpec
    facts: EngineFacts | None
    """None until the load has ended."""
    state: EngineState
    in_use: int
    expires_at: datetime | None
    """When it ends if nobody uses it from now on; None for never."""

    @property
    def label(self) -> str:
        """The name under which it was loaded."""
        return self.labels[0]


def after(moment: Span, span: Span) -> Span:
    """Return the moment `span` after `moment`; negative and endless spans give `FOREVER`."""
    return FOREVER if span < 0 or moment + span >= FOREVER else Span(moment + span)


def running_in(state: State, *, elapsed: Span, now: datetime) -> tuple[Running, ...]:
    """List what holds memory, longest expiry first, as `puna ps` shows it at `now`."""
    lasting = [(resident, _time_left(resident, elapsed)) for resident in state.residents]
    return tuple(
        Running(
            labels=resident.labels,
            spec=resident.spec,
            facts=resident.facts,
            state=EngineState.STOPPING if resident.is_leaving else resident.state,
            in_use=len(resident.leases),
            expires_at=None if left == FOREVER else now + left.timedelta,
        )
        for resident, left in sorted(lasting, key=lambda pair: -pair[1])
    )


def _time_left(resident: Resident, elapsed: Span) -> Span:
    if resident.is_leaving:
        return Span(0)
    if not resident.is_idle:
        return after(Span(0), resident.keep_alive)
    expires_at = resident.expires_at
    return FOREVER if expires_at == FOREVER else Span(max(0, expires_at - elapsed))

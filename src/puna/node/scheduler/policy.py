"""How the scheduler decides: `decide(state, event)` returns the next state and what must be done.

It is pure: no clock, no engine, no task, so that its tests are tables and every order of events can
be walked. An event is first recorded as the fact that it is; then the whole state is settled, the
same way whatever happened, by asking every waiting request in the order of arrival what it can have
now. `docs/scheduler.md` says the rules in words.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from puna.errors import PunaError
from puna.ids import EngineId, RequestId
from puna.node.engine.engine import LoadFailed
from puna.node.engine.request import Purpose
from puna.node.scheduler.effects import (
    Effect,
    EndReason,
    Grant,
    LoadEngine,
    NoRoom,
    QueueFull,
    Refuse,
    ShuttingDown,
    StopEngine,
)
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
    UnloadAsked,
)
from puna.node.scheduler.room import Room, pick_victims
from puna.node.scheduler.state import (
    EngineState,
    Limits,
    Resident,
    State,
    Waiting,
    Wanted,
    after,
)
from puna.units import FOREVER, Size, Span


def decide(state: State, event: Event) -> tuple[State, tuple[Effect, ...]]:
    """Return the state after `event`, and the orders that follow from it, in order."""
    turn = _Turn(state, event.at)
    turn.record(event)
    turn.fail_late_loads()
    turn.end_unwanted_loads()
    turn.serve_waiting()
    turn.end_idle_engines()
    return turn.result(), tuple(turn.effects)


def wake_at(state: State, at: Span) -> Span | None:
    """Return the moment after `at` when `TimePassed` is due; None if nothing waits for time."""
    limits = state.limits
    loads = (
        _load_deadline(each, limits)
        for each in state.residents
        if each.state is EngineState.LOADING
    )
    idle = (each.expires_at for each in state.residents if each.is_idle)
    # Those who wait stand in order of arrival: the first who is patient is the next to lose it.
    first = bisect_right(state.waiting, at - limits.patience, key=lambda each: each.since)
    patience = (after(each.since, limits.patience) for each in state.waiting[first : first + 1])
    due = min((*loads, *idle, *patience), default=FOREVER)
    return None if due == FOREVER else due


def may_load(state: State, event: Event) -> bool:
    """Tell whether `event` could lead to a load: then the memory should be measured before.

    Not while an engine loads or ends: nobody can say then how much of its memory it holds already.
    """
    if any(each.state is not EngineState.READY for each in state.residents):
        return False
    if isinstance(event, Requested):
        return not any(event.wanted.accepts(each.spec) for each in state.residents)
    present = {each.id for each in state.residents}
    return any(each.engine not in present for each in state.waiting)


def _load_deadline(resident: Resident, limits: Limits) -> Span:
    limit = limits.load_timeout
    return after(resident.since, limit) if limit > 0 else FOREVER


class _Turn:
    """The working copy of one decision. It lives for one call of `decide`."""

    def __init__(self, state: State, at: Span) -> None:
        self.effects: list[Effect] = []
        self._at = at
        self._limits = state.limits
        self._memory = state.memory
        self._cards = state.cards
        self._last_request = state.last_request
        self._last_engine = state.last_engine
        self._closing = state.closing
        self._engines = {each.id: each for each in state.residents}
        self._id_by_key = {each.spec.key: each.id for each in state.residents}
        self._waiting = list(state.waiting)
        # What the requests seen so far in this turn leave to those behind them:
        self._full: set[EngineId | None] = set()
        self._leaving = {each.id for each in state.residents if each.is_leaving}
        self._draining: set[EngineId] = set()
        self._promised = Room(Size(0), 0)
        self._promised_keys: set[tuple[Path, Purpose]] = set()

    def result(self) -> State:
        """Return the state to go on with."""
        return State(
            self._limits,
            self._memory,
            self._cards,
            residents=tuple(self._engines.values()),
            waiting=tuple(self._waiting),
            last_request=self._last_request,
            last_engine=self._last_engine,
            closing=self._closing,
        )

    # --- recording what happened: facts only, nothing is decided yet -----------------------------

    def record(self, event: Event) -> None:
        """Write down what happened."""
        match event:
            case Requested():
                self._arrive(event)
            case Departed():
                self._depart(event.request)
            case Loaded():
                self._make_ready(event)
            case Died():
                self._bury(event.engine)
            case Gone():
                self._forget(event)
            case UnloadAsked():
                self._mark_unloaded(event.target)
            case MemoryMeasured():
                self._memory, self._cards = event.memory, event.cards
            case CloseAsked() | GraceEnded():
                self._close(now=isinstance(event, GraceEnded))
            # Of `TimePassed`, only the moment matters.

    def _arrive(self, event: Requested) -> None:
        self._last_request = event.request
        if self._closing:
            self._refuse(event.request, ShuttingDown())
            return
        self._waiting.append(
            Waiting(event.request, event.wanted, since=event.at, keep_alive=event.keep_alive)
        )

    def _depart(self, request: RequestId) -> None:
        self._waiting = [each for each in self._waiting if each.id != request]
        for resident in self._engines.values():
            if request in resident.leases:
                left = resident.leases - {request}
                self._change(replace(resident, leases=left, idle_since=self._at))
                return

    def _make_ready(self, event: Loaded) -> None:
        resident = self._engines[event.engine]
        if resident.state is EngineState.LOADING:
            ready = resident.moved(EngineState.READY)
            self._change(replace(ready, facts=event.facts, ready_at=self._at, idle_since=self._at))

    def _bury(self, engine: EngineId) -> None:
        resident = self._engines[engine]
        if resident.state is EngineState.READY:
            # Its leases are void: whoever holds one hears of the death from the engine itself.
            self._change(replace(resident.moved(EngineState.STOPPING), leases=frozenset()))
            self._leaving.add(engine)

    def _forget(self, event: Gone) -> None:
        resident = self._engines.pop(event.engine)
        del self._id_by_key[resident.spec.key]
        if resident.state is EngineState.LOADING:
            called_off = LoadFailed(f'model "{resident.labels[0]}" was not loaded: called off')
            self._refuse_waiters_of(event.engine, event.error or called_off)

    def _mark_unloaded(self, target: Path | str) -> None:
        for resident in tuple(self._engines.values()):
            if resident.is_called(target) and not resident.is_leaving:
                self._change(replace(resident, last_request=self._last_request))
                self._leaving.add(resident.id)

    def _close(self, *, now: bool) -> None:
        self._closing = True
        for request in self._waiting:
            self._refuse(request.id, ShuttingDown())
        self._waiting = []
        for resident in tuple(self._engines.values()):
            if now and resident.state is not EngineState.STOPPING:
                self._end(resident, EndReason.CLOSING)

    # --- settling: the same steps whatever happened ----------------------------------------------

    def fail_late_loads(self) -> None:
        """End the loads that take too long, and tell those who wait for them."""
        limit = self._limits.load_timeout
        for resident in tuple(self._engines.values()):
            if (
                resident.state is EngineState.LOADING
                and _load_deadline(resident, self._limits) <= self._at
            ):
                message = f'model "{resident.labels[0]}" was not loaded within {limit}'
                self._refuse_waiters_of(
                    resident.id, LoadFailed(message, hint="set PUNA_LOAD_TIMEOUT to wait longer")
                )
                self._end(resident, EndReason.TOO_SLOW)

    def end_unwanted_loads(self) -> None:
        """Cancel the loads for which nobody waits any more: Ctrl-C during a load stops it."""
        for resident in tuple(self._engines.values()):
            if resident.state is not EngineState.LOADING:
                continue
            if not any(each.engine == resident.id for each in self._waiting):
                self._end(resident, EndReason.UNWANTED)

    def serve_waiting(self) -> None:
        """Ask every waiting request, first come first served, what it can have now."""
        self._full = {each.id for each in self._engines.values() if each.is_full}
        bound = max(1, self._limits.max_queue)
        still: list[Waiting] = []
        for request in self._waiting:
            if request.engine in self._full:
                still.append(request)
            elif self._is_granted(request):
                continue
            elif len(still) == bound:
                self._refuse(request.id, QueueFull())
            elif (waiting := self._placed(request)) is not None:
                still.append(waiting)
        self._waiting = still

    def end_idle_engines(self) -> None:
        """End what was idle for its keep-alive, was told to unload, or has no server any more."""
        for resident in tuple(self._engines.values()):
            if not resident.is_idle:
                continue
            if self._closing:
                self._end(resident, EndReason.CLOSING)
            elif resident.is_leaving:
                self._end(resident, EndReason.UNLOADED)
            elif resident.expires_at <= self._at:
                self._end(resident, EndReason.EXPIRED)

    # --- one waiting request ---------------------------------------------------------------------

    def _is_granted(self, request: Waiting) -> bool:
        resident = self._engine_for(request)
        if resident is None or not _serves(resident, request):
            return False
        if not resident.has_free_slot or resident.id in self._draining:
            return False
        self._grant(request, resident)
        return True

    def _placed(self, request: Waiting) -> Waiting | None:
        """Return the request with what it waits for; None if it was refused."""
        resident = self._engine_for(request)
        if resident is None or not _serves(resident, request):
            return self._claim_room(request, resident)
        return replace(request, engine=resident.id)

    def _engine_for(self, request: Waiting) -> Resident | None:
        engine = self._id_by_key.get(request.wanted.spec.key)
        return None if engine is None else self._engines[engine]

    def _claim_room(self, request: Waiting, old: Resident | None) -> Waiting | None:
        """Load the model, or have room made. `old` is the same, loaded otherwise: it ends first."""
        spec = request.wanted.spec
        everything = Room(self._memory, self._limits.places, dict(self._cards))
        need = Room.for_load(spec)
        if not everything.holds(need):
            self._refuse(request.id, _no_room(request.wanted, everything))
            return None
        if spec.key in self._promised_keys:
            return request  # one before it has the room made for both
        if self._promised.places >= self._limits.places:
            return request  # those before it take every place
        staying = [
            each
            for each in self._engines.values()
            if each.id not in self._leaving and each is not old
        ]
        free = everything - self._promised - Room.of(staying)
        victims = pick_victims(staying, free=free, need=need, at=self._at)
        is_free_now = (everything - Room.of(self._engines.values())).holds(need)
        if old is None and victims == () and is_free_now:
            return self._load(request)
        self._promised += need
        self._promised_keys.add(spec.key)
        if victims is not None:
            self._displace((*victims, *((old,) if old else ())), request)
        return request

    def _displace(self, victims: Iterable[Resident], request: Waiting) -> None:
        """End the victims once all are idle; when out of patience, each as it falls idle."""
        victims = [each for each in victims if each.state is not EngineState.STOPPING]
        self._leaving.update(each.id for each in victims)
        is_impatient = after(request.since, self._limits.patience) <= self._at
        if not is_impatient and not all(each.is_idle for each in victims):
            return
        for victim in victims:
            if victim.is_idle:
                self._end(victim, _reason_to_end(victim, request))
            else:
                self._draining.add(victim.id)

    # --- single changes --------------------------------------------------------------------------

    def _load(self, request: Waiting) -> Waiting:
        self._last_engine = engine = EngineId(self._last_engine + 1)
        wanted = request.wanted
        self._change(
            Resident(
                engine,
                labels=(wanted.label,),
                spec=wanted.spec,
                keep_alive=self._limits.keep_alive,
                since=self._at,
                used_at=self._at,
            )
        )
        self._id_by_key[wanted.spec.key] = engine
        self._full.add(engine)
        self.effects.append(LoadEngine(engine, wanted.label, wanted.spec))
        return replace(request, engine=engine)

    def _grant(self, request: Waiting, resident: Resident) -> None:
        label = request.wanted.label
        granted = replace(
            resident,
            labels=resident.labels if label in resident.labels else (*resident.labels, label),
            keep_alive=resident.keep_alive if request.keep_alive is None else request.keep_alive,
            leases=resident.leases | {request.id},
            used_at=self._at,
        )
        self._change(granted)
        if granted.is_full:
            self._full.add(granted.id)
        self.effects.append(
            Grant(request.id, resident.id, Span(max(0, resident.ready_at - request.since)))
        )

    def _end(self, resident: Resident, reason: EndReason) -> None:
        self._change(replace(resident.moved(EngineState.STOPPING), leases=frozenset()))
        self._leaving.add(resident.id)
        self.effects.append(StopEngine(resident.id, reason))

    def _refuse(self, request: RequestId, error: PunaError) -> None:
        self.effects.append(Refuse(request, error))

    def _refuse_waiters_of(self, engine: EngineId, error: PunaError) -> None:
        for request in self._waiting:
            if request.engine == engine:
                self._refuse(request.id, error)
        self._waiting = [each for each in self._waiting if each.engine != engine]

    def _change(self, resident: Resident) -> None:
        self._engines[resident.id] = resident


def _serves(resident: Resident, request: Waiting) -> bool:
    if resident.state is EngineState.STOPPING or not resident.takes(request.id):
        return False
    # The two specs never change, so a request keeps the answer in its `engine`.
    return request.engine == resident.id or request.wanted.accepts(resident.spec)


def _no_room(wanted: Wanted, everything: Room) -> NoRoom:
    """Say what is too small: a card, or else the machine's memory."""
    for share in wanted.spec.shares:
        limit = Size(everything.cards.get(share.name, 0))
        if share.memory > limit:
            place = share.label or share.name
            return NoRoom(wanted.label, needed=share.memory, limit=limit, where=place)
    return NoRoom(wanted.label, needed=wanted.spec.memory, limit=everything.memory)


def _reason_to_end(victim: Resident, request: Waiting) -> EndReason:
    if victim.is_leaving:
        return EndReason.UNLOADED
    is_same = victim.spec.key == request.wanted.spec.key
    return EndReason.RELOAD if is_same else EndReason.ROOM

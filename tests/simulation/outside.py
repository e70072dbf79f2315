"""The world around the scheduler's policy: what can happen next, and what must never happen.

It keeps its own books from the orders alone, and asks the policy's state only what the owner asks
too: when to wake. `Outside` is a value, so that a walk knows a world that it has met before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from puna.ids import EngineId, RequestId
from puna.node.engine.engine import LoadFailed
from puna.node.engine.request import LoadSpec
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
from puna.node.scheduler.policy import decide, wake_at
from puna.node.scheduler.state import Limits, State, Wanted
from puna.units import Size, Span
from tests.scheduler.stage import some_facts

FAILURE = LoadFailed("no")


@dataclass(frozen=True, slots=True)
class Machine:
    """An engine as the machine sees it."""

    id: EngineId
    spec: LoadSpec
    is_ready: bool = False
    is_ending: bool = False
    users: frozenset[RequestId] = frozenset()


@dataclass(frozen=True, slots=True)
class Asker:
    """A request as its client sees it."""

    id: RequestId
    wanted: Wanted
    answers: int = 0
    has_left: bool = False


@dataclass(frozen=True, slots=True)
class Alphabet:
    """What may happen in a walk."""

    wanted: tuple[Wanted, ...]
    keep_alives: tuple[Span | None, ...] = (None,)
    targets: tuple[str, ...] = ()
    memories: tuple[Size, ...] = ()
    requests: int = 3
    in_turn: bool = False
    """The first request wants the first model, and so on; otherwise each wants any."""
    are_alike: bool = False
    """The models differ in their names only: the first request may as well want the first."""
    closes: bool = True

    def wanted_by(self, place: int) -> tuple[Wanted, ...]:
        if self.in_turn or (self.are_alike and place == 0):
            return (self.wanted[place],)
        return self.wanted


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything around one policy state, and that state."""

    state: State
    at: Span = Span(0)  # noqa: RUF009 - an int
    machines: tuple[Machine, ...] = ()
    askers: tuple[Asker, ...] = ()
    is_forced: bool = False

    @classmethod
    def of(cls, limits: Limits) -> "Outside":
        return cls(State(limits, memory=limits.memory))

    # --- what can happen -------------------------------------------------------------------------

    def possible(self, alphabet: Alphabet) -> Iterator[Event]:
        at = self.at
        if len(self.askers) < alphabet.requests:
            request = RequestId(len(self.askers) + 1)
            for wanted in alphabet.wanted_by(len(self.askers)):
                for keep_alive in alphabet.keep_alives:
                    yield Requested(at, request, wanted, keep_alive)
        yield from (Departed(at, each.id) for each in self.askers if not each.has_left)
        for machine in self.machines:
            yield from self._news_of(machine)
        if (due := wake_at(self.state, at)) is not None:
            yield TimePassed(due)
        yield from (UnloadAsked(at, target) for target in alphabet.targets)
        yield from (MemoryMeasured(at, memory) for memory in alphabet.memories)
        if alphabet.closes:
            yield GraceEnded(at) if self.state.closing else CloseAsked(at)

    def _news_of(self, machine: Machine) -> Iterator[Event]:
        if not machine.is_ready:
            yield Loaded(self.at, machine.id, some_facts(machine.spec))
            yield Gone(self.at, machine.id, FAILURE)
        elif not machine.is_ending:
            yield Died(self.at, machine.id)
        if machine.is_ending:
            yield Gone(self.at, machine.id)

    # --- what it does ----------------------------------------------------------------------------

    def after(self, event: Event) -> "Outside":
        """Return the world after `event` and the orders that follow; fails at a wrong one."""
        before = self._having_seen(event)
        state, effects = decide(self.state, event)
        world = replace(before, state=state)
        for effect in effects:
            world = world._obeying(effect)
        return world

    def _having_seen(self, event: Event) -> "Outside":
        world = replace(self, at=event.at)
        match event:
            case Requested(request=request, wanted=wanted):
                return replace(world, askers=(*self.askers, Asker(request, wanted)))
            case Departed(request=request):
                return world._without_user(request)._with_asker(request, has_left=True)
            case Loaded(engine=engine):
                return world._with_machine(engine, is_ready=True)
            case Died(engine=engine):
                return world._with_machine(engine, is_ending=True, users=frozenset())
            case Gone(engine=engine):
                left = tuple(each for each in self.machines if each.id != engine)
                return replace(world, machines=left)
            case _:
                return replace(world, is_forced=self.is_forced or isinstance(event, GraceEnded))

    def _obeying(self, effect: Effect) -> "Outside":
        match effect:
            case LoadEngine():
                assert all(effect.spec.weights != each.spec.weights for each in self.machines)
                world = replace(
                    self, machines=(*self.machines, Machine(effect.engine, effect.spec))
                )
                held = sum(each.spec.memory for each in world.machines)
                assert held <= self.state.memory, "more memory is promised than there is"
                assert len(world.machines) <= self.state.limits.places
                return world
            case StopEngine():
                machine = self._machine(effect.engine)
                assert not machine.is_ending, "told twice to end"
                assert self.is_forced or not machine.users, "ended in use"
                return self._with_machine(effect.engine, is_ending=True, users=frozenset())
            case Grant():
                return self._granting(effect)
            case Refuse():
                return self._answering(effect.request)

    def _granting(self, effect: Grant) -> "Outside":
        machine = self._machine(effect.engine)
        [asker] = [each for each in self.askers if each.id == effect.request]
        assert machine.is_ready, "granted before it was ready"
        assert not machine.is_ending, "granted an engine that ends"
        assert len(machine.users) < machine.spec.slots, "granted more than its slots"
        assert asker.wanted.accepts(machine.spec), "granted the wrong model"
        overtaken = [
            each
            for each in self.askers
            if each.id < asker.id and each.id in self.unanswered and each.wanted == asker.wanted
        ]
        assert not overtaken, "an earlier one who wants the same was overtaken"
        users = machine.users | {effect.request}
        return self._with_machine(effect.engine, users=users)._answering(effect.request)

    def _answering(self, request: RequestId) -> "Outside":
        [asker] = [each for each in self.askers if each.id == request]
        assert not asker.has_left, "answered somebody who has left"
        assert asker.answers == 0, "answered twice"
        return self._with_asker(request, answers=1)

    def check_settled(self) -> None:
        """Decide once more: nothing may be left to do, or something would wait for a nudge."""
        state, effects = decide(self.state, TimePassed(self.at))
        assert (state, effects) == (self.state, ())

    # --- the end of every story ------------------------------------------------------------------

    @property
    def unanswered(self) -> tuple[RequestId, ...]:
        return tuple(each.id for each in self.askers if not each.has_left and not each.answers)

    def next_in_turn(self) -> Event | None:
        """Return what happens next if all that was begun goes well; None when all is quiet.

        Time passes only when nothing else can happen: what waits for time must then be woken.
        """
        for machine in self.machines:
            if machine.is_ending:
                return Gone(self.at, machine.id)
            if not machine.is_ready:
                return Loaded(self.at, machine.id, some_facts(machine.spec))
        for asker in self.askers:
            if asker.answers and not asker.has_left:
                return Departed(self.at, asker.id)
        due = wake_at(self.state, self.at)
        return None if due is None else TimePassed(due)

    # --- changes ---------------------------------------------------------------------------------

    def _machine(self, engine: EngineId) -> Machine:
        [machine] = [each for each in self.machines if each.id == engine]
        return machine

    def _with_machine(self, engine: EngineId, **changes: object) -> "Outside":
        machines = tuple(
            replace(each, **changes) if each.id == engine else each  # type: ignore[arg-type]
            for each in self.machines
        )
        return replace(self, machines=machines)

    def _with_asker(self, request: RequestId, **changes: object) -> "Outside":
        askers = tuple(
            replace(each, **changes) if each.id == request else each  # type: ignore[arg-type]
            for each in self.askers
        )
        return replace(self, askers=askers)

    def _without_user(self, request: RequestId) -> "Outside":
        machines = tuple(replace(each, users=each.users - {request}) for each in self.machines)
        return replace(self, machines=machines)


def quiet_end(world: Outside, known: set[Outside]) -> None:
    """Let all that was begun end well; fails if somebody then still waits.

    `known` are worlds that were seen to end quietly; those met here are added.
    """
    met: list[Outside] = []
    while world not in known:
        met.append(world)
        world.check_settled()
        event = world.next_in_turn()
        if event is None:
            assert world.unanswered == (), "somebody waits for ever"
            break
        world = world.after(event)
        assert len(met) < 200, "it never becomes quiet"
    known.update(met)

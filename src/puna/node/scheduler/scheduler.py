"""Who may use which model now: a lease waits, loads, evicts and counts, and ends with its block.

One task owns the state. Everything that happens reaches it as an event through one queue; it asks
`policy.decide` and carries out the orders. Each engine has one task for its whole life, and
cancelling that task is how an engine is stopped or its load called off. Nothing else waits, so a
client that vanishes can never leave a model loaded, counted or blocked by mistake.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from puna.errors import Failed, PunaError
from puna.ids import EngineId, RequestId
from puna.node.card_plan import is_partly_on_cards, place_words
from puna.node.engine.engine import Engine, EngineFactory, LoadFailed
from puna.node.engine.request import LoadSpec, Purpose
from puna.node.scheduler.crowd import BACKGROUND, Crowd, crowd_of
from puna.node.scheduler.effects import (
    Effect,
    Grant,
    LoadEngine,
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
    TimePassed,
    UnloadAsked,
)
from puna.node.scheduler.policy import decide, may_load, wake_at
from puna.node.scheduler.state import (
    EngineState,
    Limits,
    Resident,
    Running,
    State,
    Wanted,
    running_in,
)
from puna.units import Size, Span
from puna.world import World

_logger = logging.getLogger(__name__)
_GRACE = Span.of(seconds=5)
_LONG_AGO = Span.of(hours=24)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to use an engine until the block of `Scheduler.lease` ends."""

    engine: Engine
    load_span: Span
    """How long this request waited for the load; 0 where the model was there."""


class Scheduler:
    """Loads models as they are asked for, keeps them as long as they may stay, and makes room.

    `memory`, if given, is asked before each decision about a load how many bytes all engines may
    take together now; otherwise `limits.memory` holds. `cards` tells the same of each card. Belongs
    to the event loop that first uses it.
    """

    def __init__(
        self,
        factory: EngineFactory,
        limits: Limits,
        world: World,
        *,
        memory: Callable[[], Size] | None = None,
        cards: Callable[[], Mapping[str, Size]] | None = None,
    ) -> None:
        self._factory = factory
        self._world = world
        self._measure_memory = memory
        self._measure_cards = cards
        self._state = State(limits, memory=limits.memory)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._request_ids = itertools.count(1)
        self._answers: dict[RequestId, asyncio.Future[Lease | PunaError]] = {}
        self._background: set[RequestId] = set()
        self._last_wish = Span(-_LONG_AGO)
        self._engines: dict[EngineId, Engine] = {}
        self._lives: dict[EngineId, asyncio.Task[None]] = {}
        self._owner: asyncio.Task[None] | None = None
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at: Span | None = None
        self.deaths = 0
        """How many engines have ended by themselves."""
        self._turned: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def lease(
        self, wanted: Wanted, *, keep_alive: Span | None = None
    ) -> AsyncIterator[Lease]:
        """Use a model: wait for it, have it loaded if needed, and give it back at the block's end.

        `keep_alive` is how long it stays afterwards: 0 not at all, negative for ever, None as it
        was. Raises `QueueFull`, `NoRoom`, `LoadFailed` or `ShuttingDown`. Cancelling the wait gives
        up the place; a load that nobody else waits for is called off.
        """
        request = RequestId(next(self._request_ids))
        answer: asyncio.Future[Lease | PunaError] = asyncio.get_running_loop().create_future()
        self._answers[request] = answer
        if BACKGROUND.get():
            self._background.add(request)
        self._tell(Requested(self._world.elapsed(), request, wanted, keep_alive))
        try:
            outcome = await answer
            if isinstance(outcome, PunaError):
                # One error can refuse many: each of them begins its own traceback.
                raise outcome.with_traceback(None)
            yield outcome
        finally:
            del self._answers[request]
            if request not in self._background:
                self._last_wish = self._world.elapsed()
            self._background.discard(request)
            self._tell(Departed(self._world.elapsed(), request))

    async def load(self, wanted: Wanted, *, keep_alive: Span | None = None) -> Span:
        """Have a model loaded and return how long that took; raises as `lease`."""
        async with self.lease(wanted, keep_alive=keep_alive) as lease:
            return lease.load_span

    async def unload(self, target: Path | str) -> bool:
        """End the engine of these weights, or used under this name; tell whether there was one.

        Returns when an idle one is gone. One in use takes nobody new and ends with its last lease,
        which this does not wait for.
        """
        found = {each.id for each in self._state.residents if each.is_called(target)}
        if not found:
            return False
        self._tell(UnloadAsked(self._world.elapsed(), target))
        while any(_is_to_end(each) for each in self._state.residents if each.id in found):
            if self._started().done():
                break
            await self._next_turn()
        return True

    def running(self) -> tuple[Running, ...]:
        """List what holds memory now, longest expiry first."""
        return running_in(self._state, elapsed=self._world.elapsed(), now=self._world.now())

    def loaded(self, weights: Path, purpose: Purpose = Purpose.ANSWER) -> LoadSpec | None:
        """Return how a model is loaded now, or being loaded; None if it is not, or not for long."""
        return next(
            (
                each.spec
                for each in self._state.residents
                if each.spec.key == (weights, purpose) and not each.is_leaving
            ),
            None,
        )

    def crowd(self, weights: Path, purpose: Purpose) -> Crowd:
        """Tell how busy others keep a model, for work that should come after theirs."""
        now = self._world.elapsed()
        is_busy = len(self._answers) > len(self._background)
        quiet = Span(0) if is_busy else Span(now - self._last_wish)
        return crowd_of(self._state, (weights, purpose), self._background, at=now, quiet=quiet)

    @property
    def waiting(self) -> int:
        """How many requests wait, for a load, for room or for a slot."""
        return len(self._state.waiting)

    async def close(self, *, limit: Span = _GRACE) -> None:
        """Refuse all who wait, let those who compute finish within `limit`, end every engine."""
        owner = self._started()
        self._tell(CloseAsked(self._world.elapsed()))
        grace = asyncio.ensure_future(self._world.wait(limit))
        try:
            await asyncio.wait({owner, grace}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            grace.cancel()
        self._tell(GraceEnded(self._world.elapsed()))
        await asyncio.wait({owner})

    # --- the owner -------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        if self._started().done():
            self._refuse_all()
            return
        self._events.put_nowait(event)

    def _started(self) -> asyncio.Task[None]:
        if self._owner is None:
            self._owner = asyncio.get_running_loop().create_task(self._own(), name="scheduler")
        return self._owner

    async def _own(self) -> None:
        try:
            while not self._state.is_over:
                self._turn(await self._events.get())
        finally:
            await self._end_tasks()
            self._refuse_all()
            self._wake_watchers()

    def _turn(self, event: Event) -> None:
        self.deaths += isinstance(event, Died)
        self._attempt(self._measure, event)
        if not self._attempt(self._follow, event) and isinstance(event, Requested):
            error = Failed(f'model "{event.wanted.label}" could not be scheduled: see the log')
            self._apply(Refuse(event.request, error))
        if isinstance(event, TimePassed):
            self._alarm_at = None
        self._set_alarm(event.at)
        self._wake_watchers()

    def _attempt(self, step: Callable[[Event], None], event: Event) -> bool:
        try:
            step(event)
        except Exception:
            _logger.exception("the scheduler could not deal with %s; it goes on without", event)
            return False
        return True

    def _measure(self, event: Event) -> None:
        if self._measure_memory is not None and may_load(self._state, event):
            cards = self._measure_cards() if self._measure_cards else {}
            self._follow(MemoryMeasured(event.at, self._measure_memory(), tuple(cards.items())))

    def _follow(self, event: Event) -> None:
        self._state, effects = decide(self._state, event)
        if isinstance(event, Gone):
            self._engines.pop(event.engine, None)
        for effect in effects:
            self._apply(effect)

    def _apply(self, effect: Effect) -> None:
        match effect:
            case Grant():
                self._answer(effect.request, Lease(self._engines[effect.engine], effect.load_span))
            case Refuse():
                self._answer(effect.request, effect.error)
            case LoadEngine():
                level = logging.WARNING if is_partly_on_cards(effect.spec) else logging.INFO
                _logger.log(level, 'loading "%s": %s', effect.label, place_words(effect.spec))
                life = asyncio.create_task(
                    self._live(effect.engine, effect.spec), name=f"engine {effect.engine}"
                )
                self._lives[effect.engine] = life
                life.add_done_callback(partial(self._on_end, effect.engine, effect.label))
            case StopEngine():
                _logger.info("ending engine %d: %s", effect.engine, effect.reason)
                self._lives[effect.engine].cancel()

    def _answer(self, request: RequestId, outcome: Lease | PunaError) -> None:
        answer = self._answers.get(request)
        if answer is not None and not answer.done():
            answer.set_result(outcome)

    # --- an engine's life ------------------------------------------------------------------------

    async def _live(self, engine_id: EngineId, spec: LoadSpec) -> None:
        # Cancelled in the first line, the factory ends what it began; later, `stop` does.
        engine = await self._factory(spec)
        try:
            self._engines[engine_id] = engine
            self._tell(Loaded(self._world.elapsed(), engine_id, engine.facts))
            reason = await engine.died()
            _logger.warning("engine %d died: %s", engine_id, reason)
            self._tell(Died(self._world.elapsed(), engine_id))
        finally:
            await engine.stop()

    def _on_end(self, engine_id: EngineId, label: str, life: asyncio.Task[None]) -> None:
        del self._lives[engine_id]
        failure = None if life.cancelled() else life.exception()
        self._tell(Gone(self._world.elapsed(), engine_id, _explained(failure, label)))

    # --- waiting ---------------------------------------------------------------------------------

    def _set_alarm(self, at: Span) -> None:
        due = wake_at(self._state, at)
        if due is None or (self._alarm_at is not None and self._alarm_at <= due):
            return  # one that rings too early does no harm, and leases move the time with each end
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = due
        self._alarm = asyncio.create_task(self._ring(due), name="scheduler alarm")

    async def _ring(self, due: Span) -> None:
        await self._world.wait(Span(due - self._world.elapsed()))
        self._tell(TimePassed(self._world.elapsed()))

    async def _next_turn(self) -> None:
        if self._turned is None:
            self._turned = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._turned)

    def _wake_watchers(self) -> None:
        if self._turned is not None:
            self._turned.set_result(None)
            self._turned = None

    # --- the end ---------------------------------------------------------------------------------

    async def _end_tasks(self) -> None:
        tasks = {*self._lives.values(), *((self._alarm,) if self._alarm else ())}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _refuse_all(self) -> None:
        for request in self._answers:
            self._answer(request, ShuttingDown())


def _is_to_end(resident: Resident) -> bool:
    return resident.state is EngineState.STOPPING or not resident.is_leaving


def _explained(failure: BaseException | None, label: str) -> PunaError | None:
    if failure is None or isinstance(failure, PunaError):
        return failure
    _logger.error('loading or ending "%s" went wrong', label, exc_info=failure)
    reason = str(failure) or type(failure).__name__
    error = LoadFailed(f'model "{label}" could not be loaded: {reason}')
    error.__cause__ = failure
    return error

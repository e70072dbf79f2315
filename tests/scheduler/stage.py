"""Models, engines and clients with which the tests play: no weights, no processes, no real time."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack
from pathlib import Path
from traceback import FrameSummary, extract_tb

from puna.chat.images import Image
from puna.chat.messages import NO_TOOLS, Message, Think, ToolUse
from puna.errors import PunaError
from puna.node.engine.engine import Engine, EngineDied
from puna.node.engine.request import Completion, EngineFacts, Finish, LoadSpec, Piece
from puna.node.engine.scores import Scored, ScoreQuestion
from puna.node.engine.vectors import Embedded, Input, Ranked
from puna.node.scheduler.scheduler import Lease, Scheduler
from puna.node.scheduler.state import Wanted
from puna.units import Size, Span
from tests.worlds import FakeWorld

AT_ONCE = Span(0)


def a_spec(
    name: str = "a", *, memory: int = 4, slots: int = 1, context: int = 4096, batch: int = 512
) -> LoadSpec:
    return LoadSpec(
        Path("/models") / name, context=context, slots=slots, memory=Size(memory), batch=batch
    )


def a_wanted(spec: LoadSpec | None = None, *, label: str = "", auto: Sequence[str] = ()) -> Wanted:
    spec = spec or a_spec()
    return Wanted(label or spec.weights.name, spec, frozenset(auto))


def some_facts(spec: LoadSpec) -> EngineFacts:
    return EngineFacts(spec.context, spec.slots, spec.memory, threads=2, has_chat_template=True)


class StubEngine:
    """An engine that computes nothing: it is there, it dies when told, it stops."""

    def __init__(self, spec: LoadSpec, held: ExitStack) -> None:
        self.spec = spec
        self.is_stopped = False
        self.fails_to_stop = False
        self._held = held
        self._dead = asyncio.Event()

    @property
    def facts(self) -> EngineFacts:
        return some_facts(self.spec)

    async def died(self) -> EngineDied:
        await self._dead.wait()
        return EngineDied("killed by the test")

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self.is_stopped = True
        self._held.close()
        if self.fails_to_stop:
            raise OSError("the test says no")

    def kill(self) -> None:
        self._dead.set()

    async def render(
        self, messages: Sequence[Message], *, tools: ToolUse = NO_TOOLS, think: Think | None = None
    ) -> str:
        raise NotImplementedError

    async def tokenize(self, text: str, *, add_special: bool) -> tuple[int, ...]:
        raise NotImplementedError

    async def image_tokens(self, image: Image) -> int:
        raise NotImplementedError

    async def detokenize(self, tokens: Sequence[int]) -> str:
        raise NotImplementedError

    async def embed(self, inputs: Sequence[Input], *, normalize: bool = True) -> Embedded:
        raise NotImplementedError

    async def rerank(self, query: str, documents: Sequence[str]) -> Ranked:
        raise NotImplementedError

    async def score(self, question: ScoreQuestion) -> Scored:
        raise NotImplementedError

    def complete(self, completion: Completion) -> AsyncGenerator[Piece | Finish, None]:
        raise NotImplementedError


class Workshop:
    """Makes stub engines: the factory given to a scheduler. It keeps the books of what is held."""

    def __init__(self, world: FakeWorld, *, load_span: Span = AT_ONCE) -> None:
        self.world = world
        self.load_span = load_span
        self.fails_with: Exception | None = None
        self.begun: list[str] = []
        self.held: Counter[str] = Counter()
        self.memory = 0
        self.peak = 0
        self.engines: list[StubEngine] = []

    async def __call__(self, spec: LoadSpec) -> Engine:
        self.begun.append(spec.weights.name)
        with ExitStack() as held:
            self._take(spec)
            held.callback(self._give_back, spec)
            await self.world.wait(self.load_span)
            if self.fails_with is not None:
                raise self.fails_with
            self.engines.append(StubEngine(spec, held.pop_all()))
        return self.engines[-1]

    @property
    def live(self) -> list[StubEngine]:
        return [each for each in self.engines if not each.is_stopped]

    def _take(self, spec: LoadSpec) -> None:
        self.held[spec.weights.name] += 1
        self.memory += spec.memory
        self.peak = max(self.peak, self.memory)

    def _give_back(self, spec: LoadSpec) -> None:
        self.held[spec.weights.name] -= 1
        self.memory -= spec.memory


class Client:
    """Somebody who asks for a model at once, and uses it until told to leave or to vanish."""

    def __init__(
        self, scheduler: Scheduler, wanted: Wanted, *, keep_alive: Span | None = None
    ) -> None:
        self.lease: Lease | None = None
        self.error: PunaError | None = None
        self.told_through: list[FrameSummary] = []
        self._leaving = asyncio.Event()
        self._task = asyncio.create_task(self._use(scheduler, wanted, keep_alive))

    async def _use(self, scheduler: Scheduler, wanted: Wanted, keep_alive: Span | None) -> None:
        try:
            async with scheduler.lease(wanted, keep_alive=keep_alive) as lease:
                self.lease = lease
                await self._leaving.wait()
        except PunaError as error:
            self.error = error
            self.told_through = extract_tb(error.__traceback__)

    @property
    def is_served(self) -> bool:
        return self.lease is not None

    @property
    def waits(self) -> bool:
        return self.lease is None and not self._task.done()

    def leave(self) -> None:
        self._leaving.set()

    def vanish(self) -> None:
        self._task.cancel()

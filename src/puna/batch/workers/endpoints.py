"""An endpoint anywhere, as a worker: however fast it is, whatever it speaks, gone and back again.

What it speaks is found out by asking. A shard is cut into the pieces that one request answers, and
as many requests are under way as the endpoint turns out to be good for (pace.py). A piece that
fails is asked again after a pause; an endpoint that stays away costs its shards in flight alone.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from puna.batch.shards import Shard
from puna.batch.spec import EmbedTask, LabelTask, Spec
from puna.batch.workers.address import EndpointAddress, read_key
from puna.batch.workers.foreign import Way
from puna.batch.workers.node import NodeWorker
from puna.batch.workers.openai import OpenAIWorker
from puna.batch.workers.pace import MOST, Pace, Round, next_pace, pause_s, shards_wanted
from puna.batch.workers.replying import EndpointRefused
from puna.batch.workers.worker import Answer, Identity, Worker, WorkerGone
from puna.errors import Conflict, PunaError
from puna.net import named_session
from puna.node.client import NodeRefused
from puna.node.replies import Fields
from puna.units import Span
from puna.world import World

if TYPE_CHECKING:
    import aiohttp

_T = TypeVar("_T")
_MOST_TRIES = 4
_LEAST_PATIENCE = Span.of(minutes=2)
_SLOWER = 20
_REFUSED_S = 60
_HELLO_S = Span.of(seconds=20)
_NOBODY = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
_AGAIN_S = 2
_SIDE_BY_SIDE = "rows are answered side by side: last digits and words may differ"
_BY_KERNELS = "by the kernels of the engine there: not the last digits of floats here"
SCORES = "score"
"""The way of labels by puna's own scores."""


class OtherWay(Conflict):
    """An endpoint would give numbers of another kind than the job has so far."""

    code = "other_way"


class Dialect(StrEnum):
    """What an endpoint speaks."""

    PUNA = "puna"
    OLLAMA = "ollama"
    OPENAI = "openai"


@dataclass(frozen=True, slots=True)
class Greeted:
    """An endpoint that answered: what it speaks, and where that begins."""

    dialect: Dialect
    base: str


class EndpointWorker:
    """One endpoint. `variable` reads a variable of the environment, for keys that are in one."""

    def __init__(
        self,
        address: EndpointAddress,
        world: World,
        *,
        variable: Callable[[str], str] = lambda _: "",
        most: int = MOST,
    ) -> None:
        self.address = address
        self._world, self._variable, self._most = world, variable, most
        self._inner: Worker | None = None
        self._spec: Spec | None = None
        self._is_whole = False
        self._was_ready = False
        self._pace = Pace()
        self._lane = _Lane(lambda: self._pace.width)
        self._round = _Count(world.elapsed())
        self._usual = Span(0)

    @property
    def name(self) -> str:
        """The address."""
        return self.address.name

    @property
    def places(self) -> int:
        """As many shards as keep its requests under way, and one more."""
        return shards_wanted(self._pace.width, self._lane.pieces)

    @property
    def pace(self) -> Pace:
        """How many requests are under way at once, and how it came to that."""
        return self._pace

    @property
    def is_settled(self) -> bool:
        """Whether more requests at once have been tried, and made it no faster."""
        return not self._pace.is_doubling or self._pace.window >= self._most

    async def prepare(self, spec: Spec) -> Identity:
        """Find out what the endpoint speaks, and make one trial.

        The first time, what keeps it from answering at all ends the job; later it is `WorkerGone`,
        since others go on meanwhile.
        """
        try:
            identity = await self._prepare(spec)
        except (EndpointRefused, NodeRefused, OtherWay) as error:
            if not self._was_ready:
                raise
            raise WorkerGone(error.message, retry_after_s=_REFUSED_S) from error
        self._was_ready = True
        return identity

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        """Answer the rows of a shard, as many at once as is good for the endpoint."""
        pieces = list(self._pieces(shard))
        self._lane.pieces = len(pieces)
        tasks = [asyncio.create_task(self._piece(each)) for each in pieces]
        try:
            found = await asyncio.gather(*tasks)
        except (EndpointRefused, NodeRefused) as error:
            raise WorkerGone(error.message, retry_after_s=_REFUSED_S) from error
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.wait(tasks)
        return [answer for answers in found for answer in answers]

    async def close(self) -> None:
        """Drop the connections."""
        inner, self._inner = self._inner, None
        if inner:
            await inner.close()

    # --- what it is ------------------------------------------------------------------------------

    async def _prepare(self, spec: Spec) -> Identity:
        await self.close()
        key = read_key(self.address.key, self._variable)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        greeted = await self._in_time(self._greet(headers), _HELLO_S)
        mine = replace(spec, model=self.address.model or spec.model)
        is_scored = isinstance(spec.task, LabelTask) and greeted.dialect is Dialect.PUNA
        self._check_way(spec, is_scored=is_scored)
        if is_scored or (greeted.dialect is not Dialect.OPENAI and not _is_labels(spec)):
            self._inner = NodeWorker(lambda: greeted.base, headers=headers, name=self.name)
        else:
            base = greeted.base if greeted.dialect is Dialect.OPENAI else f"{greeted.base}/v1"
            self._inner = OpenAIWorker(base, self._world, headers=headers, name=self.name)
        self._spec, self._is_whole = spec, is_scored or isinstance(spec.task, EmbedTask)
        identity = await self._inner.prepare(mine)
        return Identity(
            identity.model_digest,
            "endpoints",
            SCORES if is_scored else identity.path,
            identity.reason or (_BY_KERNELS if is_scored else _SIDE_BY_SIDE),
        )

    async def _greet(self, headers: dict[str, str]) -> Greeted:
        """Ask what listens there. Raises `WorkerGone` if nothing does.

        A node may be behind a path, as one in a rented pod is.
        """
        url = self.address.url
        given = str(url).rstrip("/")
        for base in dict.fromkeys((given, str(url.origin()))):
            session = named_session(f"{base}/", headers)
            try:
                version = await _json_at(session, "api/version", self.name)
            finally:
                await session.close()
            if version.text("version"):
                is_puna = bool(version.text("puna"))
                return Greeted(Dialect.PUNA if is_puna else Dialect.OLLAMA, base.rstrip("/"))
        return Greeted(Dialect.OPENAI, given if url.path.endswith("/v1") else f"{given}/v1")

    def _check_way(self, spec: Spec, *, is_scored: bool) -> None:
        """Raise `OtherWay` where the labels of this endpoint would not compare with the job's."""
        if not _is_labels(spec) or not spec.path:
            return
        if (spec.path not in set(Way)) is not is_scored:
            said = "has no scores of labels" if not is_scored else "gives scores of labels"
            raise OtherWay(
                f"{self.name} {said}, and the labels of this job are found by {spec.path}",
                hint="leave it out, or give it a job of its own",
            )

    # --- computing -------------------------------------------------------------------------------

    def _pieces(self, shard: Shard) -> Iterator[Shard]:
        """Cut a shard into what one request answers."""
        if self._is_whole:
            yield from shard.batches()
            return
        for place, text in enumerate(shard.texts):
            yield Shard(shard.number, shard.first + place, (text,), 1)

    async def _piece(self, piece: Shard) -> Sequence[Answer]:
        tries = 0
        while True:
            async with self._lane.place():
                began = self._world.elapsed()
                try:
                    answers = await self._in_time(self._ask(piece), self._patience)
                except WorkerGone as error:
                    gone = error
                else:
                    self._note(Span(self._world.elapsed() - began))
                    return answers
            self._note_failure(began)
            tries += 1
            if tries >= _MOST_TRIES or self._inner is None:
                raise gone
            wait = pause_s(tries - 1, self._world.seed(), asked_for=gone.retry_after_s)
            await self._world.wait(Span.of(seconds=wait))

    async def _ask(self, piece: Shard) -> Sequence[Answer]:
        if self._inner is None:
            raise WorkerGone(f"{self.name} was left")
        return await self._inner.compute(piece)

    @property
    def _patience(self) -> Span:
        return max(_LEAST_PATIENCE, Span(_SLOWER * self._usual))

    async def _in_time(self, work: Coroutine[None, None, _T], limit: Span) -> _T:
        """Do `work`; an endpoint that says nothing for too long is gone."""
        task = asyncio.ensure_future(work)
        alarm = asyncio.ensure_future(self._world.wait(limit))
        try:
            await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise WorkerGone(f"{self.name} said nothing for {limit.seconds:.0f} seconds")
        finally:
            alarm.cancel()
            task.cancel()
            with suppress(asyncio.CancelledError, PunaError):
                await task

    def _note(self, span: Span) -> None:
        self._usual = span if not self._usual else Span((3 * self._usual + span) // 4)
        count = self._round
        count.least = min(count.least or span, span)
        self._round.answers += 1
        self._round.is_full &= self._lane.is_wanted
        if self._round.answers >= self._pace.round_size:
            self._end_round()

    def _note_failure(self, began: Span) -> None:
        """Count a failure; those that began before the window was halved say nothing new."""
        if began >= self._round.begun:
            self._round.failures += 1
            self._end_round()

    def _end_round(self) -> None:
        now, count = self._world.elapsed(), self._round
        taken = Span(now - count.begun)
        shown = Round(count.answers, taken, count.failures, count.least, count.is_full)
        self._pace = next_pace(self._pace, shown, most=self._most)
        self._round = _Count(now)
        self._lane.widen()


@dataclass(slots=True)
class _Count:
    begun: Span
    answers: int = 0
    failures: int = 0
    least: Span = Span(0)  # noqa: RUF009 - a value
    is_full: bool = True


class _Lane:
    """Lets so many through at once, in the order in which they came; how many may change."""

    def __init__(self, width: Callable[[], int]) -> None:
        self._width = width
        self._inside = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self.pieces = 1
        """Of how many pieces a shard is."""

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits."""
        return bool(self._queue)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self.widen()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            else:
                with suppress(ValueError):
                    self._queue.remove(turn)
            raise
        try:
            yield
        finally:
            self._leave()

    def widen(self) -> None:
        """Let in as many as may be."""
        while self._queue and self._inside < self._width():
            turn = self._queue.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)

    def _leave(self) -> None:
        self._inside -= 1
        self.widen()


async def _json_at(
    session: "aiohttp.ClientSession",  # noqa: TID251 - the type only
    path: str,
    name: str,
) -> Fields:
    """Return the object at a path, an empty one for any other answer. Raises `WorkerGone`.

    A gateway that says that nobody is behind it is nobody.
    """
    import aiohttp  # noqa: PLC0415 - 0.4 s to import, and labels here need none of it

    try:
        async with session.get(path, allow_redirects=False) as answer:
            if answer.status in _NOBODY:
                raise WorkerGone(f"nothing answers behind {name}", retry_after_s=_AGAIN_S)
            return Fields(await answer.json(content_type=None)) if answer.ok else Fields({})
    except ValueError:
        return Fields({})
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise WorkerGone(f"{name} does not answer: {error}") from error


def _is_labels(spec: Spec) -> bool:
    return isinstance(spec.task, LabelTask)

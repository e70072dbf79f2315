"""A sample of a job: whole batches of it, computed by those who would compute the job.

Each worker loads the model and computes batches from all over the list, as many at a time as in a
job. What batches took, and what they weigh, is what a forecast is made of.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from puna.batch.events import Remark
from puna.batch.forecast import (
    LEAST_STRETCHES,
    Measured,
    Stretch,
    is_enough,
    spread,
    stretch_rows,
    weigh_rows,
    whole_weight,
)
from puna.batch.job import sizes_of
from puna.batch.manifest import Order
from puna.batch.shards import Shard
from puna.batch.spared import CascadeGuess, weigh_lessons
from puna.batch.spec import EmbedTask, LabelTask
from puna.batch.strings import Strings
from puna.batch.wording import wording_of
from puna.batch.workers.worker import (
    Answer,
    Counts,
    Identity,
    Settles,
    Spent,
    Worker,
    WorkerComing,
    Written,
)
from puna.units import Span
from puna.world import World

_TRIAL_ROWS = 16
_MOST_WEIGHED = 200_000
"""Rows whose letters are counted; of a longer list, those of batches all over it."""
_LETTERS = 4
"""Letters of a token, where nobody counts tokens."""
_WARM_UP = Span.of(seconds=20)
"""How long a worker may find out how much it can have at once before its speed counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Tokens of a row, on average."""

    shared: float
    """Before every row, the same for all."""
    own: float
    """Of the row itself and what follows it."""
    computed: float
    """Really computed, common beginnings once."""
    answer: float
    """That a chat would write."""
    written: float
    """That are written here."""
    is_counted: bool
    """Counted by the model's tokenizer, and not reckoned from letters."""


async def side_by_side(works: Sequence[AsyncGenerator[int]]) -> AsyncGenerator[int]:
    """Do works at the same time, and yield what all of them have done so far."""
    news: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()

    async def follow(number: int, work: AsyncGenerator[int]) -> None:
        try:
            async for rows in work:
                news.put_nowait((number, rows))
        finally:
            news.put_nowait(None)

    tasks = [asyncio.create_task(follow(number, work)) for number, work in enumerate(works)]
    rows, left = [0] * len(works), len(works)
    try:
        while left:
            each = await news.get()
            if each is None:
                left -= 1
                for task in tasks:
                    if task.done() and not task.cancelled():
                        task.result()
                continue
            rows[each[0]] = each[1]
            yield sum(rows)
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait(tasks)


class Parts:
    """The batches of a list in the order of `spread`, each for one of those who sample it.

    Where only beginnings are computed, what follows them comes when all batches have begun.
    """

    def __init__(self, distinct: int, batch: int) -> None:
        self._left = spread(distinct, batch, batch)
        self._rest: deque[Stretch] = deque()

    def next(self, rows: int) -> Stretch | None:
        """Return the next rows to compute together, so many at most; None after the last."""
        found = next(self._left, None) or (self._rest.popleft() if self._rest else None)
        if found is None:
            return None
        if found.rows > rows:
            self._rest.append(Stretch(found.first + rows, found.rows - rows))
        return Stretch(found.first, min(rows, found.rows))


class Surveyor:
    """Computes a sample by one worker, and holds what was measured."""

    def __init__(
        self, order: Order, worker: Worker, texts: Strings, world: World, parts: Parts
    ) -> None:
        self.order, self._worker, self._texts, self._world = order, worker, texts, world
        self._parts = parts
        self._batch = sizes_of(order.spec.task).batch
        self._before = Spent()
        self.measured: list[Measured] = []
        self._warming: list[Measured] = []
        self.answers: list[Answer] = []
        self.letters = 0
        self.prefix = 0.0
        self.spent = Spent()
        """The tokens of the sample, where the worker counts them."""
        self.loading = Span(0)
        self.identity = Identity("", "")

    @property
    def name(self) -> str:
        """The worker's."""
        return self._worker.name

    async def prepare(self) -> AsyncGenerator[Remark]:
        """Load the model, and see how much stands before a row. Says what is waited for."""
        begun, said = self._world.elapsed(), ""
        while True:
            try:
                self.identity = await self._worker.prepare(self.order.spec)
                break
            except WorkerComing as coming:
                if coming.message != said:
                    said = coming.message
                    yield Remark(f"{self.name}: {said}")
                await self._world.wait(Span.of(seconds=coming.retry_after_s))
        self.loading = Span(self._world.elapsed() - begun)
        if isinstance(self._worker, Counts):
            one = Shard(0, 0, ("a",), 1)
            before = self._worker.spent
            await self._worker.compute(one)
            spent = self._worker.spent - before
            self.prefix = float(max(0, spent.asked - spent.computed))

    async def sample(self, wanted: int) -> AsyncGenerator[int]:
        """Compute stretches until it is enough; yield the rows so far."""
        size = stretch_rows(self._batch, wanted, await self._trial())
        if isinstance(self._worker, Counts):
            self._before = self._worker.spent
        running: deque[tuple[tuple[bytes, ...], asyncio.Task[Sequence[Answer]]]] = deque()
        begun = last = self._world.elapsed()
        try:
            while not is_enough(self.measured, wanted):
                while len(running) < self._worker.places and (each := self._parts.next(size)):
                    running.append(self._begin(each))
                if not running:
                    break
                texts, task = running[0]
                warms_up = self._warms_up(Span(last - begun))
                answers = await task
                running.popleft()
                now = self._world.elapsed()
                self._note(texts, answers, Span(now - last), warms_up=warms_up)
                last = now
                yield len(self.answers)
        finally:
            for _, task in running:
                task.cancel()
            if running:
                await asyncio.wait({task for _, task in running})
        if len(self.measured) < LEAST_STRETCHES:  # a short list has no more than its beginning
            self.measured = [*self._warming, *self.measured]

    def _warms_up(self, so_far: Span) -> bool:
        worker = self._worker
        return isinstance(worker, Settles) and not worker.is_settled and so_far < _WARM_UP

    async def _trial(self) -> Span:
        """Compute a few rows twice: the first time warms up; return what a row took."""
        rows = min(_TRIAL_ROWS, self._batch, self._texts.count)
        span = Span(0)
        for _ in range(2):
            _, task = self._begin(Stretch(0, rows))
            begun = self._world.elapsed()
            await task
            span = Span(self._world.elapsed() - begun)
        return Span(span // rows)

    def _begin(self, stretch: Stretch) -> tuple[tuple[bytes, ...], asyncio.Task[Sequence[Answer]]]:
        raw = tuple(self._texts.stretch(stretch.first, stretch.rows))
        texts = tuple(each.decode() for each in raw)
        shard = Shard(stretch.first // self._batch, stretch.first, texts, self._batch)
        return raw, asyncio.ensure_future(self._worker.compute(shard))

    def _note(
        self, texts: Sequence[bytes], answers: Sequence[Answer], span: Span, *, warms_up: bool
    ) -> None:
        into = self._warming if warms_up else self.measured
        into.append(Measured(len(texts), self.weigh(texts), span))
        self.answers += answers
        self.letters += sum(map(len, texts))
        if isinstance(self._worker, Counts):
            self.spent = self._worker.spent - self._before

    def weigh(self, texts: Sequence[bytes]) -> int:
        """Return what neighbours have to compute: with scored labels, they share beginnings."""
        return weigh_rows(texts) if isinstance(self.order.spec.task, LabelTask) else len(texts)

    def whole(self, distinct: int) -> tuple[int, int]:
        """Return weight and letters of the whole list. Blocks."""
        most = -(-_MOST_WEIGHED // self._batch)
        weights, rows, letters = [], 0, 0
        stretches = spread(distinct, self._batch, self._batch)
        for stretch, _ in zip(stretches, range(most), strict=False):
            texts = self._texts.stretch(stretch.first, stretch.rows)
            weights.append(self.weigh(texts))
            rows += len(texts)
            letters += sum(map(len, texts))
        return whole_weight(weights, rows, distinct), whole_weight([letters], rows, distinct)

    def weigh_lessons(self, guess: CascadeGuess) -> int:
        """Return what the lessons of a cascade weigh. Blocks."""
        return weigh_lessons(self._texts, guess, self.order.spec, self._batch)

    def tokens(self, weight: float) -> TokenCounts:
        """Return the tokens of a row, in a list whose rows weigh so much on average."""
        task = self.order.spec.task
        rows = len(self.answers)
        if isinstance(task, LabelTask):
            answer = 1 + sum(len(each.name) for each in task.labels) / len(task.labels) / _LETTERS
            return self._label_tokens(task, answer, weight)
        if isinstance(task, EmbedTask):
            own = self.letters / rows / _LETTERS
            return _counts(0.0, own, own, 0.0, is_counted=False)
        written = [each for each in self.answers if isinstance(each, Written)]
        prompt = sum(each.prompt_tokens for each in written) / max(1, len(written))
        output = sum(each.output_tokens for each in written) / max(1, len(written))
        shared = min(prompt, len(task.system) / _LETTERS)
        counts = _counts(shared, prompt - shared, prompt - shared, output, is_counted=True)
        return replace(counts, written=output)

    def _label_tokens(self, task: LabelTask, answer: float, weight: float) -> TokenCounts:
        rows, words = len(self.answers), wording_of(task)
        own = (self.letters / rows + len(words.suffix)) / _LETTERS
        shared = len(words.prefix) / _LETTERS
        if not self.spent.computed:
            return _counts(shared, own, own, answer, is_counted=False)
        seen = sum(each.weight for each in self.measured) / sum(each.rows for each in self.measured)
        computed = self.spent.computed / rows * weight / seen
        if task.multi:  # a question for each label here, and one for all of them in a chat
            return _counts(shared, own, computed, answer, is_counted=False)
        own = max(0.0, self.spent.asked / rows - self.prefix)
        return _counts(self.prefix, own, computed, answer, is_counted=True)


def _counts(
    shared: float, own: float, computed: float, answer: float, *, is_counted: bool
) -> TokenCounts:
    return TokenCounts(
        shared=shared,
        own=own,
        computed=computed,
        answer=answer,
        written=0.0,
        is_counted=is_counted,
    )

"""What a job will take, before it is begun: its rows are counted, and a sample is computed.

The input is read as the job would read it, into a folder that is thrown away, so rows, repeats and
bad rows are facts. The model is loaded, and whole batches of neighbours are computed as the job
would compute them, as many at a time. What is left is arithmetic: see `forecast` and `costs`.
"""

import asyncio
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from puna.batch.costs import Bids, Work, cost_here, cost_hosted, cost_on_card
from puna.batch.events import Preparing, Reading
from puna.batch.forecast import (
    Forecast,
    Measured,
    Stretch,
    is_enough,
    predict,
    spread,
    stretch_rows,
    weigh_rows,
    whole_weight,
)
from puna.batch.intake import Intake, IntakeStep, take_in
from puna.batch.job import NothingToDo, in_steps, sizes_of
from puna.batch.manifest import Order
from puna.batch.prices import PriceList
from puna.batch.reading import Files, digest_of_inputs, find_files
from puna.batch.shards import Shard
from puna.batch.spec import EmbedTask, LabelTask
from puna.batch.strings import Strings
from puna.batch.texts import Texts
from puna.batch.wording import wording_of
from puna.batch.workers.worker import Answer, Counts, Identity, Refused, Spent, Worker, Written
from puna.hardware.processor import busy_share
from puna.library.threads import in_thread
from puna.models.regular_file import shown_path
from puna.units import Size, Span
from puna.world import World

_TRIAL_ROWS = 16
_MOST_WEIGHED = 200_000
"""Rows whose letters are counted; of a longer list, those of batches all over it."""
_LETTERS = 4
"""Letters of a token, where nobody counts tokens."""
_ANSWER_BYTES = 40


@dataclass(frozen=True, slots=True)
class Sampling:
    """So many rows of the sample have been computed."""

    rows: int


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What a model's file says; zeros where nobody knows."""

    parameters: int = 0
    weights: Size = Size(0)  # noqa: RUF009 - a value


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found and measured."""

    order: Order
    intake: Intake
    identity: Identity
    sampled: int
    refused: int
    """Rows of the sample without an answer."""
    forecast: Forecast
    """Of the computing alone."""
    around: Span
    """Reading, loading and writing."""
    tokens: TokenCounts
    letters: int
    """Bytes of all distinct texts."""
    busy: float = 0.0
    """The share of this machine's processors that others used before the sample."""

    @property
    def total(self) -> Forecast:
        """The time from the command to the output."""
        known = self.forecast
        return replace(
            known,
            span=Span(known.span + self.around),
            low=Span(known.low + self.around),
            high=Span(known.high + self.around),
        )


PlanEvent = Reading | Preparing | Sampling | Survey


async def survey(
    order: Order,
    worker: Worker,
    world: World,
    wanted: int,
    *,
    look: Callable[[], float] = busy_share,
) -> AsyncGenerator[PlanEvent]:
    """Read the input, compute a sample of at least `wanted` rows, and yield what was found, last.

    `look` tells what share of the machine others use; it blocks for a moment.
    Raises `NothingToDo`, and what reading and the worker raise.
    """
    with tempfile.TemporaryDirectory(prefix="puna-plan-") as name:
        folder = Path(name)
        begun = world.elapsed()
        files = find_files(order.inputs)
        await in_thread(digest_of_inputs, files)
        intake: Intake | None = None
        async for step in in_steps(_take_in(order, files, folder)):
            if isinstance(step, Intake):
                intake = step
            else:
                yield Reading(step.rows)
        if intake is None or not intake.distinct:
            raise NothingToDo("the input has no row that could be computed")
        read = Span(world.elapsed() - begun)
        busy = await in_thread(look)
        yield Preparing(worker.name)
        with Strings(folder / "texts") as texts:
            surveyor = _Surveyor(order, worker, texts, world)
            identity = await surveyor.prepare()
            async for rows in surveyor.sample(wanted):
                yield Sampling(rows)
            # The output is written by reading the input once more.
            around = Span(2 * read + surveyor.loading)
            found = await in_thread(surveyor.survey, intake, identity, around)
            yield replace(found, busy=busy, forecast=found.forecast.on_a_busy_machine(busy))


def _take_in(order: Order, files: Sequence[Path], folder: Path) -> Generator[IntakeStep | Intake]:
    source = Files(files, order.reading)
    if not source.columns:
        raise NothingToDo(f"{shown_path(files[0])} has no rows", hint="name a file with rows")
    texts = Texts(order.spec, source.columns)
    yield from take_in(source, texts, folder, merges=not order.spec.samples)


class _Surveyor:
    """Computes a sample, and holds what was measured."""

    def __init__(self, order: Order, worker: Worker, texts: Strings, world: World) -> None:
        self._order, self._worker, self._texts, self._world = order, worker, texts, world
        self._batch = sizes_of(order.spec.task).batch
        self._measured: list[Measured] = []
        self._answers: list[Answer] = []
        self._letters = 0
        self._prefix = 0.0
        self._before = Spent()
        self.loading = Span(0)

    async def prepare(self) -> Identity:
        """Load the model, and see how much stands before a row."""
        begun = self._world.elapsed()
        identity = await self._worker.prepare(self._order.spec)
        self.loading = Span(self._world.elapsed() - begun)
        if isinstance(self._worker, Counts):
            one = Shard(0, 0, ("a",), 1)
            before = self._worker.spent
            await self._worker.compute(one)
            spent = self._worker.spent - before
            self._prefix = float(max(0, spent.asked - spent.computed))
        return identity

    async def sample(self, wanted: int) -> AsyncGenerator[int]:
        """Compute stretches until it is enough; yield the rows so far."""
        size = stretch_rows(self._batch, wanted, await self._trial())
        if isinstance(self._worker, Counts):
            self._before = self._worker.spent
        stretches = spread(self._texts.count, self._batch, size)
        running: deque[tuple[tuple[bytes, ...], asyncio.Task[Sequence[Answer]]]] = deque()
        last = self._world.elapsed()
        try:
            while not is_enough(self._measured, wanted):
                while len(running) < self._worker.places and (each := next(stretches, None)):
                    running.append(self._begin(each))
                if not running:
                    return
                texts, task = running[0]
                answers = await task
                running.popleft()
                now = self._world.elapsed()
                self._note(texts, answers, Span(now - last))
                last = now
                yield len(self._answers)
        finally:
            for _, task in running:
                task.cancel()
            if running:
                await asyncio.wait({task for _, task in running})

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

    def _note(self, texts: Sequence[bytes], answers: Sequence[Answer], span: Span) -> None:
        self._measured.append(Measured(len(texts), self._weigh(texts), span))
        self._answers += answers
        self._letters += sum(map(len, texts))

    def _weigh(self, texts: Sequence[bytes]) -> int:
        """Return what neighbours have to compute: with scored labels, they share beginnings."""
        return weigh_rows(texts) if isinstance(self._order.spec.task, LabelTask) else len(texts)

    def survey(self, intake: Intake, identity: Identity, around: Span) -> Survey:
        """Return what was found. Blocks: the whole list is weighed."""
        distinct, batch = intake.distinct, self._batch
        most = -(-_MOST_WEIGHED // batch)
        weights, rows, letters = [], 0, 0
        for stretch, _ in zip(spread(distinct, batch, batch), range(most), strict=False):
            texts = self._texts.stretch(stretch.first, stretch.rows)
            weights.append(self._weigh(texts))
            rows += len(texts)
            letters += sum(map(len, texts))
        weight = whole_weight(weights, rows, distinct)
        return Survey(
            order=self._order,
            intake=intake,
            identity=identity,
            sampled=len(self._answers),
            refused=sum(isinstance(each, Refused) for each in self._answers),
            forecast=predict(self._measured, weight, distinct),
            around=around,
            tokens=self._tokens(weight / distinct),
            letters=whole_weight([letters], rows, distinct),
        )

    def _tokens(self, weight: float) -> TokenCounts:
        """Return the tokens of a row, in a list whose rows weigh so much on average."""
        task = self._order.spec.task
        rows = len(self._answers)
        if isinstance(task, LabelTask):
            answer = 1 + sum(len(each.name) for each in task.labels) / len(task.labels) / _LETTERS
            return self._label_tokens(task, answer, weight)
        if isinstance(task, EmbedTask):
            own = self._letters / rows / _LETTERS
            return _counts(0.0, own, own, 0.0, is_counted=False)
        written = [each for each in self._answers if isinstance(each, Written)]
        prompt = sum(each.prompt_tokens for each in written) / max(1, len(written))
        output = sum(each.output_tokens for each in written) / max(1, len(written))
        shared = min(prompt, len(task.system) / _LETTERS)
        counts = _counts(shared, prompt - shared, prompt - shared, output, is_counted=True)
        return replace(counts, written=output)

    def _label_tokens(self, task: LabelTask, answer: float, weight: float) -> TokenCounts:
        rows, words = len(self._answers), wording_of(task)
        own = (self._letters / rows + len(words.suffix)) / _LETTERS
        shared = len(words.prefix) / _LETTERS
        spent = self._worker.spent - self._before if isinstance(self._worker, Counts) else Spent()
        if not spent.computed:
            return _counts(shared, own, own, answer, is_counted=False)
        seen = sum(each.weight for each in self._measured) / rows
        computed = spent.computed / rows * weight / seen
        if task.multi:  # a question for each label here, and one for all of them in a chat
            return _counts(shared, own, computed, answer, is_counted=False)
        own = max(0.0, spent.asked / rows - self._prefix)
        return _counts(self._prefix, own, computed, answer, is_counted=True)


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


def work_of(found: Survey, size: ModelSize) -> Work:
    """Return what the whole job asks for."""
    tokens, rows = found.tokens, found.intake.distinct
    return Work(
        requests=rows,
        shared=round(tokens.shared),
        own=round(tokens.own * rows),
        answers=round(tokens.answer * rows),
        computed=round(tokens.shared + tokens.computed * rows),
        written=round(tokens.written * rows),
        parameters=size.parameters,
        weights=size.weights,
        result=Size(found.letters + _ANSWER_BYTES * found.intake.rows),
    )


def bids_of(found: Survey, size: ModelSize, prices: PriceList) -> Bids:
    """Price the job everywhere. Cards need the model's size, hosted models a task of words."""
    work = work_of(found, size)
    span = found.total.span
    is_worded = not isinstance(found.order.spec.task, EmbedTask)
    return Bids(
        span,
        cost_here(span, prices.here),
        tuple(cost_on_card(work, card) for card in prices.cards) if size.parameters else (),
        tuple(cost_hosted(work, model) for model in prices.hosted) if is_worded else (),
    )

"""The cascade within a job: its lessons are a small job, then it stands before the workers.

The lessons have a folder in the job's, with shards and parts like any job, so whatever interrupts
them costs only what was in flight. What was learnt is written once, into the job's folder, before
the first shard of the job itself, and decides from then on which rows the model is spared. A run
that finds the file goes on with it; one that does not learns the same again.
"""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import numpy as np

from puna.batch.cascade import Aim, Cascade, Verdict, choose_lessons, learn, lesson_count
from puna.batch.checkpoint import Checkpoint
from puna.batch.events import Event, Remark, Tally
from puna.batch.jobs import earlier_span
from puna.batch.manifest import Manifest
from puna.batch.ngrams import BadClassifier, Guess
from puna.batch.outcome import ABSTAINED, Labelled, pack, unpack
from puna.batch.run import Ready, Run
from puna.batch.shards import Shard
from puna.batch.spec import LabelTask, Spec
from puna.batch.strings import StringsWriter
from puna.batch.workers.worker import Answer, Identity, Known, Worker
from puna.library.threads import in_thread
from puna.units import Span
from puna.world import World

_FOLDER = "lessons"
_FILE = "cascade"


@dataclass(frozen=True, slots=True)
class Taught:
    """A cascade, and the lessons' outcomes, which need not be computed again."""

    cascade: Cascade
    outcomes: Mapping[int, bytes]
    """By the number of the row among all distinct rows."""


def cascade_of(manifest: Manifest) -> LabelTask | None:
    """Return the task of a job that has a cascade."""
    task = manifest.order.spec.task
    return task if isinstance(task, LabelTask) and task.cascade is not None else None


class Lessons:
    """The lessons of one job, and what comes of them."""

    def __init__(self, checkpoint: Checkpoint, manifest: Manifest, world: World) -> None:
        self._checkpoint, self._world = checkpoint, world
        task = cascade_of(manifest)
        assert task is not None  # noqa: S101 - the caller has looked
        assert task.cascade is not None  # noqa: S101 - the same
        rows, seed = manifest.intake.distinct, manifest.order.spec.seed
        self._aim = Aim(
            labels=len(task.labels), target=task.cascade, least=task.abstain_below, seed=seed
        )
        self._numbers = choose_lessons(rows, lesson_count(rows, task.cascade), seed)
        count = len(self._numbers)
        intake = replace(manifest.intake, rows=count, distinct=count, bad=0)
        self._manifest = replace(manifest, intake=intake, shard_rows=manifest.batch_rows)
        self._own = _LessonFolder(checkpoint)

    async def learn(self, first: Ready, others: Sequence[Worker]) -> AsyncGenerator[Event | Taught]:
        """Have the lessons labelled where they are not, learn from them, and yield that, last."""
        if not self._numbers:
            why = "there are too few rows to learn from and still save some"
            verdict = Verdict(target=self._aim.target, why=why)
            yield Remark(verdict.words)
            yield Taught(Cascade(None, verdict), {})
            return
        done = await in_thread(self._prepare)
        if len(done) < self._manifest.shards:
            yield Remark(f"the model labels {len(self._numbers)} rows for the classifier to learn")
            async with aclosing(self._labelled(done, first, others)) as remarks:
                async for remark in remarks:
                    yield remark
        taught = await in_thread(self._taught)
        yield Remark(taught.cascade.verdict.words)
        yield taught

    async def _labelled(
        self, done: dict[int, int], first: Ready, others: Sequence[Worker]
    ) -> AsyncGenerator[Remark]:
        """Have the lessons labelled, and say a tenth after a tenth how far that is."""
        earlier = earlier_span(self._own)
        run = Run(self._own, self._manifest, self._world, done=done, earlier=earlier)
        said = 0
        async with aclosing(run.work(first, others)) as events:
            async for event in events:
                if isinstance(event, Remark):
                    yield event
                elif (
                    isinstance(event, Tally) and event.rows and 10 * event.done // event.rows > said
                ):
                    said = 10 * event.done // event.rows
                    yield Remark(f"lessons: {event.done} of {event.rows} rows are labelled")

    def _prepare(self) -> dict[int, int]:
        """Write the lessons' texts, and return which of their shards are done."""
        self._own.open()
        writer = StringsWriter(self._own.folder / "texts")
        with self._checkpoint.texts() as texts:
            writer.extend(texts.gather(np.array(self._numbers, np.int64)))
        writer.finish()
        whole = self._own.whole_parts(self._manifest.shards, self._manifest.digest)
        return {number: 0 for number, _ in whole}

    def _taught(self) -> Taught:
        outcomes = [
            each
            for number in range(self._manifest.shards)
            for each in self._own.part(number, self._manifest.digest) or []
        ]
        return Taught(self._cascade(outcomes), dict(zip(self._numbers, outcomes, strict=True)))

    def _cascade(self, outcomes: Sequence[bytes]) -> Cascade:
        content = self._checkpoint.read(_FILE)
        if content is not None:
            try:
                return Cascade.from_bytes(content)
            except BadClassifier:
                pass  # learnt again from the same lessons, it is the same
        with self._own.texts() as texts:
            rows = [each.decode() for each in texts.stretch(0, texts.count)]
        cascade = learn(rows, [_label(each) for each in outcomes], self._aim)
        self._checkpoint.write(_FILE, cascade.to_bytes())
        return cascade


def lessons_span(checkpoint: Checkpoint) -> Span:
    """Return how long the lessons of a job were computed; nothing if it has none."""
    return earlier_span(_LessonFolder(checkpoint))


def read_verdict(checkpoint: Checkpoint) -> Verdict | None:
    """Return what a job's cascade may claim; None if it has none, or none yet."""
    content = checkpoint.read(_FILE)
    if content is None:
        return None
    try:
        return Verdict(**json.loads(content.partition(b"\n")[0]))
    except (ValueError, TypeError):
        return None


def _label(packed: bytes) -> int | None:
    outcome = unpack(packed)
    if isinstance(outcome, Labelled) and outcome.label != ABSTAINED:
        return outcome.label
    return None


class _LessonFolder(Checkpoint):
    """The lessons' own folder; a pause is said to the job."""

    def __init__(self, job: Checkpoint) -> None:
        super().__init__(job.folder / _FOLDER)
        self._job = job

    def open(self) -> None:
        self._parts.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self, name: str) -> bytes | None:
        return self._job.read(name) if name == "pause" else super().read(name)


class CascadeWorker:
    """A worker that is spared the rows which are known, and those that the classifier takes."""

    def __init__(self, worker: Worker, taught: Taught) -> None:
        self._worker, self._taught = worker, taught

    @property
    def name(self) -> str:
        """The worker's."""
        return self._worker.name

    @property
    def places(self) -> int:
        """The worker's."""
        return self._worker.places

    async def prepare(self, spec: Spec) -> Identity:
        """Prepare the worker."""
        return await self._worker.prepare(spec)

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        """Have the worker answer what is left of the shard, in the same batches always."""
        found = await in_thread(self._known, shard)
        left = tuple(
            text for text, answer in zip(shard.texts, found, strict=True) if answer is None
        )
        rest = Shard(shard.number, shard.first, left, shard.batch)
        answered = iter(await self._worker.compute(rest) if left else ())
        return [next(answered) if answer is None else answer for answer in found]

    def _known(self, shard: Shard) -> list[Answer | None]:
        guesses = self._taught.cascade.answers(shard.texts)
        outcomes = self._taught.outcomes
        return [
            Known(outcomes[number]) if number in outcomes else _guessed(guess)
            for number, guess in enumerate(guesses, shard.first)
        ]

    async def close(self) -> None:
        """Close the worker."""
        await self._worker.close()


def _guessed(guess: Guess | None) -> Known | None:
    if guess is None:
        return None
    return Known(pack(Labelled(guess.label, *guess.chances, is_guess=True)))

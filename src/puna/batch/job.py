"""One job from its input to its output, going on from wherever it was left.

Read, prepare, compute, write: each step finds what the steps before it left on the disk and does
what is missing, so running a job again is the same as never having been interrupted.
"""

import json
import shutil
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, TypeVar

from puna.batch.assemble import Written, bad_file_of, write_output
from puna.batch.checkpoint import Checkpoint
from puna.batch.columns import answer_columns
from puna.batch.events import Begun, Event, Finished, Preparing, Reading, Remark
from puna.batch.formats import shape_of_output
from puna.batch.intake import Intake, IntakeStep, take_in
from puna.batch.jobs import earlier_span, read_job, write_order
from puna.batch.lessons import CascadeWorker, Lessons, Taught, cascade_of
from puna.batch.manifest import (
    ChangedJob,
    Manifest,
    Order,
    changes,
    identity_changes,
    refuse_changes,
)
from puna.batch.outcome import count_refused
from puna.batch.reading import Files, digest_of_inputs, find_files
from puna.batch.room import LARGE, check_room, full_disks
from puna.batch.run import Ready, Run
from puna.batch.spec import Kind, LabelTask, Task
from puna.batch.story import note_spent
from puna.batch.texts import Texts
from puna.batch.workers.worker import (
    Counts,
    Spent,
    Worker,
    WorkerComing,
    WorkerGone,
)
from puna.errors import Conflict, Invalid, PunaError
from puna.library.disk import sync_file
from puna.library.threads import in_thread
from puna.models.regular_file import shown_path
from puna.units import Size, Span
from puna.version import __version__
from puna.world import World

_T = TypeVar("_T")


class NothingToDo(Invalid):
    """The input has no row that could be computed."""

    code = "nothing_to_do"


class OutputThere(Conflict):
    """The output is a file that somebody else made."""

    code = "output_there"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rows a shard has, and how many of them are computed together."""

    shard: int
    batch: int


@dataclass(slots=True)
class _Found:
    """The input: its files, their digest, and what was found in them once they were read."""

    files: tuple[Path, ...]
    digest: str
    intake: Intake | None


_SIZES = {
    Kind.LABELS: Sizes(255, 255),
    Kind.EMBED: Sizes(256, 64),
    Kind.PROMPT: Sizes(16, 16),
    Kind.SCHEMA: Sizes(16, 16),
}
_COPY = 2**20
_SPARED = 4
"""Times the rows of a shard where a classifier takes some of them."""
_SHORT, _LONG = 8, 4
"""A job is cut into at least so many shards, unless they would grow beyond so many times."""
_MOST_SHARDS = 50_000
"""Beyond it shards grow: a folder of a million files is a burden."""


def sizes_of(task: Task) -> Sizes:
    """Return how the rows of a task are cut."""
    return _SIZES[task.kind]


def batches_of(sizes: Sizes, distinct: int) -> int:
    """Return how many batches a shard has: more in a long job, which loses little by one."""
    usual = sizes.shard // sizes.batch
    grown = distinct // _SHORT // sizes.batch
    most = -(-distinct // (_MOST_SHARDS * sizes.batch))
    return max(usual, min(grown, _LONG * usual), most)


class Job:
    """A job whose folder is locked by this process."""

    def __init__(
        self, checkpoint: Checkpoint, order: Order, world: World, piped: BinaryIO | None = None
    ) -> None:
        """Take an order; `piped` is what stands for its input, and is copied into the folder."""
        self._checkpoint, self._order, self._world = checkpoint, order, world
        self._piped = piped
        self._is_anew = False

    async def run(self, workers: Sequence[Worker], *, anew: bool) -> AsyncGenerator[Event]:
        """Do what is left, and yield how far it is. Closing it pauses the job.

        Raises `ChangedJob`, `DamagedJob`, `NoInput`, `NoRoom`, and what reading and workers raise.
        """
        with full_disks(self._checkpoint.folder, Path(self._order.output).parent):
            async with aclosing(self._steps(workers, anew=anew)) as events:
                async for event in events:
                    yield event

    async def _steps(self, workers: Sequence[Worker], *, anew: bool) -> AsyncGenerator[Event]:
        checkpoint = self._checkpoint
        self._is_anew = anew
        if anew:
            await in_thread(checkpoint.clear)
        checkpoint.remove("pause")
        if self._piped is not None:
            await in_thread(self._copy_piped, self._piped)
        files = find_files(self._order.inputs, self._left_out())
        digest = await in_thread(digest_of_inputs, files)
        _, manifest = read_job(checkpoint)
        if manifest is not None:
            refuse_changes(changes(manifest, self._order, digest), self._order.output)
            if finished := self._finished(manifest):
                yield finished
                return
        self._check_output(manifest)
        checkpoint.remove("finished.json")
        found = _Found(files, digest, manifest.intake if manifest else None)
        if found.intake is None:
            async with aclosing(self._read(found)) as events:
                async for event in events:
                    yield event
        done = await in_thread(self._done, manifest) if manifest else {}
        if manifest is None or len(done) < manifest.shards:
            async with aclosing(self._work(workers, found, manifest, done)) as events:
                async for event in events:
                    yield event
            _, manifest = read_job(checkpoint)
        assert manifest is not None  # noqa: S101 - written before anything is computed
        async with aclosing(self._write(manifest)) as events:
            async for event in events:
                yield event

    async def _work(
        self,
        workers: Sequence[Worker],
        found: _Found,
        manifest: Manifest | None,
        done: dict[int, int],
    ) -> AsyncGenerator[Event]:
        """Wait for the first worker, write the manifest if there is none, and compute."""
        yield Preparing(", ".join(each.name for each in workers))
        ready: Ready | None = None
        async with aclosing(self._first_ready(workers, manifest)) as waiting:
            async for each in waiting:
                if isinstance(each, Ready):
                    ready = each
                else:
                    yield each
        assert ready is not None  # noqa: S101 - it is what the waiting ends with
        manifest = manifest or self._begin(found, ready)
        check_room(self._checkpoint.folder, manifest, len(done))
        others = [each for each in workers if each is not ready.worker]
        async with aclosing(self._compute(manifest, ready, others, done)) as events:
            async for event in events:
                yield event

    async def _write(self, manifest: Manifest) -> AsyncGenerator[Event]:
        """Write the output, and say what stays on the disk."""
        async with aclosing(in_steps(write_output(self._checkpoint, manifest))) as steps:
            async for step in steps:
                if not isinstance(step, Written):
                    yield step
                    continue
                finished = self._finish(step)
                for remark in await in_thread(self._kept):
                    yield remark
                yield finished

    async def _read(self, found: _Found) -> AsyncGenerator[Event]:
        """Take the input in, and note what was found."""
        write_order(self._checkpoint, self._order)
        async with aclosing(in_steps(self._take_in(found.files))) as steps:
            async for step in steps:
                if isinstance(step, IntakeStep):
                    yield Reading(step.rows)
                else:
                    found.intake = step

    def _copy_piped(self, piped: BinaryIO) -> None:
        """Copy what is piped in; where the job has its rows already, they must be the same."""
        path = Path(self._order.inputs[0])
        draft = path.with_name(f".{path.name}.new")
        with draft.open("wb") as file:
            shutil.copyfileobj(piped, file, _COPY)
            sync_file(file)
        is_new = not path.exists() or self._checkpoint.read("manifest.json") is None
        if is_new:
            draft.replace(path)
            return
        is_same = digest_of_inputs([draft]) == digest_of_inputs([path])
        draft.unlink()
        refuse_changes(() if is_same else ("the input",), self._order.output)

    def _check_output(self, manifest: Manifest | None) -> None:
        """Raise `OutputThere` for a file that no job wrote: nobody asked to replace it."""
        path = Path(self._order.output)
        if manifest or self._is_anew or not path.exists() or not path.stat().st_size:
            return
        raise OutputThere(
            f"the output {shown_path(path)} is there already, and is not of this job",
            hint="name another output, or say --anew to replace it",
        )

    def _left_out(self) -> tuple[Path, ...]:
        output = Path(self._order.output)
        return (output, bad_file_of(output))

    def _finished(self, manifest: Manifest) -> Finished | None:
        """Return the end of the job, if it has one and its output is still there."""
        content = self._checkpoint.read("finished.json")
        if content is None or not Path(manifest.order.output).exists():
            return None
        found = json.loads(content)
        return Finished(
            manifest.order.output, found["rows"], found["bad"], found["bad_file"], was_done=True
        )

    def _take_in(self, files: Sequence[Path]) -> Generator[IntakeStep | Intake]:
        """Read the input. Raises `NothingToDo`."""
        spec = self._order.spec
        shape_of_output(Path(self._order.output))
        source = Files(files, self._order.reading)
        if not source.columns:
            raise NothingToDo(f"{shown_path(files[0])} has no rows", hint="name a file with rows")
        texts = Texts(spec, source.columns)
        yield from take_in(source, texts, self._checkpoint.folder, merges=not spec.samples)

    async def _first_ready(
        self, workers: Sequence[Worker], manifest: Manifest | None
    ) -> AsyncGenerator[Remark | Ready]:
        """Prepare the first worker that is there, and yield it, last; the others may come later.

        Those that are on their way are waited for. Where a job goes on, one that computes as the
        job began goes before one that does not.
        """
        said: dict[str, str] = {}
        while True:
            why: PunaError | None = None
            coming: WorkerComing | None = None
            for worker in workers:
                try:
                    yield await self._prepare(worker, manifest)
                except WorkerComing as error:
                    coming = error
                    if said.get(worker.name) != error.message:
                        said[worker.name] = error.message
                        yield Remark(f"{worker.name}: {error.message}")
                except (WorkerGone, ChangedJob) as error:
                    why = why or error
                else:
                    return
            if coming is None:
                raise why or NothingToDo("no worker was given")
            await self._world.wait(Span.of(seconds=coming.retry_after_s))

    async def _prepare(self, worker: Worker, manifest: Manifest | None) -> Ready:
        spec = self._order.spec
        if manifest is None:
            return Ready(worker, await worker.prepare(spec))
        begun = manifest.identity
        identity = await worker.prepare(replace(spec, path=begun.path))
        refuse_changes(identity_changes(begun, identity), self._order.output)
        return Ready(worker, identity)

    def _begin(self, found: _Found, ready: Ready) -> Manifest:
        """Write the manifest: from here on nothing may change."""
        intake = found.intake
        assert intake is not None  # noqa: S101 - the input was read
        task = self._order.spec.task
        sizes = sizes_of(task)
        batches = batches_of(sizes, intake.distinct)
        if isinstance(task, LabelTask) and task.cascade is not None:
            batches *= _SPARED  # so that what a classifier leaves still fills batches
        manifest = Manifest(
            order=self._order,
            files=tuple(map(str, found.files)),
            input_digest=found.digest,
            intake=intake,
            identity=ready.identity,
            shard_rows=batches * sizes.batch,
            batch_rows=sizes.batch,
            puna=__version__,
            begun=self._world.now().isoformat(timespec="seconds"),
        )
        self._checkpoint.write("manifest.json", manifest.to_json())
        return manifest

    async def _compute(
        self, manifest: Manifest, first: Ready, others: Sequence[Worker], done: dict[int, int]
    ) -> AsyncGenerator[Event]:
        if cascade_of(manifest):
            lessons = Lessons(self._checkpoint, manifest, self._world)
            async with aclosing(lessons.learn(first, others)) as steps:
                async for step in steps:
                    if isinstance(step, Taught):
                        first = Ready(CascadeWorker(first.worker, step), first.identity)
                        others = [CascadeWorker(each, step) for each in others]
                    else:
                        yield step
        run = Run(
            self._checkpoint,
            manifest,
            self._world,
            done=done,
            earlier=earlier_span(self._checkpoint),
        )
        for column in answer_columns(manifest.order.spec.task, manifest.intake.columns):
            if column.name != column.source:
                yield Remark(
                    f'the input has a column "{column.source}"; the answer is in "{column.name}"'
                )
        yield Begun(manifest, run.tally)
        before = _spent(first.worker)
        async with aclosing(run.work(first, others)) as events:
            async for event in events:
                yield event
        if not others:
            fresh, spent = run.tally.fresh, _spent(first.worker) - before
            await in_thread(note_spent, self._checkpoint, fresh, spent)

    def _done(self, manifest: Manifest) -> dict[int, int]:
        """Return the shards that are done, each with how many of its rows were refused."""
        whole = self._checkpoint.whole_parts(manifest.shards, manifest.digest)
        return {number: count_refused(outcomes) for number, outcomes in whole}

    def _kept(self) -> list[Remark]:
        """Say what a large job keeps on the disk, now that it is done."""
        folder = self._checkpoint.folder
        size = Size(sum(each.stat().st_size for each in folder.rglob("*")))
        words = f"the job keeps {size} on the disk; `puna batch cancel {folder.name}` frees it"
        return [Remark(words)] if size > LARGE else []

    def _finish(self, written: Written) -> Finished:
        output = self._order.output
        record = {"rows": written.rows, "bad": written.bad, "bad_file": written.bad_file}
        self._checkpoint.write("finished.json", json.dumps(record).encode())
        return Finished(output, written.rows, written.bad, written.bad_file)


def _spent(worker: Worker) -> Spent:
    return worker.spent if isinstance(worker, Counts) else Spent()


async def in_steps(steps: Generator[_T]) -> AsyncGenerator[_T]:
    """Take the steps of work that blocks, each in a thread; closing it ends the work."""
    end = object()
    try:
        while (step := await in_thread(next, steps, end)) is not end:
            yield step  # type: ignore[misc]
    finally:
        steps.close()

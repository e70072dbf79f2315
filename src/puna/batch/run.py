"""Compute the shards of a job: hand them to workers, keep what comes back, survive everything.

One task owns the ledger. A worker gets as many shards as it has places; what it answers is judged,
packed and written once. A worker that vanishes costs only its shards in flight: they are for
others, or for itself once it is back. A shard that takes worker after worker down is computed row
by row, until the row that does it is found and refused, so that one bad row never stops a job.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from puna.batch.checkpoint import Checkpoint
from puna.batch.events import Event, Remark, Tally
from puna.batch.ledger import MOST_ATTEMPTS, Lease, Ledger
from puna.batch.manifest import Manifest
from puna.batch.outcome import count_refused, keep
from puna.batch.shards import Shard
from puna.batch.strings import Strings
from puna.batch.workers.worker import (
    Answer,
    Identity,
    Refused,
    Worker,
    WorkerComing,
    WorkerGone,
    WorkerLost,
)
from puna.errors import Conflict, Failed
from puna.library.threads import in_thread
from puna.units import Span
from puna.world import World

_TICK = Span.of(seconds=1)
_ALONE = Span.of(minutes=10)
"""How long a job goes on while no worker gets anything done."""
_LONGEST_PAUSE = Span.of(minutes=1)
_PATIENCE = Span.of(minutes=1)
_SLOWER = 4
"""A shard is overdue at so many times what shards take."""
_ROW_ATTEMPTS = 2
_SICK = 3
"""If so many rows fail one after the other and none succeeds, the worker is to blame, not they."""


class OtherModel(Conflict):
    """A worker has another model than the job was begun with."""

    code = "other_model"


class Paused(Failed):
    """The job was stopped on demand; run it again to go on."""

    code = "paused"
    exit_code = 130


class WrongCount(Failed):
    """A worker does not answer each row."""

    code = "wrong_count"


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker that is prepared, and what it said of itself."""

    worker: Worker
    identity: Identity


class Run:
    """One run over the shards that are not done yet."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        manifest: Manifest,
        world: World,
        *,
        done: dict[int, int],
        earlier: Span = Span(0),  # noqa: B008 - a value
    ) -> None:
        """Go on where `done` says: shards, and how many of their rows were refused."""
        self._checkpoint, self._manifest, self._world = checkpoint, manifest, world
        self._spec = replace(manifest.order.spec, path=manifest.identity.path)
        self._job = manifest.digest
        self._texts: Strings | None = None
        self._ledger = Ledger(manifest.shards, done)
        self._failed = sum(done.values())
        self._rows_done = sum(self._size(shard) for shard in done)
        self._fresh = 0
        self._began = world.elapsed()
        self._earlier = earlier
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._shard_span = Span(0)
        self._usual: dict[str, Span] = {}
        """How long each worker takes for a shard."""
        self._paths: dict[str, str] = {}
        """The way in which each worker computes."""
        self._last_result = world.elapsed()
        self._lost: WorkerLost | None = None

    @property
    def tally(self) -> Tally:
        """How far it is."""
        return Tally(
            rows=self._manifest.intake.distinct,
            done=self._rows_done,
            failed=self._failed,
            fresh=self._fresh,
            span=Span(self._world.elapsed() - self._began),
            earlier=self._earlier,
            leases=len(self._ledger.leases),
        )

    async def work(self, first: Ready, others: Sequence[Worker]) -> AsyncGenerator[Event]:
        """Yield events until every shard is done. Closing it lets go of all shards in flight.

        Raises `Paused`, and what a worker raises that is no `WorkerGone`.
        """
        self._texts = self._checkpoint.texts()
        task = asyncio.create_task(self._all(first, others))
        try:
            while (event := await self._events.get()) is not None:
                yield event
            await task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})
            await self._report()
            self._texts.close()

    async def _all(self, first: Ready, others: Sequence[Worker]) -> None:
        self._note_path(first.worker, first.identity)
        work = [self._tend(first.worker, is_ready=True)]
        work += [self._tend(worker, is_ready=False) for worker in others]
        watch = asyncio.ensure_future(self._watch())
        tasks = {watch, *(asyncio.ensure_future(each) for each in work)}
        try:
            while not self._ledger.is_over:
                ended, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for each in ended:
                    each.result()
                if self._lost and not tasks - {watch} and not self._ledger.is_over:
                    raise self._lost
        finally:
            await _end(tasks)
            self._events.put_nowait(None)

    async def _watch(self) -> None:
        """Tell how far it is once a second, and end the run where a person says so."""
        while not self._ledger.is_over:
            await self._world.wait(_TICK)
            await self._report()
            if self._checkpoint.read("pause") is not None:
                raise Paused("the job is paused", hint="run it again to go on")

    async def _report(self) -> None:
        tally = self.tally
        self._events.put_nowait(tally)
        leases = [
            {"number": each.number, "shard": each.shard, "worker": each.worker}
            for each in self._ledger.leases
        ]
        found = {
            "rows": tally.rows,
            "done": tally.done,
            "failed": tally.failed,
            "seconds": round(Span(tally.span + tally.earlier).seconds, 3),
            "at": self._world.now().isoformat(timespec="seconds"),
            "leases": leases,
        }
        await in_thread(self._checkpoint.note, "progress.json", json.dumps(found).encode())

    async def _tend(self, worker: Worker, *, is_ready: bool) -> None:
        """Keep one worker busy until all is done, or until it is lost."""
        try:
            await self._keep_busy(worker, is_ready=is_ready)
        except WorkerLost as lost:
            self._lost = lost
            self._say(f"{worker.name} is lost: {lost.message}")

    async def _keep_busy(self, worker: Worker, *, is_ready: bool) -> None:
        running: set[asyncio.Task[WorkerGone | None]] = set()
        pause = Span(0)
        try:
            while not self._ledger.is_over:
                if not is_ready:
                    await self._prepare(worker)
                    is_ready = True
                while len(running) < worker.places and (lease := self._lease(worker)):
                    running.add(asyncio.create_task(self._compute(worker, lease)))
                ended = await self._next_end(running)
                running -= ended
                gone = next((error for each in ended if (error := each.result())), None)
                if ended and not gone:
                    pause = Span(0)
                if gone:
                    if pause == _LONGEST_PAUSE and self._is_stuck():
                        raise gone
                    self._say(f"{worker.name}: {gone.message}; its shards wait")
                    await self._world.wait(max(pause, Span.of(seconds=gone.retry_after_s)))
                    pause = min(max(_TICK, Span(2 * pause)), _LONGEST_PAUSE)
                    is_ready = False
        finally:
            await _end(running)

    async def _next_end(
        self, running: set[asyncio.Task[WorkerGone | None]]
    ) -> set[asyncio.Task[WorkerGone | None]]:
        """Wait until a shard ends, or for a moment, since shards of others may become free."""
        tick = asyncio.ensure_future(self._world.wait(_TICK))
        try:
            ended, _ = await asyncio.wait({*running, tick}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tick.cancel()
        return running & ended

    async def _prepare(self, worker: Worker) -> None:
        """Make a worker ready, however long it is away. Raises `OtherModel`."""
        pause, said = _TICK, ""
        while not self._ledger.is_over:
            try:
                identity = await worker.prepare(self._spec)
            except WorkerLost:
                raise
            except WorkerComing as coming:
                if coming.message != said:
                    said = coming.message
                    self._say(f"{worker.name}: {said}")
                self._last_result = self._world.elapsed()  # somebody is on the way: nothing hangs
                await self._world.wait(Span.of(seconds=coming.retry_after_s))
                continue
            except WorkerGone as gone:
                if self._is_stuck():
                    raise
                self._say(f"{worker.name}: {gone.message}; trying again in {pause}")
                await self._world.wait(max(pause, Span.of(seconds=gone.retry_after_s)))
                pause = min(Span(2 * pause), _LONGEST_PAUSE)
                continue
            check_same_model(self._manifest.identity, identity, worker.name)
            self._note_path(worker, identity)
            return

    def _note_path(self, worker: Worker, identity: Identity) -> None:
        """Keep the way in which a worker computes, and say where it is not the job's."""
        path = self._manifest.identity.path
        if identity.path != path and self._paths.get(worker.name) != identity.path:
            self._say(
                f"{worker.name} computes by {identity.path or 'a way that it does not tell'}, the"
                f" job began by {path or 'one that was not told'}: its answers may differ"
                " where it is close; timeline.jsonl tells whose rows are whose"
            )
        self._paths[worker.name] = identity.path

    def _is_stuck(self) -> bool:
        """Tell whether nobody computes, and nothing has been computed for too long."""
        return not self._ledger.leases and self._world.elapsed() - self._last_result > _ALONE

    def _lease(self, worker: Worker) -> Lease | None:
        patience = max(_PATIENCE, Span(_SLOWER * self._shard_span))
        return self._ledger.lease(worker.name, self._world.elapsed(), patience, self._usual)

    async def _compute(self, worker: Worker, lease: Lease) -> WorkerGone | None:
        """Compute one shard; return the error if the worker is gone."""
        try:
            shard = await in_thread(self._shard, lease.shard)
            compute = self._one_by_one if lease.attempt > MOST_ATTEMPTS else _whole
            answers = await compute(worker, shard)
        except WorkerGone as gone:
            self._ledger.give_back(lease, counts=True)
            return gone
        except BaseException:
            self._ledger.give_back(lease, counts=False)
            raise
        await self._keep(lease, shard, answers)
        return None

    async def _keep(self, lease: Lease, shard: Shard, answers: Sequence[Answer]) -> None:
        if len(answers) != len(shard.texts):
            raise WrongCount(
                f"{lease.worker} gave {len(answers)} answers for {len(shard.texts)} rows"
            )
        if not self._ledger.bring(lease):  # another was faster
            return
        refused = await in_thread(self._write, shard.number, answers)
        if not self._ledger.finish(lease):
            return
        now = self._world.elapsed()
        self._last_result = now
        span = Span(now - lease.begun)
        self._shard_span = Span(max(self._shard_span // 2, span))
        self._usual[lease.worker] = Span((self._usual.get(lease.worker, span) + span) // 2)
        self._fresh += len(shard.texts)
        self._rows_done += len(shard.texts)
        self._failed += refused
        self._events.put_nowait(self.tally)
        line = {
            "at": self._world.now().isoformat(timespec="milliseconds"),
            "shard": shard.number,
            "rows": len(shard.texts),
            "worker": lease.worker,
            "worked": round(Span(self.tally.span + self._earlier).seconds, 3),
            "path": self._paths.get(lease.worker, ""),
            "seconds": round(span.seconds, 3),
        }
        await in_thread(self._checkpoint.append, "timeline.jsonl", json.dumps(line).encode())

    def _write(self, shard: int, answers: Sequence[Answer]) -> int:
        """Write what is kept of a shard's answers, and return how many are refusals."""
        outcomes = keep(self._spec.task, answers)
        self._checkpoint.put_part(shard, outcomes, self._job)
        return count_refused(outcomes)

    async def _one_by_one(self, worker: Worker, shard: Shard) -> list[Answer]:
        """Compute a shard that took workers down, row by row, and refuse the row that does it."""
        self._say(f"shard {shard.number} took {MOST_ATTEMPTS} workers down; its rows go one by one")
        answers: list[Answer] = []
        for place, text in enumerate(shard.texts):
            row = Shard(shard.number, shard.first + place, (text,), 1)
            answers += await self._row(worker, row)
            if len(answers) == _SICK and all(isinstance(each, _Fatal) for each in answers):
                raise WorkerGone("it falls over at every row")
        return [Refused(each.reason) if isinstance(each, _Fatal) else each for each in answers]

    async def _row(self, worker: Worker, row: Shard) -> Sequence[Answer]:
        for _ in range(_ROW_ATTEMPTS):
            try:
                return await worker.compute(row)
            except WorkerGone as error:
                gone = error
                await self._world.wait(Span.of(seconds=gone.retry_after_s))
                await self._prepare(worker)
        return [_Fatal(f"the model ended {_ROW_ATTEMPTS} times at it: {gone.message}")]

    def _shard(self, number: int) -> Shard:
        assert self._texts is not None  # noqa: S101 - open while it works
        rows = self._manifest.shard_rows
        texts = tuple(each.decode() for each in self._texts.stretch(number * rows, rows))
        return Shard(number, number * rows, texts, self._manifest.batch_rows)

    def _size(self, shard: int) -> int:
        rows = self._manifest.shard_rows
        return min(rows, self._manifest.intake.distinct - shard * rows)

    def _say(self, text: str) -> None:
        self._events.put_nowait(Remark(text))


class _Fatal(Refused):
    """A row at which the worker fell over whenever it tried."""


async def _whole(worker: Worker, shard: Shard) -> Sequence[Answer]:
    return await worker.compute(shard)


def check_same_model(begun: Identity, found: Identity, worker: str) -> None:
    """Raise `OtherModel` if a worker's answers would be those of another model."""
    if begun.model_digest and found.model_digest and begun.model_digest != found.model_digest:
        raise OtherModel(
            f"{worker} has another model: {found.model_digest[:12]}, not {begun.model_digest[:12]}",
            hint="give it the same model, or leave it out",
        )


async def _end(tasks: Collection[asyncio.Task[None] | asyncio.Task[WorkerGone | None]]) -> None:
    """Cancel tasks and wait for their ends."""
    for each in tasks:
        each.cancel()
    if tasks:
        await asyncio.wait(tasks)

"""All batches of a node: made, computed in the background, ended, and taken up after a crash.

One task owns them. It looks at every batch that is not over, does the next thing for it, and shares
out what others leave free of the model. What a client sees is on the disk before it is told, so a
node that is killed goes on at the next start where it was; only rows under way are computed again.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path

from puna.errors import Invalid, NotFound, PunaError, Unavailable
from puna.library.lock import Lock, try_lock
from puna.library.threads import in_thread
from puna.node.batches.batch import WINDOW, Batch, BatchState, LineError
from puna.node.batches.courtesy import given_up, places, shares
from puna.node.batches.lines import Scan, scan
from puna.node.batches.record import Records
from puna.node.batches.row import RowDesk
from puna.node.batches.run import Run
from puna.node.scheduler.crowd import Crowd
from puna.node.shelf import Filed, Label, Shelf
from puna.text import one_line
from puna.units import Span
from puna.world import World

_LOG = logging.getLogger("puna.batches")
_TICK = Span.of(ms=500)
_SYNC_EVERY = Span.of(seconds=2)
_RETRY = Span.of(seconds=30)
_MOST_OPEN = 500
_UNDONE = {
    BatchState.EXPIRED: (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    BatchState.CANCELLED: (
        "batch_cancelled",
        "This request was not executed because the batch was cancelled.",
    ),
}
PURPOSE = "batch"
_OUTPUT = "batch_output"


class NoSuchBatch(NotFound):
    """There is no batch of this id for this key."""

    code = "no_such_batch"


class BatchesElsewhere(Unavailable):
    """Another process computes the batches of this home folder."""

    code = "batches_elsewhere"


class TooManyBatches(Unavailable):
    """As many batches wait as may."""

    code = "too_many_batches"
    status = 429
    retry_after_s = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAsk:
    """A batch that somebody wants."""

    endpoint: str
    input_file: str
    owner: str
    metadata: dict[str, str] | None = None
    keeps: timedelta | None = None


class Batches:
    """The batches in a folder. Belongs to one event loop, and to one process at a time."""

    def __init__(self, folder: Path, shelf: Shelf, world: World) -> None:
        self._records = Records(folder)
        self._shelf = shelf
        self._world = world
        self._desk: RowDesk | None = None
        self._batches: dict[str, Batch] = {}
        self._runs: dict[str, Run] = {}
        self._slow: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, Span] = {}
        self._nudged = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._lock_fd = -1
        self._synced = Span(0)

    def answer_with(self, desk: RowDesk) -> None:
        """Say who answers rows; once, before anything else."""
        self._desk = desk

    async def resume(self) -> None:
        """Take up what a node before this one left. Without any batch it does nothing."""
        if not await in_thread(self._records.folder.exists):
            return
        try:
            await self._open()
            await in_thread(self._shelf.sweep)
        except BatchesElsewhere as error:
            _LOG.warning("%s", error.message)

    async def create(self, ask: BatchAsk) -> Batch:
        """Make a batch; it is checked and computed in the background."""
        await self._open()
        if sum(not each.is_over for each in self._batches.values()) >= _MOST_OPEN:
            raise TooManyBatches(
                f"{_MOST_OPEN} batches wait already", hint="wait for some to end, or cancel some"
            )
        now = self._world.now()
        batch = Batch(
            id=f"batch_{self._world.token()}",
            owner=ask.owner,
            endpoint=ask.endpoint,
            input_file=ask.input_file,
            created=now,
            expires=now + WINDOW,
            metadata=ask.metadata,
            keeps=ask.keeps,
        )
        await in_thread(self._shelf.sweep)
        await in_thread(self._lend, batch)
        await in_thread(self._records.write, batch, self._world.token())
        self._batches[batch.id] = batch
        self._nudge()
        return batch

    async def find(self, batch_id: str, owner: str) -> Batch:
        """Return a batch of this owner as it is now. Raises `NoSuchBatch`."""
        await self._open()
        batch = self._batches.get(batch_id)
        if batch is None or batch.owner != owner:
            raise NoSuchBatch(f"No batch found with id '{one_line(batch_id, 80)}'.")
        return self._as_is(batch)

    async def all_of(self, owner: str) -> list[Batch]:
        """Return the batches of an owner, oldest first."""
        if not await in_thread(self._records.folder.exists):
            return []
        await self._open()
        return [self._as_is(each) for each in self._batches.values() if each.owner == owner]

    async def cancel(self, batch_id: str, owner: str) -> Batch:
        """Stop a batch; what is done stays. Raises `NoSuchBatch` and `AlreadyOver`."""
        await self.find(batch_id, owner)
        now = self._world.now()
        batch = await self._change(batch_id, lambda current: current.cancelled(now))
        return self._as_is(batch)

    async def close(self) -> None:
        """Stop computing; the next start goes on from here."""
        tasks = [*self._slow.values(), *((self._owner,) if self._owner else ())]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for run in self._runs.values():
            await run.stop()
            run.close()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _as_is(self, batch: Batch) -> Batch:
        run = self._runs.get(batch.id)
        return batch if run is None else replace(batch, tally=run.journal.tally)

    async def _open(self) -> None:
        """Take the folder, read what is there and start the owner; once."""
        async with self._one_at_a_time:
            if self._owner is not None:
                return
            lock_fd = await in_thread(self._records.open_lock)
            if try_lock(lock_fd) is Lock.THEIRS:
                os.close(lock_fd)
                raise BatchesElsewhere(
                    "another puna with the same home folder computes its batches",
                    hint="ask that one, or give this node a PUNA_HOME of its own",
                )
            self._lock_fd = lock_fd
            found = await in_thread(self._records.read_all)
            self._batches = {each.id: each for each in found}
            self._owner = asyncio.create_task(self._own(), name="batches")

    def _lend(self, batch: Batch) -> None:
        filed = self._shelf.lend(batch.input_file, batch.owner, self._records.input(batch.id))
        if filed.purpose != PURPOSE:
            self._records.input(batch.id).unlink(missing_ok=True)
            raise Invalid(
                f"the file {filed.id} has the purpose '{filed.purpose}', and a batch needs"
                f" '{PURPOSE}'",
                hint=f"upload it with purpose={PURPOSE}",
            )

    async def _change(self, batch_id: str, change: Callable[[Batch], Batch]) -> Batch:
        """Change a batch as it is now: on the disk first, then here. Raises what `change` does."""
        async with self._one_at_a_time:
            batch = change(self._batches[batch_id])
            if batch is not self._batches[batch_id]:
                await in_thread(self._records.write, batch, self._world.token())
                self._batches[batch_id] = batch
                self._nudge()
            return batch

    # --- the owner -------------------------------------------------------------------------------

    def _nudge(self) -> None:
        self._nudged.set()

    async def _own(self) -> None:
        while True:
            self._nudged.clear()
            try:
                await self._turn()
            except Exception:  # noqa: BLE001 - the top of a turn: logged, and the next one comes
                _LOG.exception("a turn of the batches failed; the next comes in %s", _RETRY)
                await self._world.wait(_RETRY)
            await self._pause()

    async def _pause(self) -> None:
        """Wait until something happens, or, while there is work, for a moment."""
        waits: list[asyncio.Task[object]] = [asyncio.create_task(self._nudged.wait())]
        if any(not each.is_over for each in self._batches.values()):
            waits.append(asyncio.create_task(self._world.wait(_TICK)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def _turn(self) -> None:
        """Do the next thing for every batch that is not over, and share out the model."""
        for run in self._runs.values():
            run.collect()
        for batch in [each for each in self._batches.values() if not each.is_over]:
            await self._advance(batch)
        self._share_out()
        if self._world.elapsed() - self._synced > _SYNC_EVERY:
            self._synced = self._world.elapsed()
            for run in tuple(self._runs.values()):
                await in_thread(run.journal.sync)

    async def _advance(self, batch: Batch) -> None:
        if batch.id in self._slow or self._not_before.get(batch.id, 0) > self._world.elapsed():
            return
        match batch.state:
            case BatchState.VALIDATING:
                self._do(batch, self._validate)
            case BatchState.IN_PROGRESS:
                await self._advance_run(batch)
            case BatchState.CANCELLING:
                self._do(batch, self._end_cancelled)
            case BatchState.FINALIZING:
                self._do(batch, self._end_completed)

    async def _advance_run(self, batch: Batch) -> None:
        run = self._run_of(batch)
        if run.is_done:
            now = self._world.now()
            await self._change(batch.id, lambda current: _finalizing(current, now))
        elif self._world.now() >= batch.expires:
            self._do(batch, self._end_expired)
        elif self._desk is not None and not self._desk.is_welcome(batch.owner):
            now = self._world.now()
            await self._change(batch.id, lambda current: _locked_out(current, now))

    def _do(self, batch: Batch, work: Callable[[Batch], Coroutine[None, None, None]]) -> None:
        """Let something that takes longer go on beside the turns, one at a time for a batch."""

        async def doing() -> None:
            try:
                await work(batch)
            except (PunaError, OSError) as error:
                _LOG.warning("%s: %s; tried again in %s", batch.id, error, _RETRY)
                self._not_before[batch.id] = Span(self._world.elapsed() + _RETRY)

        def done(task: asyncio.Task[None]) -> None:
            self._slow.pop(batch.id, None)
            if not task.cancelled() and (error := task.exception()):
                _LOG.error("%s: unexpected", batch.id, exc_info=error)
                self._not_before[batch.id] = Span(self._world.elapsed() + _RETRY)
            self._nudge()

        self._slow[batch.id] = task = asyncio.create_task(doing(), name=batch.id)
        task.add_done_callback(done)

    async def _validate(self, batch: Batch) -> None:
        found = await in_thread(scan, self._records.input(batch.id), batch.endpoint)
        errors = found.errors or self._wrong_model(found)
        now = self._world.now()

        def checked(current: Batch) -> Batch:
            if current.state is not BatchState.VALIDATING:
                return current  # cancelled meanwhile
            if errors:
                return replace(current, errors=tuple(errors)).moved(BatchState.FAILED, now)
            tally = replace(current.tally, total=found.total)
            return replace(current, model=found.model, tally=tally).moved(
                BatchState.IN_PROGRESS, now
            )

        if (await self._change(batch.id, checked)).is_over:
            await in_thread(self._records.clear, batch.id)

    def _wrong_model(self, found: Scan) -> list[LineError]:
        if self._desk is None:
            return []
        try:
            self._desk.check_model(found.model)
        except PunaError as error:
            return [LineError("model_not_found", error.message, 1, "body.model")]
        return []

    def _run_of(self, batch: Batch) -> Run:
        if batch.id not in self._runs:
            if self._desk is None:
                raise RuntimeError("nobody answers rows")
            at = self._records.input(batch.id), self._records.journal(batch.id)
            self._runs[batch.id] = Run(batch, at, self._desk, self._world, self._nudge)
        return self._runs[batch.id]

    async def _end_completed(self, batch: Batch) -> None:
        await self._end(batch, BatchState.COMPLETED)

    async def _end_expired(self, batch: Batch) -> None:
        await self._end(batch, BatchState.EXPIRED)

    async def _end_cancelled(self, batch: Batch) -> None:
        await self._end(batch, BatchState.CANCELLED)

    async def _end(self, batch: Batch, state: BatchState) -> None:
        """Stop what is under way, write the files, and only then say that it is over."""
        result = batch
        if batch.tally.total:
            run = self._run_of(batch)
            await run.stop()
            if state in _UNDONE:
                await in_thread(run.leave_out, *_UNDONE[state])
            await in_thread(run.journal.sync)
            output, errors = await in_thread(self._write_files, batch, run)
            tally = run.journal.tally
            result = replace(batch, tally=tally, output_file=output, error_file=errors)
        now = self._world.now()

        def ended(current: Batch) -> Batch:
            # One that was cancelled while it was ended is ended once more.
            return result.moved(state, now) if current.state is batch.state else current

        if (await self._change(batch.id, ended)).is_over:
            if run_over := self._runs.pop(batch.id, None):
                run_over.close()
            await in_thread(self._records.clear, batch.id)

    def _write_files(self, batch: Batch, run: Run) -> tuple[str, str]:
        tally = run.journal.tally
        output = self._file(batch, run, "output") if tally.completed else None
        errors = self._file(batch, run, "error") if tally.failed else None
        return output.id if output else "", errors.id if errors else ""

    def _file(self, batch: Batch, run: Run, kind: str) -> Filed:
        """Write one file of results; written again after a crash, it is the same file."""
        digest = blake2b(f"{batch.id} {kind}".encode(), digest_size=12).hexdigest()
        label = Label(
            name=f"{batch.id}_{kind}.jsonl",
            purpose=_OUTPUT,
            owner=batch.owner,
            keeps=batch.keeps,
        )
        with self._shelf.receive(most=2**62) as incoming:
            run.journal.copy(incoming.write, good=kind == "output")
            return self._shelf.keep(incoming, label, file_id=f"file-{digest}")

    # --- sharing ---------------------------------------------------------------------------------

    def _share_out(self) -> None:
        """Let the batches of one model, the oldest's, have what others leave free of it."""
        active = [run for run in self._runs.values() if run.batch.id not in self._slow]
        active = [run for run in active if run.has_more or run.under_way]
        going = {each.id for each in self._batches.values() if each.state is BatchState.IN_PROGRESS}
        active = [run for run in active if run.batch.id in going]
        if not active or self._desk is None:
            return
        first = min(active, key=lambda run: run.batch.created).batch
        group = [run for run in active if _same_engine(run.batch, first)]
        crowd = Crowd()
        with suppress(PunaError):  # the model was removed: its rows will say so
            crowd = self._desk.crowd(first.model, first.endpoint)
        _give_up(group, given_up(crowd, sum(run.under_way for run in group)))
        for run, share in zip(group, shares(places(crowd), len(group)), strict=True):
            run.begin(share)


def _finalizing(current: Batch, now: datetime) -> Batch:
    is_running = current.state is BatchState.IN_PROGRESS
    return current.moved(BatchState.FINALIZING, now) if is_running else current


def _locked_out(current: Batch, now: datetime) -> Batch:
    if current.state is not BatchState.IN_PROGRESS:
        return current
    gone = LineError("key_revoked", "The key that made this batch opens nothing any more.")
    return replace(current, errors=(gone,)).cancelled(now)


def _same_engine(one: Batch, other: Batch) -> bool:
    is_embedding = [each.endpoint.endswith("/embeddings") for each in (one, other)]
    return one.model == other.model and is_embedding[0] == is_embedding[1]


def _give_up(group: list[Run], count: int) -> None:
    """Stop so many rows, of the youngest batches first."""
    for run in group[::-1]:
        stopped = min(count, run.under_way)
        run.give_up(stopped)
        count -= stopped

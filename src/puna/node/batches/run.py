"""A batch that is being computed: which rows are under way, and which are still to come.

Rows begin in the order of the input, and each is written down the moment that it is answered. A row
that is given up, for somebody who waits or because the node stops, is computed again from its
beginning later; one that is written down never is.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

from pydantic_core import to_json

from puna.node.batches.batch import Batch
from puna.node.batches.journal import Entry, Journal
from puna.node.batches.lines import Row, rows
from puna.node.batches.row import RowAsk, RowDesk, entry_of, left_out, wait_before
from puna.units import Span
from puna.world import World

_LOG = logging.getLogger("puna.batches")
_DISK_PAUSE = Span.of(seconds=10)


class Run:
    """The rows of one batch. Belongs to the task that owns all batches."""

    def __init__(
        self,
        batch: Batch,
        places: tuple[Path, Path],
        desk: RowDesk,
        world: World,
        nudge: Callable[[], None],
    ) -> None:
        source, journal = places
        self.batch = batch
        self.journal = Journal(journal, batch.tally.total)
        self._file = source.open("rb")
        self._desk = desk
        self._world = world
        self._nudge = nudge
        self._rows = rows(self._file, self.journal.is_done)
        self._next: Row | None = next(self._rows, None)
        self._returned: deque[Row] = deque()
        self._flight: dict[asyncio.Task[Entry], Row] = {}
        self._unwritten: deque[Entry] = deque()
        self._blocked_until = Span(0)

    @property
    def under_way(self) -> int:
        """How many rows are being computed."""
        return len(self._flight)

    @property
    def has_more(self) -> bool:
        """Whether a row waits to be begun."""
        is_blocked = self._unwritten and self._world.elapsed() < self._blocked_until
        return not is_blocked and bool(self._returned or self._next is not None)

    @property
    def is_done(self) -> bool:
        """Whether every row is written down."""
        return self.journal.tally.done == self.batch.tally.total

    def begin(self, most: int) -> None:
        """Begin rows until so many are under way."""
        while self.under_way < most and self.has_more:
            row = self._take()
            task = asyncio.create_task(self._answer(row), name=f"{self.batch.id} {row.number}")
            self._flight[task] = row
            task.add_done_callback(lambda _: self._nudge())

    def give_up(self, count: int) -> None:
        """Stop the rows that were begun last; they come again first."""
        for task in list(self._flight)[::-1][:count]:
            task.cancel()

    def collect(self) -> None:
        """Write down the rows that are answered."""
        for task in [each for each in self._flight if each.done()]:
            row = self._flight.pop(task)
            if task.cancelled():
                self._returned.appendleft(row)
            elif error := task.exception():
                _LOG.error("row %d of %s: %s", row.number, self.batch.id, error, exc_info=error)
                self._returned.append(row)
            else:
                self._unwritten.append(task.result())
        self._write_down()

    def leave_out(self, code: str, message: str) -> None:
        """Write down of every row that is left why it was not computed. Blocks."""
        self._file.seek(0)
        for row in rows(self._file, self.journal.is_done):
            self.journal.add(left_out(row, code, message, self._world.token()))

    async def stop(self) -> None:
        """Stop everything under way."""
        self.give_up(self.under_way)
        if self._flight:
            await asyncio.wait(self._flight)
        self.collect()

    def close(self) -> None:
        """Let go of the files."""
        self._file.close()
        self.journal.close()

    def _take(self) -> Row:
        if self._returned:
            return self._returned.popleft()
        row, self._next = self._next, next(self._rows, None)
        if row is None:
            raise ValueError("no row is left")
        return row

    async def _answer(self, row: Row) -> Entry:
        ask = RowAsk(self.batch.endpoint, to_json(row.body), self.batch.owner)
        tries = 0
        while True:
            reply = await self._desk.answer(ask)
            pause = wait_before(reply, tries)
            if pause is None:
                return entry_of(row, reply, self._world.token())
            tries += 1
            await self._world.wait(pause)

    def _write_down(self) -> None:
        """A disk that is full keeps the answers waiting here, and no more rows begin."""
        while self._unwritten:
            try:
                self.journal.add(self._unwritten[0])
            except OSError as error:
                _LOG.warning("%s cannot be written down: %s", self.batch.id, error.strerror)
                self._blocked_until = Span(self._world.elapsed() + _DISK_PAUSE)
                return
            self._unwritten.popleft()

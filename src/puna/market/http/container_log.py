"""What a pod's container writes, read through its host for as long as somebody follows it.

A host that cannot be reached is asked again at the next look, from the last line on, so that a
tunnel that breaks costs no line. A line's moment is kept as the host wrote it, to the nanosecond.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from puna.errors import PunaError
from puna.market.domain.loglines import Line, Source, apart
from puna.market.gateway.tunnels import Stream
from puna.wire.tunnel import MOST_KEPT, Ask, Kind, LogLine, read_frame

Question = Callable[[str, Ask], Awaitable[Stream]]
"""Asks the agent of a pod; raises `PunaError` where it cannot be asked."""
_OLD_S = 10.0
"""How long the lines that are there may take."""
_MOST_WAITING = 20_000
"""Lines that nobody has taken yet; the rest is asked for when they are."""


class ContainerLog:
    """One pod's container, followed by one reader."""

    def __init__(self, ask: Question, pod: str, since: datetime | None) -> None:
        self._ask = ask
        self._pod = pod
        self._since = since.isoformat() if since else ""
        self._waiting: list[tuple[datetime, str]] = []
        self._following: asyncio.Task[None] | None = None
        self.news = asyncio.Event()
        """Set when a line came."""

    async def old(self, tail: int) -> Sequence[Line]:
        """Return the lines that are there; none where the host cannot be asked."""
        ask = Ask(kind="logs", tail=tail, since=self._since)
        try:
            async with asyncio.timeout(_OLD_S):
                await self._read(ask)
        except (PunaError, TimeoutError):
            pass  # it is asked again when it is followed
        return self.take()

    def follow(self) -> None:
        """Go on reading from the last line, unless it is being done."""
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())

    def take(self) -> Sequence[Line]:
        """Return the lines that came since the last call."""
        found, self._waiting = self._waiting, []
        self.news.clear()
        return apart(Source.CONTAINER, found)

    async def close(self) -> None:
        """Stop reading."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})

    async def _follow(self) -> None:
        ask = Ask(kind="logs", tail=MOST_KEPT, since=self._since, follow=True)
        try:
            await self._read(ask)
        except PunaError:
            return  # the next look asks again

    async def _read(self, ask: Ask) -> None:
        stream = await self._ask(self._pod, ask)
        try:
            while len(self._waiting) < _MOST_WAITING:
                kind, payload = await read_frame(stream.reader)
                if kind is Kind.LINE:
                    self._note(LogLine.model_validate_json(payload))
        except (EOFError, OSError, ValueError):
            return  # its end, or the tunnel's
        finally:
            stream.close()

    def _note(self, line: LogLine) -> None:
        if line.at and line.at == self._since:
            return  # the last one again, from a host that counts from it and not from after it
        self._since = line.at or self._since
        if not self._since:
            return
        at = datetime.fromisoformat(self._since)
        self._waiting.append((at if at.tzinfo else at.replace(tzinfo=UTC), line.text))
        self.news.set()


@asynccontextmanager
async def container_log(
    ask: Question, pod: str, since: datetime | None
) -> AsyncIterator[ContainerLog]:
    """Yield the log of a pod's container, which is read no further after the block."""
    log = ContainerLog(ask, pod, since)
    try:
        yield log
    finally:
        await log.close()

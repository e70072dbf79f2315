"""`GET /v2/pods/{id}/logs`: what happened to a pod, as a stream of events that goes on.

The stream begins with the last lines, goes on while the pod does, and ends when it is stopped or
terminated. A client that was cut off sends the id of the last event it has, and misses nothing.
Nothing of the database is held between two looks.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query
from pydantic import AwareDatetime, BeforeValidator
from starlette.responses import Response, StreamingResponse

from puna.market.actions.logs import kept_log
from puna.market.actions.renting import NoSuchPod, must_have
from puna.market.bells import wait_for_any
from puna.market.db import pods as db
from puna.market.db.accounts import Caller
from puna.market.db.database import Transaction
from puna.market.domain.loglines import Line, Source, apart
from puna.market.domain.pods import Status
from puna.market.http.auth import Renter, ThisGateway, ThisMarket, reading
from puna.market.http.container_log import Question, container_log
from puna.market.http.ids import Id
from puna.market.market import Market
from puna.units import Span
from puna.wire.runpod_rest import LogLine

router = APIRouter(prefix="/v2/pods", tags=["pods"])
MOST = 5000
LOOK_EVERY = Span.of(seconds=1)
_LOOKS_A_SIGN = 15
"""After so many looks without a line a comment is sent, so that nothing between hangs up."""
_SIGN = b": still here\n\n"
_LATE = timedelta(seconds=5)
"""A line is said in a transaction that may end after one that says a later line."""
_OVER = frozenset({Status.EXITED, Status.TERMINATED, Status.ERROR})


def _parts(sent: object) -> object:
    """Take commas between words, as RunPod writes arrays in addresses."""
    words = sent if isinstance(sent, list) else [sent]
    return [part.strip() for word in words for part in str(word).split(",") if part.strip()]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which lines. `last` is the id of the last line that is known, and wins over `since`."""

    source: Annotated[
        list[Literal["container", "system"]] | None, BeforeValidator(_parts), Query()
    ] = None
    tail: Annotated[int, Query(ge=0, le=MOST)] = 100
    since: Annotated[AwareDatetime | None, Query()] = None
    last: Annotated[AwareDatetime | None, Header(alias="Last-Event-ID")] = None

    @property
    def start(self) -> datetime | None:
        """From when on lines are wanted; None for the last ones."""
        return self.last or self.since


@router.get("/{pod}/logs", response_class=StreamingResponse)
async def logs(
    pod: Id,
    market: ThisMarket,
    gateway: ThisGateway,
    caller: Renter,
    asked: Annotated[Asked, Depends()],
) -> Response:
    """Follow a pod's logs as server-sent events."""
    async with reading(market) as tx:
        await must_have(tx, pod, caller.account.id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    follower = Follower(pod=pod, caller=caller, asked=asked)
    return StreamingResponse(
        events(market, follower, gateway.visits.ask),
        media_type="text/event-stream",
        headers=headers,
    )


async def events(
    market: Market, follower: "Follower", ask: Question
) -> AsyncGenerator[bytes, None]:
    """Yield events until the pod is over or the market ends."""
    async with container_log(ask, follower.pod, follower.asked.start) as container:
        looks = 0
        async with reading(market) as tx:
            await follower.look(tx)
            lines = await follower.old(tx)
        if follower.shows(Source.CONTAINER) and follower.is_running:
            lines = [*lines, *await container.old(follower.asked.tail)]
        lines = follower.chosen(lines)
        while True:
            for line in lines:
                yield event(line)
            if follower.is_over or market.bells.ending.is_set():
                return
            looks = 0 if lines else looks + 1
            if looks and looks % _LOOKS_A_SIGN == 0:
                yield _SIGN
            if follower.shows(Source.CONTAINER) and follower.is_running:
                container.follow()
            await wait_for_any(market.world, LOOK_EVERY, market.bells.ending, container.news)
            async with reading(market) as tx:
                await follower.look(tx)
                lines = sorted([*await follower.news(tx), *container.take()])


@dataclass
class Follower:
    """Reads one pod's system log on from where it was."""

    pod: str
    caller: Caller
    asked: Asked
    _last: datetime | None = None
    _told: frozenset[datetime] = frozenset()

    status: Status = Status.PROVISIONING

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be said."""
        return self.status in _OVER

    @property
    def is_running(self) -> bool:
        """Whether there is a container that writes."""
        return self.status is Status.RUNNING

    def shows(self, source: Source) -> bool:
        """Tell whether lines of a source were asked for."""
        return not self.asked.source or str(source) in self.asked.source

    async def look(self, tx: Transaction) -> None:
        """See how the pod is; one that is not there any more is terminated."""
        try:
            found = await must_have(tx, self.pod, self.caller.account.id)
        except NoSuchPod:
            self.status = Status.TERMINATED
        else:
            self.status = found.state.status

    async def old(self, tx: Transaction) -> Sequence[Line]:
        """Return what the market said of the pod: all of it, or since the moment asked for.

        And what is kept of containers that have ended.
        """
        start = self.asked.start
        if start is None:
            said = await db.said(tx, self.pod, last=MOST)
        else:
            said = await db.said_since(tx, self.pod, start - _LATE, limit=MOST)
            self._last = start
        lines = apart(Source.SYSTEM, said)
        self._note(lines)
        kept = await kept_log(tx, self.pod) if self.shows(Source.CONTAINER) else []
        return [*(lines if self.shows(Source.SYSTEM) else ()), *kept]

    def chosen(self, lines: Sequence[Line]) -> Sequence[Line]:
        """Return those of the old lines that were asked for, in their order."""
        ordered, known, since = sorted(lines), self.asked.last, self.asked.since
        if known is not None:
            return [each for each in ordered if each.at > known]
        if since is not None:
            return [each for each in ordered if each.at >= since]
        return ordered[len(ordered) - min(self.asked.tail, len(ordered)) :]

    async def news(self, tx: Transaction) -> Sequence[Line]:
        """Return what the market said that was not returned yet."""
        said = await db.said_since(tx, self.pod, (self._last or _LONG_AGO) - _LATE)
        recent = apart(Source.SYSTEM, said)
        lines = [each for each in recent if each.at not in self._told]
        self._note(recent)
        return lines if self.shows(Source.SYSTEM) else []

    def _note(self, lines: Sequence[Line]) -> None:
        """Remember how far the log was read, and what of its end is known."""
        self._last = max([each.at for each in lines], default=self._last or _LONG_AGO)
        told = (*self._told, *(each.at for each in lines))
        self._told = frozenset(at for at in told if at >= self._last - 2 * _LATE)


_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def event(line: Line) -> bytes:
    """Write a line as one event."""
    told = LogLine(source=str(line.source), line=line.text, ts=line.stamp)
    return f"id: {line.stamp}\ndata: {told.model_dump_json()}\n\n".encode(errors="replace")

"""`GET /v2/pods/{id}/logs`: what happened to a pod, as a stream of events that goes on.

The stream begins with the last lines, goes on while the pod does, and ends when it is stopped or
terminated. A client that was cut off sends the id of the last event it has, and misses nothing.
Nothing of the database is held between two looks.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query
from pydantic import AwareDatetime, BeforeValidator
from starlette.responses import Response, StreamingResponse

from puna.errors import Unsupported
from puna.market.actions.renting import NoSuchPod, must_have
from puna.market.bells import wait_for_any
from puna.market.db import pods as db
from puna.market.db.accounts import Caller
from puna.market.db.database import Transaction
from puna.market.domain.loglines import Line, Source, apart
from puna.market.domain.pods import Status
from puna.market.http.auth import Renter, ThisMarket, reading
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


class NotKept(Unsupported):
    """This market does not have that log."""

    code = "not_offered"


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


@router.get("/{pod}/logs", response_class=StreamingResponse)
async def logs(
    pod: Id, market: ThisMarket, caller: Renter, asked: Annotated[Asked, Depends()]
) -> Response:
    """Follow a pod's logs as server-sent events."""
    if asked.source and set(asked.source) == {str(Source.CONTAINER)}:
        raise NotKept("the market does not have this log", hint="ask for source=system")
    async with reading(market) as tx:
        await must_have(tx, pod, caller.account.id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        events(market, Follower(pod=pod, caller=caller, asked=asked)),
        media_type="text/event-stream",
        headers=headers,
    )


async def events(market: Market, follower: "Follower") -> AsyncIterator[bytes]:
    """Yield events until the pod is over or the market ends."""
    looks = 0
    while True:
        async with reading(market) as tx:
            is_over = await follower.is_over(tx)
            lines = await follower.news(tx)
        for line in lines:
            yield event(line)
        if is_over or market.bells.ending.is_set():
            return
        looks = 0 if lines else looks + 1
        if looks and looks % _LOOKS_A_SIGN == 0:
            yield _SIGN
        await wait_for_any(market.world, LOOK_EVERY, market.bells.ending)


@dataclass
class Follower:
    """Reads one pod's system log on from where it was."""

    pod: str
    caller: Caller
    asked: Asked
    _last: datetime | None = None
    _told: frozenset[datetime] = frozenset()

    async def is_over(self, tx: Transaction) -> bool:
        """Tell whether nothing more will be said."""
        try:
            found = await must_have(tx, self.pod, self.caller.account.id)
        except NoSuchPod:
            return True
        return found.state.status in _OVER

    async def news(self, tx: Transaction) -> Sequence[Line]:
        """Return the lines that were not returned yet."""
        if self._last is None:
            return await self._begin(tx)
        said = await db.said_since(tx, self.pod, self._last - _LATE)
        recent = apart(Source.SYSTEM, said)
        lines = [each for each in recent if each.at not in self._told]
        self._note(recent)
        return lines

    async def _begin(self, tx: Transaction) -> Sequence[Line]:
        known, since = self.asked.last, self.asked.since
        start = known or since
        if start is None:
            said = await db.said(tx, self.pod, last=MOST)
            lines = apart(Source.SYSTEM, said)
            self._note(lines)
            return lines[len(lines) - min(self.asked.tail, len(lines)) :]
        said = await db.said_since(tx, self.pod, start - _LATE, limit=MOST)
        lines = apart(Source.SYSTEM, said)
        self._last = start
        self._note(lines)
        return [each for each in lines if each.at > start or (known is None and each.at == start)]

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

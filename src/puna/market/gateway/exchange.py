"""One request to a pod's port and its answer, moved piece by piece.

The head is written anew for the pod and for the client, bodies are framed anew. A client that sends
or reads nothing for too long is given up; a pod may take as long as it likes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus

from puna.errors import Invalid, PunaError
from puna.market.gateway.admission import Admitted
from puna.market.gateway.bounds import Bounds
from puna.market.gateway.client import ClientSide
from puna.market.gateway.crowd import address_of
from puna.market.gateway.flows import LAST_CHUNK, Inflow, TooLong, chunk
from puna.market.gateway.heads import (
    Answer,
    BadAnswer,
    Body,
    Framing,
    end_to_end,
    first_line,
    framing_headers,
    parse_answer,
    written,
)
from puna.market.gateway.logbook import Line
from puna.market.gateway.pump import BROKEN, pump
from puna.market.gateway.replies import for_the_client, forwarded, is_ours
from puna.market.gateway.upstream import Upstream, Upstreams

READS = frozenset({"GET", "HEAD", "OPTIONS"})
SWITCHED = 101
_UPGRADE = (("connection", "Upgrade"), ("upgrade", "websocket"))
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_MOST_INTERIM = 20


class SlowClient(Invalid):
    """A request, or the next piece of its body, did not come in time."""

    code = "too_slow"
    status = 408


class Exchange:
    """One request and its answer."""

    def __init__(
        self,
        line: Line,
        admitted: Admitted,
        client: ClientSide,
        inflow: Inflow,
        bounds: Bounds,
    ) -> None:
        self._request = line.request
        self._place = line.place
        self._admitted = admitted
        self._client = client
        self._inflow = inflow
        self._bounds = bounds
        self._upload: asyncio.Task[None] | None = None
        self.status = 0
        """What the client was answered; 0 before."""

    async def run(self, upstreams: Upstreams, scheme: str) -> bool:
        """Ask the pod and hand its answer on; tell whether the client's connection stays open."""
        request, route, port = self._request, self._admitted.route, self._admitted.port
        may_repeat = request.method in READS and request.body.framing is Framing.NONE
        upstream = await upstreams.take(route, port, surely_open=not may_repeat)
        is_whole = False
        try:
            head = self._head(scheme)
            upstream.stream.writer.write(head)
            self._begin_upload(upstream)
            answer = await self._next_answer(upstream)
            if answer is None and may_repeat and not upstream.is_fresh:
                upstream = await upstreams.renew(upstream, route)
                upstream.stream.writer.write(head)
                answer = await self._next_answer(upstream)
            if answer is None:
                raise BadAnswer("the pod broke off before it answered")
            if answer.status == SWITCHED:
                await self._switch(answer, upstream)
                return False
            keeps = await self._hand_on(answer, upstream)
            is_whole = answer.keeps_open and self._has_sent_all
            return keeps and self._has_sent_all
        finally:
            if self._upload is not None:
                self._upload.cancel()
            (upstreams.give_back if is_whole else upstreams.drop)(upstream)

    def _head(self, scheme: str) -> bytes:
        request = self._request
        headers = end_to_end([each for each in self._admitted.headers if not is_ours(each[0])])
        peer = address_of(self._client.transport)
        headers += forwarded(request, self._place, peer, scheme)
        headers += _UPGRADE if request.is_websocket else framing_headers(request.body)
        return written(f"{request.method} {self._admitted.target} HTTP/1.1", headers)

    @property
    def _has_sent_all(self) -> bool:
        upload = self._upload
        return upload is None or (upload.done() and upload.exception() is None)

    def _begin_upload(self, upstream: Upstream) -> None:
        if self._request.body.framing is Framing.NONE:
            return
        if self._request.one_of("expect").lower() == "100-continue":
            self._client.write(_CONTINUE)
        self._upload = asyncio.ensure_future(self._send_body(upstream))

    async def _send_body(self, upstream: Upstream) -> None:
        is_chunked = self._request.body.framing is Framing.CHUNKS
        writer = upstream.stream.writer
        try:
            async for piece in self._pieces():
                writer.write(chunk(piece) if is_chunked else piece)
                await writer.drain()
            if is_chunked:
                writer.write(LAST_CHUNK)
        except (PunaError, EOFError):
            upstream.stream.close()  # or the pod would wait for the rest
            raise

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Yield the body of the request. Raises `SlowClient`, and as `Inflow.body`."""
        pieces = self._inflow.body(self._request.body)
        while True:
            try:
                async with asyncio.timeout(self._bounds.body_s):
                    piece = await anext(pieces, None)
            except TimeoutError as error:
                raise SlowClient(
                    f"nothing of the body came for {self._bounds.body_s:g} s"
                ) from error
            if piece is None:
                return
            yield piece

    async def _next_answer(self, upstream: Upstream) -> Answer | None:
        """Return the head of the answer; None where the pod closes before it begins one."""
        for _ in range(_MOST_INTERIM):
            try:
                head = await upstream.inflow.head()
            except BROKEN:
                head = None
            except TooLong as error:
                raise BadAnswer("the head of the pod's answer has no end") from error
            if head is None:
                if self._upload is not None and self._upload.done():
                    await self._upload  # says what was wrong with what the client sent
                return None
            answer = parse_answer(head, self._request.method)
            is_final = answer.status >= HTTPStatus.OK
            if is_final or (answer.status == SWITCHED and self._request.is_websocket):
                return answer
        raise BadAnswer("the pod sends one interim answer after another")

    async def _hand_on(self, answer: Answer, upstream: Upstream) -> bool:
        request, client = self._request, self._client
        is_chunked, keeps = answer.body.framing is Framing.CHUNKS, request.keeps_open
        if answer.body.framing in {Framing.CHUNKS, Framing.CLOSE}:
            is_chunked, keeps = request.is_modern, keeps and request.is_modern
        head = self._answer_head(answer, is_chunked=is_chunked, keeps=keeps)
        self.status = answer.status
        if not upstream.inflow.has_more(answer.body):
            client.write(head)
            head = b""
        async for piece in upstream.inflow.body(answer.body):
            client.write(head + (chunk(piece) if is_chunked else piece))
            head = b""
            await client.drain()
        client.write(head + (LAST_CHUNK if is_chunked else b""))
        return keeps

    def _answer_head(self, answer: Answer, *, is_chunked: bool, keeps: bool) -> bytes:
        headers = for_the_client(answer, self._place, self._request)
        if is_chunked:
            headers += framing_headers(Body(Framing.CHUNKS))
        elif self._request.method == "HEAD":
            headers += [each for each in answer.headers if each[0] == "content-length"]
        elif answer.body.framing is Framing.LENGTH:
            headers += framing_headers(answer.body)
        if not keeps:
            headers.append(("connection", "close"))
        elif not self._request.is_modern:
            headers.append(("connection", "keep-alive"))
        return written(first_line(answer.status), headers)

    async def _switch(self, answer: Answer, upstream: Upstream) -> None:
        """Move bytes both ways from now on."""
        headers = [*for_the_client(answer, self._place, self._request), *_UPGRADE]
        self._client.may_be_half_open = True
        self._client.write(written(first_line(answer.status), headers))
        self.status = answer.status
        with suppress(*BROKEN, ExceptionGroup):
            async with asyncio.TaskGroup() as both:
                both.create_task(pump(self._inflow, upstream.stream.writer))
                both.create_task(_pump_down(upstream, self._client))


async def _pump_down(upstream: Upstream, client: ClientSide) -> None:
    """Move what the pod sends; when it ends, so does the connection."""
    await pump(upstream.inflow, client)
    raise EOFError

"""Pods' HTTP ports: requests go in and answers come out as they come, for as long as they take.

Each connection of a client is one task. It reads a head strictly, decides who may call, writes the
head anew for the pod and moves the bodies. Nothing is held but a piece, there is no limit to how
long an answer takes, and a client that goes away ends the stream to the pod. WebSockets are bytes
both ways once both sides have agreed.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter, Request as AnyRequest

from puna.errors import Conflict, PunaError, Unavailable
from puna.market.gateway.admission import COOKIE, SHARE_PARAMETER, Admission, Admitted
from puna.market.gateway.client import ClientSide
from puna.market.gateway.flows import LAST_CHUNK, Inflow, chunk
from puna.market.gateway.heads import (
    END,
    Answer,
    BadAnswer,
    BadRequest,
    Body,
    Framing,
    Request,
    end_to_end,
    framing_headers,
    parse_answer,
    parse_request,
    written,
)
from puna.market.gateway.places import LOCAL, Form, Place, is_path_alone, place_of
from puna.market.gateway.pump import BROKEN, pump
from puna.market.gateway.replies import for_the_client, forwarded
from puna.market.gateway.upstream import Upstream, Upstreams
from puna.text import one_line

router = APIRouter()
_IDLE_S = 75.0
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_SWITCHED = 101
_UPGRADE = (("connection", "Upgrade"), ("upgrade", "websocket"))
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_OWN_PATHS = (b"/p/", b"/s/", b"/terminal/")
_MOST_HINT = 300

Terminal = Callable[[Request, Place, Inflow, ClientSide], Awaitable[None]]


class Elsewhere(Conflict):
    """A request for a pod came behind one for the market that was not answered yet."""

    code = "misdirected"
    status = 421


@router.api_route("/p/{rest:path}", methods=["GET", "POST"], include_in_schema=False)
@router.api_route("/s/{rest:path}", methods=["GET", "POST"], include_in_schema=False)
async def misdirected(request: AnyRequest) -> None:
    """Refuse what `Front` could not hand over: a pod's request sent ahead of an answer."""
    raise Elsewhere(f"{request.url.path} leads to no pod, or was sent ahead of an answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How the gateway is reached from outside."""

    domains: frozenset[str] = frozenset({LOCAL})
    scheme: str = "http"


class Proxy:
    """Answers requests for pods."""

    def __init__(
        self, admission: Admission, upstreams: Upstreams, manner: Manner, terminal: Terminal
    ) -> None:
        self._admission = admission
        self._upstreams = upstreams
        self._manner = manner
        self._terminal = terminal

    def read(self, head: bytes) -> tuple[Request, Place] | None:
        """Return a request and where it leads, None for the market's own."""
        first, _, rest = head.partition(b"\r\n")
        target = first.split(b" ", 2)[1:2]
        if not (target and target[0].startswith(_OWN_PATHS)) and b"-" not in rest:
            return None
        try:
            request = parse_request(head)
        except BadRequest:
            return None  # the market refuses it in its own words
        place = place_of(request.host, request.target, self._manner.domains)
        return None if place is None else (request, place)

    async def serve(self, client: ClientSide, begun: bytes) -> bytes:
        """Answer a client's requests until he goes away.

        Returns what he sent last where that is a request for the market itself.
        """
        inflow = Inflow(client, begun)
        while True:
            try:
                async with asyncio.timeout(_IDLE_S):
                    head = await inflow.head()
            except (PunaError, EOFError, TimeoutError):
                return b""
            if head is None:
                return b""
            found = self.read(head)
            if found is None:
                return head + END + inflow.held
            if not await self._answer(*found, inflow, client):
                return b""

    async def _answer(
        self, request: Request, place: Place, inflow: Inflow, client: ClientSide
    ) -> bool:
        """Answer one request; tell whether another may follow."""
        if place.form is Form.TERMINAL:
            await self._terminal(request, place, inflow, client)
            return False
        has_body = request.body.framing is not Framing.NONE
        exchange = None
        try:
            admitted = await self._admission.admit(request, place)
            if there := _redirect(request, place, admitted):
                client.write(there)
                return request.keeps_open and not has_body
            exchange = _Exchange(request, place, admitted, client, inflow)
            return await exchange.run(self._upstreams, self._manner)
        except (PunaError, *BROKEN) as error:
            if exchange is not None and exchange.has_answered:
                return False
            broken = BadAnswer("the pod broke off before it answered")
            failure = error if isinstance(error, PunaError) else broken
            keeps = request.keeps_open and not has_body
            client.write(error_answer(failure, keeps=keeps, method=request.method))
            return keeps


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        request: Request,
        place: Place,
        admitted: Admitted,
        client: ClientSide,
        inflow: Inflow,
    ) -> None:
        self._request = request
        self._place = place
        self._admitted = admitted
        self._client = client
        self._inflow = inflow
        self._upload: asyncio.Task[None] | None = None
        self.has_answered = False

    async def run(self, upstreams: Upstreams, manner: Manner) -> bool:
        """Ask the pod and hand its answer on; tell whether the client's connection stays open."""
        request, route, port = self._request, self._admitted.route, self._admitted.port
        may_repeat = request.method in _READS and request.body.framing is Framing.NONE
        upstream = await upstreams.take(route, port, surely_open=not may_repeat)
        is_whole = False
        try:
            head = self._head(manner)
            upstream.stream.writer.write(head)
            self._begin_upload(upstream)
            answer = await self._next_answer(upstream)
            if answer is None and may_repeat and not upstream.is_fresh:
                upstream = await upstreams.renew(upstream, route)
                upstream.stream.writer.write(head)
                answer = await self._next_answer(upstream)
            if answer is None:
                raise BadAnswer("the pod broke off before it answered")
            if answer.status == _SWITCHED:
                await self._switch(answer, upstream)
                return False
            keeps = await self._hand_on(answer, upstream)
            is_whole = answer.keeps_open and self._has_sent_all
            return keeps and self._has_sent_all
        finally:
            if self._upload is not None:
                self._upload.cancel()
            (upstreams.give_back if is_whole else upstreams.drop)(upstream)

    def _head(self, manner: Manner) -> bytes:
        request = self._request
        headers = end_to_end(
            [each for each in self._admitted.headers if not each[0].startswith("x-forwarded-")]
        )
        peer = str((self._client.transport.get_extra_info("peername") or ("",))[0])
        headers += forwarded(request, self._place, peer, manner.scheme)
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
            async for piece in self._inflow.body(self._request.body):
                writer.write(chunk(piece) if is_chunked else piece)
                await writer.drain()
            if is_chunked:
                writer.write(LAST_CHUNK)
        except (PunaError, EOFError):
            upstream.stream.close()  # or the pod would wait for the rest
            raise

    async def _next_answer(self, upstream: Upstream) -> Answer | None:
        """Return the head of the answer; None where the pod closes before it begins one."""
        while True:
            try:
                head = await upstream.inflow.head()
            except BROKEN:
                head = None
            if head is None:
                if self._upload is not None and self._upload.done():
                    await self._upload  # says what was wrong with what the client sent
                return None
            answer = parse_answer(head, self._request.method)
            is_final = answer.status >= HTTPStatus.OK
            if is_final or (answer.status == _SWITCHED and self._request.is_websocket):
                return answer

    async def _hand_on(self, answer: Answer, upstream: Upstream) -> bool:
        request, client = self._request, self._client
        is_chunked, keeps = answer.body.framing is Framing.CHUNKS, request.keeps_open
        if answer.body.framing in {Framing.CHUNKS, Framing.CLOSE}:
            is_chunked, keeps = request.is_modern, keeps and request.is_modern
        head = self._answer_head(answer, is_chunked=is_chunked, keeps=keeps)
        self.has_answered = True
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
        self.has_answered = True
        with suppress(*BROKEN, ExceptionGroup):
            async with asyncio.TaskGroup() as both:
                both.create_task(pump(self._inflow, upstream.stream.writer))
                both.create_task(_pump_down(upstream, self._client))


async def _pump_down(upstream: Upstream, client: ClientSide) -> None:
    """Move what the pod sends; when it ends, so does the connection."""
    await pump(upstream.inflow, client)
    raise EOFError


def first_line(status: int) -> str:
    """Return an answer's first line."""
    phrase = HTTPStatus(status).phrase if status in _KNOWN else ""
    return f"HTTP/1.1 {status} {phrase}"


_KNOWN = frozenset(int(each) for each in HTTPStatus)


def error_answer(error: PunaError, *, keeps: bool, method: str = "GET") -> bytes:
    """Return a whole answer that says what is wrong, as our own paths do."""
    told = {"error": error.message, "code": error.code}
    if error.hint:
        told["hint"] = error.hint
    body = json.dumps(told, ensure_ascii=False).encode() + b"\n"
    headers: list[tuple[str, str]] = [
        ("content-type", "application/json; charset=utf-8"),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
        ("puna-error-code", error.code),
    ]
    if error.hint:
        headers.append(("puna-hint", one_line(error.hint, _MOST_HINT)))
    if isinstance(error, Unavailable):
        headers.append(("retry-after", str(error.retry_after_s)))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers.append(("www-authenticate", "Bearer"))
    if not keeps:
        headers.append(("connection", "close"))
    return written(first_line(error.status), headers) + (b"" if method == "HEAD" else body)


def _redirect(request: Request, place: Place, admitted: Admitted) -> bytes:
    """Return the answer that sends a browser on to a better address, if there is one."""
    if request.method not in _READS:
        return b""
    if is_path_alone(place, request.target):
        _, mark, query = request.target.partition("?")
        return _see_other(f"{place.prefix}/{mark}{query}", ())
    if admitted.share and place.form is Form.HOST:
        cookie = f"{COOKIE}={admitted.share}; Path=/; HttpOnly; SameSite=Lax"
        return _see_other(admitted.target, [("set-cookie", cookie)])
    return b""


def _see_other(target: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """A target that begins with two slashes would be another host's: it is one path here."""
    path = "/" + target.lstrip("/")
    fixed = [("location", path), ("content-length", "0"), ("cache-control", "no-store")]
    return written(first_line(HTTPStatus.SEE_OTHER), [*fixed, *headers])


assert SHARE_PARAMETER == COOKIE  # noqa: S101 - one name for people

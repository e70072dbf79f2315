"""Pods' HTTP ports: requests go in and answers come out as they come, for as long as they take.

Each connection of a client is one task. It reads a head strictly, decides who may call, writes the
head anew for the pod and moves the bodies. Nothing is held but a piece, there is no limit to how
long an answer takes, and a client that goes away ends the stream to the pod. WebSockets are bytes
both ways once both sides have agreed.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from fastapi import APIRouter, Request as AnyRequest

from puna.errors import Conflict, PunaError, Unavailable
from puna.market.gateway.admission import COOKIE, SHARE_PARAMETER, Admission, Admitted
from puna.market.gateway.bounds import Bounds
from puna.market.gateway.client import ClientSide
from puna.market.gateway.crowd import Crowd, address_of
from puna.market.gateway.exchange import READS, Exchange, SlowClient
from puna.market.gateway.flows import Inflow
from puna.market.gateway.heads import (
    END,
    BadAnswer,
    BadRequest,
    Framing,
    Request,
    first_line,
    parse_request,
    written,
)
from puna.market.gateway.logbook import Line, Logbook
from puna.market.gateway.places import LOCAL, Form, Place, is_path_alone, place_of
from puna.market.gateway.pump import BROKEN
from puna.market.gateway.replies import caller_of, scheme_of
from puna.market.gateway.upstream import Upstreams
from puna.text import one_line
from puna.wire.tunnel import SOCKET_PATH

router = APIRouter()
_OWN_PATHS = (b"/p/", b"/s/", b"/terminal/", SOCKET_PATH.encode())
_MOST_HINT = 300

AnswerSocket = Callable[[Request, Place, Inflow, ClientSide], Awaitable[int]]
"""Answers a request for a WebSocket of the gateway's own, until it ends; returns the status."""


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
    bounds: Bounds = field(default_factory=Bounds)


class Proxy:
    """Answers requests for pods."""

    def __init__(
        self,
        admission: Admission,
        upstreams: Upstreams,
        manner: Manner,
        own: Mapping[Form, AnswerSocket],
        logbook: Logbook,
    ) -> None:
        self._admission = admission
        self._upstreams = upstreams
        self._manner = manner
        self._own = own
        self._logbook = logbook
        self.bounds = manner.bounds

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

    async def serve(self, client: ClientSide, begun: bytes, crowd: Crowd) -> bytes:
        """Answer a client's requests until he goes away.

        Returns what he sent last where that is a request for the market itself.
        """
        inflow = Inflow(client, begun)
        while True:
            try:
                head = await self._next_head(inflow)
            except (EOFError, TimeoutError):
                return b""
            except PunaError as error:
                client.write(error_answer(error, keeps=False))
                return b""
            if head is None:
                return b""
            found = self.read(head)
            if found is None:
                return head + END + inflow.held
            crowd.work(client.transport)
            with self._logbook.line(*found) as line:
                keeps = await self._answer(line, inflow, client)
            if not keeps:
                return b""
            crowd.rest(client.transport)

    async def _next_head(self, inflow: Inflow) -> bytes | None:
        """Return the next head; None where the client is done. Raises `SlowClient`, `TooLong`.

        A client may wait for long before it asks for more; once it has begun it has to go on.
        """
        if not inflow.has_begun:
            async with asyncio.timeout(self.bounds.idle_s):
                if not await inflow.more():
                    return None
        if inflow.has_head:  # as good as always; a limit of time costs more than the reading
            return await inflow.head()
        try:
            async with asyncio.timeout(self.bounds.head_s):
                return await inflow.head()
        except TimeoutError as error:
            within = f"{self.bounds.head_s:g} s"
            raise SlowClient(f"the head of the request did not come within {within}") from error

    async def _answer(self, line: Line, inflow: Inflow, client: ClientSide) -> bool:
        """Answer one request; tell whether another may follow."""
        request, place = line.request, line.place
        peer = address_of(client.transport)
        address = caller_of(request, peer)
        if await self._open_own(line, address, inflow, client):
            return False
        has_body = request.body.framing is not Framing.NONE
        exchange = None
        try:
            admitted = line.admitted = await self._admission.admit(request, place, address)
            scheme = scheme_of(request, peer, self._manner.scheme)
            if there := _redirect(request, place, admitted, scheme):
                client.write(there)
                line.status = HTTPStatus.SEE_OTHER
                return request.keeps_open and not has_body
            exchange = Exchange(line, admitted, client, inflow, self.bounds)
            keeps = await exchange.run(self._upstreams, self._manner.scheme)
            line.status = exchange.status
        except (PunaError, *BROKEN) as error:
            if exchange is not None and exchange.status:
                return False  # the client sees that the answer is cut short
            broken = BadAnswer("the pod broke off before it answered")
            failure = error if isinstance(error, PunaError) else broken
            keeps = request.keeps_open and not has_body
            client.write(error_answer(failure, keeps=keeps, method=request.method))
            line.status = failure.status
        return keeps

    async def _open_own(self, line: Line, address: str, inflow: Inflow, client: ClientSide) -> bool:
        """Answer a WebSocket of the gateway's own; tell whether it was one.

        Who guesses tickets of terminals is soon not asked for any more.
        """
        answer = self._own.get(line.place.form)
        if answer is None:
            return False
        is_terminal = line.place.form is Form.TERMINAL
        try:
            if is_terminal:
                self._admission.check_patience(address)
        except PunaError as error:
            client.write(error_answer(error, keeps=False))
            line.status = error.status
            return True
        line.status = await answer(line.request, line.place, inflow, client)
        if is_terminal and line.status == HTTPStatus.UNAUTHORIZED:
            self._admission.note_refusal(address)
        return True


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


def _redirect(request: Request, place: Place, admitted: Admitted, scheme: str) -> bytes:
    """Return the answer that sends a browser on to a better address, if there is one.

    What it is to keep of a link that it opened over HTTPS it never sends over anything else.
    """
    if request.method not in READS:
        return b""
    if is_path_alone(place, request.target):
        _, mark, query = request.target.partition("?")
        return _see_other(f"{place.prefix}/{mark}{query}", ())
    if admitted.share and place.form is Form.HOST:
        cookie = f"{COOKIE}={admitted.share}; Path=/; HttpOnly; SameSite=Lax"
        cookie += "; Secure" if scheme == "https" else ""
        return _see_other(admitted.target, [("set-cookie", cookie)])
    return b""


def _see_other(target: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """A target that begins with two slashes would be another host's: it is one path here."""
    path = "/" + target.lstrip("/")
    fixed = [("location", path), ("content-length", "0"), ("cache-control", "no-store")]
    return written(first_line(HTTPStatus.SEE_OTHER), [*fixed, *headers])


assert SHARE_PARAMETER == COOKIE  # noqa: S101 - one name for people

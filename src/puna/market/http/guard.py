"""What stands before every route: who may call at all, how much, and how large.

Ports of pods and their terminals are the gateway's, which has rules of its own; everything else has
a Host that is the market's, an Origin that may call it, a body that is not too large and comes in
time, and a key that has not asked too often.
"""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from puna.errors import Denied, Invalid, PunaError
from puna.market.gateway.places import place_of
from puna.market.gateway.proxy import Elsewhere
from puna.market.http.again import Again
from puna.market.http.auth import key_in
from puna.market.http.limits import Limits
from puna.market.http.reply import NoSuchPath, error_reply
from puna.market.http.watch import TOLD
from puna.market.market import Market
from puna.market.settings import MarketSettings
from puna.node.api.guard import Rules
from puna.units import Size, Span
from puna.wire.agent import PATH

_OF_PODS = ("/p/", "/s/", "/terminal/")
_LOCAL = "localhost"
_BODY_WITHIN = Span.of(seconds=60)
_OF_AGENTS = Size(8 * 2**20)
_METHODS = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
_CORS = {
    "Access-Control-Allow-Methods": _METHODS,
    "Access-Control-Allow-Headers": "Authorization,Content-Type,Last-Event-ID",
    "Access-Control-Max-Age": "43200",
}
_TOLD = "RateLimit,RateLimit-Policy,Retry-After,X-Request-Id,Puna-Error-Code,Puna-Hint"


class ForeignHost(Denied):
    """The request was sent to a name that is not the market's."""

    code = "foreign_host"


class ForeignOrigin(Denied):
    """A page of another origin may not call the market."""

    code = "foreign_origin"


class InvalidAddress(Invalid):
    """The question in an address has a zero byte in it, which nothing is called by."""

    code = "invalid_address"


class LargeBody(Invalid):
    """The body is larger than the market takes."""

    code = "body_too_large"
    status = 413


class SlowBody(Invalid):
    """The body did not come in time."""

    code = "body_too_slow"
    status = 408


def rules_of(settings: MarketSettings) -> Rules:
    """Return which names and origins are the market's.

    A Host is looked at on loopback, and as soon as the operator has said by which names the market
    is known.
    """
    public = urlsplit(settings.public_address).hostname or ""
    names = {name.lower() for name in (public, settings.domain, *settings.hosts) if name}
    return Rules.at(
        settings.address,
        settings.origins,
        checks_host=settings.address.is_loopback or bool(names),
        names=names,
    )


class Guard:
    """Lets a request through to `app`, or answers it."""

    def __init__(self, app: ASGIApp, market: Market, *, body_within: Span = _BODY_WITHIN) -> None:
        settings = market.settings
        self._body_within = body_within
        self._app = app
        self._answer = Again(app, market.world)
        self._market = market
        self._rules = rules_of(settings)
        self._limits = Limits(
            market.world, per_minute=settings.rate_limit, at_once=settings.most_connections
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        call = HTTPConnection(scope)
        try:
            if self._is_for_pods(call):
                await self._app(scope, receive, send)
                return
            origin = self._check_names(call)
            _check_address(scope)
            if scope["type"] == "http" and scope["method"] == "OPTIONS" and origin:
                await _answer(send, 204, {**_CORS, **_cors(origin)})
                return
            await self._limited(call, _with_headers(send, _cors(origin)), receive)
        except PunaError as error:
            self._market.tally.refused[error.code] += 1
            await error_reply(error, scope["path"])(scope, receive, send)

    def _is_for_pods(self, call: HTTPConnection) -> bool:
        """Tell whether a path is the gateway's. Raises `Elsewhere` for a pod's name.

        The gateway takes what is sent to those before it comes here; what it could not read must
        not be read by anybody else.
        """
        domains = {_LOCAL, self._market.settings.domain} - {""}
        hosts = call.headers.getlist("host")
        if any(place_of(host.lower(), "/", domains) for host in hosts):
            raise Elsewhere("a pod's request was sent ahead of an answer, or is none of HTTP/1.1")
        return bool(call.scope["path"].startswith(_OF_PODS))

    def _check_names(self, call: HTTPConnection) -> str:
        """Return the origin, empty for none. Raises `ForeignHost`, `ForeignOrigin`."""
        host, origin = call.headers.get("host", ""), call.headers.get("origin", "")
        is_one = len(call.headers.getlist("host")) <= 1  # of two, each reader takes his own
        if not is_one or (self._rules.checks_host and not self._rules.allows_host(host)):
            raise ForeignHost(
                "this market has another name",
                hint="its operator can name it in PUNA_MARKET_PUBLIC_ADDRESS or PUNA_MARKET_HOSTS",
            )
        if origin and not self._rules.allows_origin(origin, host):
            raise ForeignOrigin(
                "a page of this origin may not call the market",
                hint="its operator can allow it in PUNA_MARKET_ORIGINS",
            )
        return origin

    async def _limited(self, call: HTTPConnection, send: Send, receive: Receive) -> None:
        key = key_in(call)
        name = self._limits.name_of(key, call.client.host if call.client else "")
        left = self._limits.begin(name)
        told = _with_headers(send, left.headers if left else {})
        try:
            body = _Body(receive, self._most_of(call.scope["path"]), self._body_within)
            await body.guard(self._answer, call.scope, told)
        finally:
            self._limits.end(name)
        if call.scope.get(TOLD):
            self._limits.trust(key)

    def _most_of(self, path: str) -> Size:
        """Return how large a body may be: agents measure their line by a sample."""
        most = self._market.settings.body_limit
        return max(most, _OF_AGENTS) if path.startswith(f"{PATH}/") else most


class _Body:
    """A request's body, which ends the request where it is too large or too slow."""

    def __init__(self, receive: Receive, most: Size, within: Span) -> None:
        self._receive = receive
        self._most = most
        self._size = 0
        self._is_whole = False
        self._within = within
        self._end = asyncio.get_running_loop().time() + within.seconds
        self._failure: PunaError | None = None

    async def guard(self, app: ASGIApp, scope: Scope, send: Send) -> None:
        """Have `app` answer. Raises `LargeBody` or `SlowBody` before it has said anything."""
        claimed = HTTPConnection(scope).headers.get("content-length", "0")
        if claimed.isdigit() and int(claimed) > self._most:
            raise self._too_large()

        async def answer(message: Message) -> None:
            if self._failure is None:
                await send(message)

        try:
            await app(scope, self.receive, answer)
        finally:
            if self._failure is not None:  # the app saw a client that went away, whatever it says
                raise self._failure

    async def receive(self) -> Message:
        """Return the next piece, or the end of the connection where there was too much."""
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            self._failure = SlowBody(f"the body did not come within {self._within}")
            return {"type": "http.disconnect"}
        self._size += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._size > self._most:
            self._failure = self._too_large()
            return {"type": "http.disconnect"}
        return message

    def _too_large(self) -> LargeBody:
        return LargeBody(f"the body is larger than {self._most}")


def _check_address(scope: Scope) -> None:
    if "\0" in scope["path"]:
        raise NoSuchPath("there is nothing whose name has a zero byte in it")
    if b"%00" in scope["query_string"]:
        raise InvalidAddress("a question has no zero byte in it")


def _cors(origin: str) -> dict[str, str]:
    if not origin:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": _TOLD,
        "Vary": "Origin",
    }


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return sending if headers else send


async def _answer(send: Send, status: int, headers: Mapping[str, str]) -> None:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": b""})

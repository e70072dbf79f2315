"""Every request has a number, is counted, and may leave a line in a log without secrets.

The line has the route as the table has it, so that no name, key or address of a request is in it,
and of its key the few letters that lists show.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from puna.market.market import Market
from puna.node.api.watch import AccessLog
from puna.wire.ollama import rfc3339

TOLD = "puna.told"
"""Where a route leaves what it learned of the caller: `key`, as lists show it."""
_OTHER = "(other)"
_GONE = 499


def tell_of(scope: Scope, key: str) -> None:
    """Note whose request it is, by what lists show of the key. Only for a key that is good."""
    scope.get(TOLD, {})["key"] = key


class Watch:
    """Answers through `app`."""

    def __init__(self, app: ASGIApp, market: Market) -> None:
        self._app = app
        self._market = market
        settings = market.settings
        self._log = AccessLog(settings.home / "access.log") if settings.access_log else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        number, status = self._market.world.token()[:16], _GONE
        told: dict[str, str] = {}
        scope[TOLD] = told
        start = self._market.world.elapsed()

        async def numbered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = number
            await send(message)

        try:
            await self._app(scope, receive, numbered)
        finally:
            route = getattr(scope.get("route"), "path", _OTHER)
            method = scope.get("method", "WEBSOCKET")
            self._market.tally.count(method, route, status)
            if self._log is not None:
                seconds = (self._market.world.elapsed() - start) / 1e9
                self._log.write(
                    f"{rfc3339(self._market.world.now())} {number} {method} {route} {status}"
                    f" {seconds:.3f}s key={told.get('key', '-')}"
                )

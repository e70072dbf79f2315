"""A request whose transaction was in another's way is answered again from its beginning.

The database has undone all of it, so nothing is done twice. Its client learns of it only if that
happens again and again.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from puna.market.http.watch import TOLD
from puna.units import Span
from puna.world import World

_TRIES = 6
_CLASH = "clash"
_SHORTEST = Span.of(ms=10)


def tell_clash(scope: Scope) -> None:
    """Note that the answer on its way is only that two transactions were in each other's way."""
    scope.get(TOLD, {})[_CLASH] = _CLASH


class Again:
    """Answers through `app`, again where it has to."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        told = scope.get(TOLD)
        if scope["type"] != "http" or told is None:
            await self._app(scope, receive, send)
            return
        heard: list[Message] = []
        for attempt in range(1, _TRIES + 1):
            told.pop(_CLASH, None)
            trial = _Trial(heard, receive, send, told, is_last=attempt == _TRIES)
            await self._app(scope, trial.receive, trial.send)
            if not trial.is_withheld:
                return
            await self._world.wait(_pause(self._world, attempt))


def _pause(world: World, attempt: int) -> Span:
    """Return how long to wait after an attempt: longer each time, and by chance.

    Those who were in each other's way do not meet again.
    """
    most = _SHORTEST * 2**attempt
    return Span(most // 2 + world.seed() % (most // 2))


class _Trial:
    """One attempt: it hears what the ones before heard, and says nothing if it is not the last."""

    def __init__(
        self,
        heard: list[Message],
        receive: Receive,
        send: Send,
        told: dict[str, str],
        *,
        is_last: bool,
    ) -> None:
        self._heard = heard
        self._place = 0
        self._receive = receive
        self._send = send
        self._told = told
        self._is_last = is_last
        self.is_withheld = False

    async def receive(self) -> Message:
        """Return the next piece of the body, from memory where it came before."""
        if self._place == len(self._heard):
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._heard.append(message)
        self._place += 1
        return self._heard[self._place - 1]

    async def send(self, message: Message) -> None:
        """Send a piece of the answer, unless it is only that there was a clash."""
        if message["type"] == "http.response.start":
            self.is_withheld = _CLASH in self._told and not self._is_last
        if not self.is_withheld:
            await self._send(message)

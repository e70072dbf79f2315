"""The agent's line to its market: it asks, over HTTP, and the market never calls."""

import io
from collections.abc import Callable
from typing import Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ValidationError

from puna.errors import Denied, Failed, Unavailable
from puna.net import named_session
from puna.settings import read_proxies
from puna.text import one_line
from puna.wire.agent import PATH, SAMPLE, Earnings, Join, Joined, Orders, Question, Report
from puna.wire.carried import PROTOCOL
from puna.wire.tunnel import SOCKET_PATH

_PATIENCE_S = 20
_LONGEST_REASON = 64 * 1024
_LONGEST_ANSWER = 16 * 2**20
_UNKNOWN, _BUSY = 401, 429
_FAULT = 500
_M = TypeVar("_M", bound=BaseModel)


class MarketGone(Unavailable):
    """The market does not answer; the same may be asked again."""

    code = "market_gone"


class MarketRefused(Failed):
    """The market says no, in its own words."""

    code = "market_refused"


class NotAHost(Denied):
    """The market does not know this machine, or not any more."""

    code = "not_a_host"
    status = 401


class MarketLink:
    """Asks one market. Close it, or use it as a context."""

    def __init__(self, market: str, key: str = "") -> None:
        """Needs a running event loop. Connects at the first call."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        place = urlsplit(market)
        proxy = read_proxies().between(place.scheme, place.hostname or "")
        self.market = market
        self.is_proxied = bool(proxy)
        """Whether a proxy stands between this machine and the market."""
        self._session = named_session(market, headers, proxy=proxy)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def join(self, request: Join) -> Joined:
        """Join by a token. Raises as `ask`."""
        return await self.ask("/join", request, Joined)

    async def report(self, report: Report) -> Orders:
        """Tell what is here, and return what should be. Raises as `ask`."""
        return await self.ask("/report", report, Orders, patience_s=_PATIENCE_S + report.wait_s)

    async def earnings(self) -> Earnings:
        """Return what this machine has earned. Raises as `ask`."""
        return await self.ask("/earnings", Question(), Earnings)

    async def speed(self, elapsed: Callable[[], int]) -> tuple[int, int]:
        """Return megabits a second, down and up, to the market; zeros where it is not told."""
        body = io.BytesIO(bytes(SAMPLE))
        timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
        try:
            began = elapsed()
            async with self._session.get(f"{PATH}/speed", timeout=timeout) as reply:
                down = len(await reply.read()) if reply.ok else 0
            between = elapsed()
            async with self._session.post(f"{PATH}/speed", data=body, timeout=timeout) as reply:
                up = SAMPLE if reply.ok else 0
            after = elapsed()
        except (OSError, aiohttp.ClientError):
            return 0, 0
        return _mbps(down, between - began), _mbps(up, after - between)

    async def socket(self) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket that carries a link of the tunnel. Raises as `ask`."""
        try:
            return await self._session.ws_connect(SOCKET_PATH, protocols=(PROTOCOL,))
        except aiohttp.WSServerHandshakeError as error:
            reason = f"the market, or what stands before it, lets no WebSocket in ({error.status})"
            raise _refusal(error.status, reason) from error
        except (OSError, aiohttp.ClientError) as error:
            why = one_line(str(error) or "no answer in time")
            raise MarketGone(f"no WebSocket to {self.market}: {why}") from error

    async def ask(
        self, path: str, body: BaseModel, answer: type[_M], *, patience_s: float = _PATIENCE_S
    ) -> _M:
        """Ask by POST below the agent's path.

        Raises `MarketGone`, `MarketRefused`, `NotAHost`.
        """
        timeout = aiohttp.ClientTimeout(total=patience_s)
        sent = body.model_dump(mode="json")
        try:
            call = self._session.post(PATH + path, json=sent, timeout=timeout)
            async with call as reply:
                said = await reply.content.read(_LONGEST_REASON) if not reply.ok else b""
                text = await _whole(reply) if reply.ok else b""
        except (OSError, aiohttp.ClientError) as error:
            why = one_line(str(error) or "no answer in time")
            raise MarketGone(f"the market at {self.market} does not answer: {why}") from error
        if not reply.ok:
            raise _refusal(reply.status, said.decode(errors="replace"))
        try:
            return answer.model_validate_json(text)
        except ValidationError as error:
            raise MarketGone(f"{self.market} does not answer as a market of puna's") from error


async def _whole(reply: aiohttp.ClientResponse) -> bytes:
    """Read an answer. Raises `ClientError` for one that has no end."""
    found = bytearray()
    async for piece in reply.content.iter_any():
        found += piece
        if len(found) > _LONGEST_ANSWER:
            raise aiohttp.ClientPayloadError("its answer has no end")
    return bytes(found)


def _mbps(size: int, nanoseconds: int) -> int:
    return round(size * 8 / 10**6 / max(1e-4, nanoseconds / 1e9))


def _refusal(status: int, said: str) -> Exception:
    words = one_line(_message_in(said))
    if status == _UNKNOWN:
        return NotAHost(words or "the market does not know this machine")
    if status >= _FAULT or status == _BUSY:
        return MarketGone(f"the market cannot answer now: {words or status}")
    return MarketRefused(words or f"the market answers {status}")


def _message_in(said: str) -> str:
    """Return the words of an error, whichever dialect it is in."""
    try:
        words = _Words.model_validate_json(said)
    except ValidationError:
        return said
    return words.detail or words.message or words.error or said


class _Words(BaseModel):
    detail: str = ""
    message: str = ""
    error: str = ""

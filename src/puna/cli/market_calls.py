"""Asking a market as its operator: where it is, by which key, and what it refuses."""

import json
from collections.abc import Iterator, Sequence
from typing import TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ValidationError

from puna.cli.session import Session
from puna.cloud.settings import RUNPOD, kept_login
from puna.errors import Failed, PunaError, Unavailable
from puna.market.settings import DEFAULT_PORT, load_market_settings
from puna.net import Caller, Unreachable
from puna.settings import Address, read_address, read_proxies
from puna.wire.operator import PATH, ChangeHost, HostShown

Shape = TypeVar("Shape", bound=BaseModel)
_TIMEOUT_S = 60


class MarketRefused(Failed):
    """The market says no; the message is its own."""

    code = "market_refused"


class MarketAway(Unavailable):
    """The market has no answer now."""

    code = "market_away"


class OperatorCalls:
    """Requests of one operator to one market."""

    def __init__(self, session: Session) -> None:
        settings = load_market_settings(session.environ)
        address, key = read_address(settings.url), settings.key
        if not key:
            address, key = _kept(address, session)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._has_key = bool(key)
        proxy = read_proxies(session.environ).between(address.scheme, address.host)
        self._caller = Caller(
            address.scheme, address.host, address.port, prefix=address.path, headers=headers
        ).through(proxy)

    def get(self, path: str, shape: type[Shape], **query: object) -> Shape:
        """Look at something."""
        asked = f"?{urlencode(query)}" if query else ""
        return self._ask("GET", f"{path}{asked}", None, shape)

    def post(self, path: str, body: BaseModel, shape: type[Shape]) -> Shape:
        """Make something."""
        return self._ask("POST", path, body, shape)

    @property
    def url(self) -> str:
        """Where the market is."""
        return self._caller.url

    def change_host(self, host: str, *, is_draining: bool) -> HostShown:
        """Let a host get no new pods, or new ones again."""
        body = ChangeHost(is_draining=is_draining)
        return self._ask("PATCH", f"/hosts/{quote(host, safe='')}", body, HostShown)

    def delete(self, path: str, name: str) -> None:
        """End something."""
        self._send("DELETE", f"{path}/{quote(name, safe='')}", None)

    def pages(
        self, path: str, shape: type[Shape], *, most: int, **query: object
    ) -> Iterator[Shape]:
        """Yield pages until `most` rows were asked for, or all; 0 is all."""
        after, left = "", most
        while True:
            limit = min(left, _PAGE) if most else _PAGE
            page = self.get(path, shape, **query, after=after, limit=limit)
            yield page
            after, left = str(getattr(page, "next", "")), left - limit
            if not after or (most and left <= 0):
                return

    def _ask(self, method: str, path: str, body: BaseModel | None, shape: type[Shape]) -> Shape:
        answer = self._send(method, path, body)
        try:
            return shape.model_validate_json(answer)
        except ValidationError as error:
            raise Failed(f"{self._caller.url} does not answer as a market of puna does") from error

    def _send(self, method: str, path: str, body: BaseModel | None) -> bytes:
        sent = None if body is None else body.model_dump_json().encode()
        try:
            with self._caller.request(method, PATH + path, sent, timeout_s=_TIMEOUT_S) as answer:
                text = answer.read()
        except Unreachable as error:
            raise MarketAway(
                error.message,
                hint="start one with `puna market serve`, or log in to the one that runs: puna "
                "cloud login ADDRESS",
            ) from error
        if answer.status >= _FAILED:
            raise self._refusal(answer.status, text)
        return text

    def _refusal(self, status: int, text: bytes) -> PunaError:
        try:
            told = json.loads(text)
            message, hint = str(told["error"]), str(told.get("hint", ""))
        except (ValueError, KeyError, TypeError):
            return Failed(f"{self._caller.url} does not answer as a market of puna does")
        if status == _UNAUTHORIZED and not self._has_key:
            return MarketRefused(
                "the market asks for the operator's key",
                hint="log in with the operator's key, which the first start of the market showed: "
                "puna cloud login, or set PUNA_MARKET_KEY",
            )
        kind = MarketAway if status in _LATER else MarketRefused
        return kind(message, hint=hint)


def _kept(address: Address, session: Session) -> tuple[Address, str]:
    """Return the market that `puna cloud login` was to, and the key there.

    Where the settings name another market, it is that one, and there is no key for it.
    """
    login = kept_login(session.environ)
    if login is None or login.address == RUNPOD or address not in (login.address, _BY_ITSELF):
        return address, ""
    return login.address, login.key


_BY_ITSELF = read_address("", DEFAULT_PORT)
"""Where a market is that no setting says anything about."""
_PAGE = 200
_FAILED = 400
_UNAUTHORIZED = 401
_LATER: Sequence[int] = (429, 502, 503, 504)

"""Who may call a port of a pod, and which of its headers were for us alone.

A port is closed unless its renter opened it: a key of the account, or a share link, is needed. What
lets a caller in is never passed on, and neither is any other key of this market that a request may
hold: pods are run by people whom the caller need not trust with it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hmac import compare_digest
from math import ceil
from urllib.parse import parse_qsl, urlencode

from puna.errors import Denied, Unavailable
from puna.market.actions.accounts import MARK, check_may_act_on, check_may_write
from puna.market.db import shares as db
from puna.market.db.database import Database
from puna.market.db.shares import Share
from puna.market.gateway.directory import Directory, Memory, NoSuchPod, Route
from puna.market.gateway.heads import BadRequest, Request
from puna.market.gateway.keys import GatewayKeys
from puna.market.gateway.places import Form, Place
from puna.node.api.rates import Rates
from puna.world import World

KEY_HEADER = "puna-key"
SHARE_HEADER = "puna-share"
SHARE_PARAMETER = "puna_share"
COOKIE = "puna_share"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_KEY = re.compile(rf"{MARK}[0-9a-f]{{64}}")
_HOW = "send a key of its account as a bearer token or in Puna-Key, or use a link that was shared"


class KeyNeeded(Denied):
    """The port is closed, and the request has no good key or share link for it."""

    code = "key_needed"
    status = 401


class TooManyRefused(Unavailable):
    """An address was refused too often within a minute."""

    code = "too_many_refused"
    status = 429

    def __init__(self, message: str, *, wait_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = max(1, ceil(wait_s))


class ForeignPage(Denied):
    """A page from elsewhere used the share link that a browser keeps."""

    code = "foreign_page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Where a request that was let in goes."""

    route: Route
    port: int
    headers: Sequence[tuple[str, str]]
    """Those that the pod may see."""
    target: str
    share: str = ""
    """The link's token where it stood in the address, to be kept by the browser from now on."""
    by: str = ""
    """The letters of its key that lists show; empty where it was let in without."""


class Admission:
    """Decides who may call."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        keys: GatewayKeys,
        world: World,
        *,
        refusals: int = 0,
    ) -> None:
        self._database = database
        self._directory = directory
        self._keys = keys
        self._world = world
        self._shares: Memory[Share] = Memory(world)
        self._rates, self._refusals = Rates(), refusals

    async def admit(self, request: Request, place: Place, address: str = "") -> Admitted:
        """Let a request in. Raises `KeyNeeded`, `ForeignPage`, `NoSuchPod`, `ReadOnlyKey`.

        Who is refused all the time is asked to wait before anything is looked up: `TooManyRefused`.
        """
        if self._wait_of(address) and not self._may_be_known(request, place):
            self.check_patience(address)
        try:
            return await self._admit(request, place)
        except (BadRequest, KeyNeeded, NoSuchPod):
            self.note_refusal(address)
            raise

    def check_patience(self, address: str) -> None:
        """Raise `TooManyRefused` for an address that was refused too often within a minute."""
        if wait := self._wait_of(address):
            raise TooManyRefused(f"more than {self._refusals} requests were refused", wait_s=wait)

    def _wait_of(self, address: str) -> float:
        now, most = self._world.elapsed(), self._refusals
        return self._rates.wait_for(address, per_minute=most, now=now) if most else 0

    def note_refusal(self, address: str) -> None:
        """Count that an address was refused."""
        if self._refusals:
            now = self._world.elapsed()
            self._rates.spend(address, 1, per_minute=self._refusals, now=now)

    def _may_be_known(self, request: Request, place: Place) -> bool:
        """Tell, without asking the database, whether a request may well be let in."""
        if self._directory.knows_open(place.pod, place.port):
            return True
        if self._directory.knows_key(_key_in(request)):
            return True
        sent = [place.token, *request.all_of(SHARE_HEADER), *_cookies(request)]
        return any(self._shares.knows(token.partition(".")[0]) for token in sent if token)

    async def _admit(self, request: Request, place: Place) -> Admitted:
        if _KEY.search(request.target):
            raise BadRequest("a key of this market stands in the address", hint=_HOW)
        share = None
        if place.form is Form.SHARE:
            share = await self._share(place.token)
            if share is None:
                raise NoSuchPod("the share link is wrong, revoked or over")
        pod, port = (share.pod, share.port) if share else (place.pod, place.port)
        headers = _for_the_pod(request, keeps_cookies=place.form is Form.HOST)
        target, token = _without_share(place.target)
        by = ""
        if (
            share
            or await self._is_open(pod, port)
            or (by := await self._key_that_opens(request, pod))
        ):
            token = ""
        elif not await self._has_share(request, place, token):
            raise KeyNeeded(
                f"port {port} of pod {pod} is closed",
                hint=_HOW,
            )
        route = await self._directory.route(pod)
        if port not in route.ports:
            known = ", ".join(map(str, sorted(route.ports))) or "none"
            raise NoSuchPod(f"pod {pod} has no HTTP port {port}; it has: {known}")
        return Admitted(route=route, port=port, headers=headers, target=target, share=token, by=by)

    def token(self, share: Share) -> str:
        """Return what stands in a link: its id, and our signature under what it is for."""
        text = f"share {share.id} {share.pod} {share.port} {share.expires.timestamp():.0f}"
        return f"{share.id}.{self._keys.sign(text)}"

    async def _is_open(self, pod: str, port: int) -> bool:
        try:
            return (await self._directory.route(pod)).is_open(port)
        except NoSuchPod:
            return False

    async def _key_that_opens(self, request: Request, pod: str) -> str:
        """Return the known letters of the key of the pod's account that a request has, if it has.

        Raises `NoSuchPod` for another account's, so that keys do not tell which pods there are.
        """
        secret = _key_in(request)
        caller = await self._directory.caller(secret) if secret else None
        if caller is None:
            return ""
        route = await self._directory.route(pod)
        if route.account != caller.account.id:
            raise NoSuchPod(f"there is no pod {pod}")
        check_may_act_on(caller, pod)
        if request.method not in _READS or request.is_websocket:
            check_may_write(caller)
        return caller.key.prefix

    async def _has_share(self, request: Request, place: Place, token: str) -> bool:
        sent = [token, *request.all_of(SHARE_HEADER)]
        for each in sent:
            if await self._is_for(each, place):
                return True
        if place.form is not Form.HOST:
            return False
        for each in _cookies(request):
            if await self._is_for(each, place):
                _check_page(request)
                return True
        return False

    async def _is_for(self, token: str, place: Place) -> bool:
        share = await self._share(token)
        return share is not None and (share.pod, share.port) == (place.pod, place.port)

    async def _share(self, token: str) -> Share | None:
        """Return the link that a token is of, if it is good now."""
        name, _, signature = token.partition(".")
        if not signature:
            return None
        share = await self._shares.find(name, self._look_up)
        if share is None or share.revoked is not None or share.expires <= self._world.now():
            return None
        return share if compare_digest(self.token(share).encode(), token.encode()) else None

    async def _look_up(self, name: str) -> Share | None:
        async with self._database.reading() as tx:
            return await db.share_of(tx, name)


def _key_in(request: Request) -> str:
    """Return the key that a request carries: in our own header, or where its clients put it."""
    if own := request.one_of(KEY_HEADER):
        return own
    bearer = bearer_of(request)
    return bearer or request.one_of("x-api-key")


def bearer_of(request: Request) -> str:
    """Return what stands in `Authorization`, as a bearer token or bare."""
    value = request.one_of("authorization")
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value if not rest else ""


def _for_the_pod(request: Request, *, keeps_cookies: bool) -> list[tuple[str, str]]:
    """Return the headers that the pod may see.

    In the path forms no cookie is passed on: what a browser sends there are the market's own.
    """
    kept = []
    for name, value in request.headers:
        if name in {KEY_HEADER, SHARE_HEADER} or MARK in value:
            continue
        if name == "cookie":
            rest = "; ".join(
                part.strip()
                for part in value.split(";")
                if part.partition("=")[0].strip() != COOKIE
            )
            if keeps_cookies and rest:
                kept.append((name, rest))
            continue
        kept.append((name, value))
    return kept


def _without_share(target: str) -> tuple[str, str]:
    """Return a target without the share link in it, and the link's token."""
    path, _, query = target.partition("?")
    if f"{SHARE_PARAMETER}=" not in query:
        return target, ""
    pairs = parse_qsl(query, keep_blank_values=True)
    token = next((value for name, value in pairs if name == SHARE_PARAMETER), "")
    rest = urlencode([each for each in pairs if each[0] != SHARE_PARAMETER])
    return f"{path}?{rest}" if rest else path, token


def _cookies(request: Request) -> list[str]:
    """Return every share cookie: a page of a neighbour may have put a wrong one before ours."""
    parts = (part for value in request.all_of("cookie") for part in value.split(";"))
    pairs = (part.strip().partition("=") for part in parts)
    return [value for name, _, value in pairs if name == COOKIE]


def _check_page(request: Request) -> None:
    """Raise `ForeignPage` where another page uses the link that the browser keeps for this one."""
    origin, site = request.one_of("origin"), request.one_of("sec-fetch-site")
    is_own = origin in {"", f"http://{request.host}", f"https://{request.host}"}
    goes_there = request.one_of("sec-fetch-mode") == "navigate" and request.method == "GET"
    if not is_own or (site not in {"", "same-origin", "none"} and not goes_there):
        raise ForeignPage("a page of another origin may not use this share link")

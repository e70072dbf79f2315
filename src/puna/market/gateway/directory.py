"""What the gateway knows of pods and keys, asked of the database at most every two seconds.

So a request costs no transaction, and what was revoked, stopped or moved is known two seconds later
at the latest. Only good answers are kept for keys: a wrong one is looked up each time. A thousand
that want to know the same at once ask once, and a database that says nothing is not waited for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from puna.errors import NotFound
from puna.market.actions.accounts import digest_of
from puna.market.db import accounts, pods
from puna.market.db.accounts import Caller
from puna.market.db.database import Database, DatabaseAway, Transaction
from puna.market.db.pods import Pod
from puna.market.domain.pods import Status
from puna.market.gateway.tunnels import NothingThere, Stream, Tunnels
from puna.units import Span
from puna.world import World

FRESH = Span.of(seconds=2)
_MOST = 10_000
_MARK = "-"
_PATIENCE_S = 15.0
_AHEAD = Span.of(seconds=1)
Kept = TypeVar("Kept")
LookUp = Callable[[str], Awaitable[Kept | None]]


class NoSuchPod(NotFound):
    """There is no such pod, or not for the one who asks."""

    code = "no_such_pod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way to a pod."""

    pod: str
    account: str
    host: str
    status: Status
    reason: str
    ports: frozenset[int]
    """The HTTP ports that its renter named."""
    access: Mapping[str, str]
    """By port, who may call; closed where nothing is said."""
    public_keys: tuple[str, ...]

    def is_open(self, port: int) -> bool:
        """Whether anybody may call a port."""
        return self.access.get(str(port)) == "open"


class Directory:
    """Routes and callers, kept for a moment."""

    def __init__(self, database: Database, world: World) -> None:
        self._database = database
        self._world = world
        self._routes: Memory[Route] = Memory(world)
        self._callers: Memory[Caller] = Memory(world)

    async def route(self, pod: str) -> Route:
        """Return the way to a pod. Raises `NoSuchPod`."""
        known = await self._routes.find(pod, self._look_up)
        if known is None:
            raise NoSuchPod(f"there is no pod {pod}")
        return known

    async def caller(self, secret: str) -> Caller | None:
        """Return whose key this is, None for a key that is not good."""
        digest = digest_of(secret)
        return await self._callers.find(digest, self._identify)

    def knows_open(self, pod: str, port: int) -> bool:
        """Tell whether a port was open to everybody when it was last looked up."""
        known = self._routes.last(pod)
        return known is not None and known.is_open(port)

    def knows_key(self, secret: str) -> bool:
        """Tell whether a key was good when it was last looked up."""
        return bool(secret) and self._callers.knows(digest_of(secret))

    async def _look_up(self, pod: str) -> Route | None:
        async with self._database.reading() as tx:
            return await _route(tx, pod)

    async def _identify(self, digest: str) -> Caller | None:
        async with self._database.reading() as tx:
            return await accounts.caller_by(tx, digest, self._world.now())


class Memory(Generic[Kept]):
    """Values that are believed for two seconds; there is an end to how many."""

    def __init__(self, world: World) -> None:
        self._elapsed: Callable[[], Span] = world.elapsed
        self._kept: dict[str, tuple[Span, Kept]] = {}
        self._asked: dict[str, asyncio.Future[Kept | None]] = {}

    def get(self, name: str) -> Kept | None:
        """Return what is known and fresh."""
        found = self._kept.get(name)
        if found is None or self._elapsed() - found[0] > FRESH:
            return None
        return found[1]

    def last(self, name: str) -> Kept | None:
        """Return what was found last, however old."""
        found = self._kept.get(name)
        return None if found is None else found[1]

    def knows(self, name: str) -> bool:
        """Tell whether something was found when it was last looked up."""
        return name in self._kept

    def keep(self, name: str, value: Kept) -> None:
        """Remember a value."""
        if len(self._kept) >= _MOST:
            self._kept.clear()
        self._kept[name] = (self._elapsed(), value)

    async def find(self, name: str, look_up: LookUp[Kept]) -> Kept | None:
        """Return what is known, or look it up; others who want it wait for the same answer.

        What will soon be too old is looked up ahead, so that a crowd need not wait for it. Raises
        `DatabaseAway` where no answer comes in time, and what `look_up` raises.
        """
        kept = self._kept.get(name)
        age = FRESH + 1 if kept is None else self._elapsed() - kept[0]
        if kept is not None and age <= _AHEAD:
            return kept[1]
        asked = self._asked.get(name)
        if asked is None:
            asked = self._asked[name] = asyncio.ensure_future(self._ask(name, look_up))
            asked.add_done_callback(lambda done: self._end(name, done))
        if kept is not None and age <= FRESH:
            return kept[1]
        return await asyncio.shield(asked)  # one who goes away takes it from nobody else

    async def _ask(self, name: str, look_up: LookUp[Kept]) -> Kept | None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                value = await look_up(name)
        except TimeoutError as error:
            raise DatabaseAway("the database does not answer") from error
        if value is None:
            self._kept.pop(name, None)
        if value is not None:
            self.keep(name, value)
        return value

    def _end(self, name: str, done: asyncio.Future[Kept | None]) -> None:
        del self._asked[name]
        if not done.cancelled():
            done.exception()  # told to whoever waits, if anybody still does


async def reach(tunnels: Tunnels, route: Route, port: int) -> Stream:
    """Open a stream to a port of a pod. Raises `NothingThere`, `HostAway`: why it cannot be now."""
    check_runs(route)
    try:
        return await tunnels.open(route.host, route.pod, port)
    except NothingThere as error:
        raise NothingThere(
            f"nothing answers on port {port} of pod {route.pod}: {error.message}",
            hint="what the pod runs may still be starting; it has to listen on 0.0.0.0",
        ) from error


def check_runs(route: Route) -> None:
    """Raise `NothingThere` for a pod that does not run."""
    if route.status is not Status.RUNNING:
        because = f" ({route.reason})" if route.reason else ""
        raise NothingThere(
            f"pod {route.pod} is {route.status}{because}, so nothing answers in it",
            hint="look at its log, or start it",
        )


def pod_in(name: str) -> str:
    """Return the pod's id in a name of it; RunPod's clients add eight digits to it for SSH."""
    return name.partition(_MARK)[0]


async def _route(tx: Transaction, pod: str) -> Route | None:
    found = await pods.pod_of(tx, pod)
    if found is None or found.state.status is Status.TERMINATED:
        return None
    account = await accounts.account_of(tx, found.account)
    return Route(
        pod=found.id,
        account=found.account,
        host=found.host or "",
        status=found.state.status,
        reason=found.reason,
        ports=_http_ports(found),
        access=found.spec.access,
        public_keys=() if account is None else account.public_keys,
    )


def _http_ports(pod: Pod) -> frozenset[int]:
    pairs = (port.partition("/") for port in pod.spec.ports)
    return frozenset(int(number) for number, _, kind in pairs if kind == "http")

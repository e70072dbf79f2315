"""Share links to a port of a pod, and tickets for its terminal."""

from collections.abc import Sequence
from datetime import timedelta

from puna.errors import Invalid, NotFound
from puna.market.actions.accounts import digest_of
from puna.market.actions.renting import NoSuchPod
from puna.market.db import pods, shares as db
from puna.market.db.accounts import Caller
from puna.market.db.database import Transaction
from puna.market.db.pods import Pod
from puna.market.db.shares import Share
from puna.market.domain.pods import Status
from puna.world import World

_TICKET_LIFE = timedelta(seconds=60)
LONGEST = timedelta(days=30)


class NoSuchShare(NotFound):
    """The pod has no share link of this id that is good."""

    code = "no_such_share"


class InvalidShare(Invalid):
    """No link can be made of this."""

    code = "invalid_share"


async def share_port(
    tx: Transaction, world: World, caller: Caller, wish: tuple[str, int, timedelta]
) -> Share:
    """Make a link to a port of a pod, for a time. Raises `NoSuchPod`, `InvalidShare`."""
    name, port, lives = wish
    pod = await _pod(tx, caller, name)
    if f"{port}/http" not in pod.spec.ports:
        raise InvalidShare(f"{port} is no HTTP port of pod {name}")
    if not timedelta(0) < lives <= LONGEST:
        raise InvalidShare(f"a link is good for a moment up to {LONGEST.days} days")
    now = world.now()
    share = Share(id=world.token()[:20], pod=name, port=port, created=now, expires=now + lives)
    await db.add_share(tx, share)
    await pods.say(tx, name, f"port {port} is shared until {share.expires:%F %T}", now)
    return share


async def shares_of(
    tx: Transaction, caller: Caller, pod: str, *, after: str = "", limit: int = 100
) -> Sequence[Share]:
    """Return a page of a pod's links. Raises `NoSuchPod`."""
    await _pod(tx, caller, pod)
    return await db.shares_of(tx, pod, after=after, limit=limit)


async def revoke_share(tx: Transaction, world: World, caller: Caller, pod: str, share: str) -> None:
    """End a link; it is good for two more seconds. Raises `NoSuchPod`, `NoSuchShare`."""
    await _pod(tx, caller, pod)
    if not await db.revoke_share(tx, pod, share, world.now()):
        raise NoSuchShare(f"pod {pod} has no share link {share}")


async def make_ticket(tx: Transaction, world: World, caller: Caller, pod: str) -> str:
    """Return a secret by which one terminal of a pod can be opened within a minute, once.

    Raises `NoSuchPod`.
    """
    await _pod(tx, caller, pod)
    secret = world.token()
    await db.add_ticket(tx, digest_of(secret), pod, world.now() + _TICKET_LIFE)
    return secret


async def use_ticket(tx: Transaction, world: World, pod: str, secret: str) -> bool:
    """Take a ticket; False where it is not good for this pod, or not any more."""
    return await db.use_ticket(tx, digest_of(secret), pod, world.now())


async def _pod(tx: Transaction, caller: Caller, name: str) -> Pod:
    found = await pods.pod_of(tx, name, caller.account.id)
    if found is None or found.state.status is Status.TERMINATED:
        raise NoSuchPod(f"there is no pod {name}")
    return found

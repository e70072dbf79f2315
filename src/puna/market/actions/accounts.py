"""Accounts and keys: opened, known, ended; and the credit that the operator grants."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from puna.errors import Conflict, Denied, Invalid, NotFound
from puna.market.db import accounts as db
from puna.market.db.accounts import Account, ApiKey, Caller, JoinToken
from puna.market.db.database import Transaction, take_the_floor
from puna.market.db.ledger import post
from puna.market.domain.hosts import Cloud
from puna.market.domain.ledger import grant
from puna.text import one_line
from puna.units import Money
from puna.world import World

MARK = "rpa_"
"""What RunPod's keys begin with, which some of its clients look for."""
_SHOWN = len(MARK) + 4
_JOIN_LIFE = timedelta(hours=24)


class UnknownKey(Denied):
    """No key was sent, or none that is good."""

    code = "unknown_key"
    status = 401


class ReadOnlyKey(Denied):
    """The key may look and not change."""

    code = "read_only_key"


class InvalidKey(Invalid):
    """What was sent is no public key."""

    code = "invalid_public_key"


class PodsKey(Denied):
    """The key lies in a pod, and is for that pod alone."""

    code = "pods_key"


class NoSuchAccount(NotFound):
    """There is no account of this id or address."""

    code = "no_such_account"


class NoSuchKey(NotFound):
    """The account has no key of this id or name."""

    code = "no_such_key"


class AccountTaken(Conflict):
    """An account of this address exists."""

    code = "account_taken"


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key. `secret` is shown this once: only its digest is kept."""

    key: ApiKey
    secret: str


async def open_account(
    tx: Transaction, world: World, email: str, *, is_admin: bool = False
) -> Account:
    """Open an account. Raises `AccountTaken`."""
    if await db.account_of(tx, email) is not None:
        raise AccountTaken(f"an account for {email} exists")
    account = Account(
        id=f"user_{world.token()[:16]}", email=email, is_admin=is_admin, created=world.now()
    )
    await db.add_account(tx, account)
    return account


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWish:
    """What a key is to be."""

    name: str = "key"
    may_write: bool = True
    lives: timedelta | None = None


async def make_key(
    tx: Transaction, world: World, account: str, wish: KeyWish | None = None
) -> MadeKey:
    """Make a key for an account."""
    wish = wish or KeyWish()
    secret = f"{MARK}{world.token()}{world.token()}"
    now = world.now()
    key = ApiKey(
        id=world.token()[:16],
        account=account,
        name=wish.name,
        prefix=secret[:_SHOWN],
        digest=digest_of(secret),
        may_write=wish.may_write,
        created=now,
        expires=now + wish.lives if wish.lives else None,
    )
    await db.add_key(tx, key)
    return MadeKey(key, secret)


async def replace_public_keys(tx: Transaction, account: str, keys: Sequence[str]) -> Sequence[str]:
    """Set the SSH keys that open an account's pods, all anew; return them. Raises `InvalidKey`."""
    kept = list(dict.fromkeys(key.strip() for key in keys))
    wrong = next((key for key in kept if not _PUBLIC.fullmatch(key)), None)
    if wrong is not None:
        raise InvalidKey(
            f'"{one_line(wrong, _SHOWN_OF_A_KEY)}" is not a public key of SSH',
            hint="send a line like that of ~/.ssh/id_ed25519.pub",
        )
    await db.set_public_keys(tx, account, kept)
    return kept


_PUBLIC = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ +[A-Za-z0-9+/]+=*( [^\n\r\0]*)?", re.IGNORECASE)
_SHOWN_OF_A_KEY = 40


async def revoke_key(tx: Transaction, world: World, account: str, key: str) -> None:
    """End a key of an account. Raises `NoSuchKey`."""
    if not await db.revoke_key(tx, account, key, world.now()):
        raise NoSuchKey(f"there is no key {key}, or it is revoked already")


async def first_admin(tx: Transaction, world: World) -> MadeKey | None:
    """Open the operator's account with a key; None where there is one already."""
    await take_the_floor(tx)  # of several processes that start together, one does it
    if await db.has_admin(tx):
        return None
    admin = await open_account(tx, world, "admin@localhost", is_admin=True)
    return await make_key(tx, world, admin.id, KeyWish(name="admin"))


async def identify(tx: Transaction, world: World, secret: str) -> Caller:
    """Return who asks. Raises `UnknownKey`."""
    caller = await db.caller_by(tx, digest_of(secret), world.now())
    if caller is None:
        raise UnknownKey("the key is unknown, revoked or over", hint="send a key as a bearer token")
    return caller


async def make_pod_key(tx: Transaction, world: World, account: str, pod: str) -> str:
    """Return a new key that lies in a pod and may stop and terminate it; older ones end."""
    await db.revoke_keys_of(tx, pod, world.now())
    secret = f"{MARK}{world.token()}{world.token()}"
    key = ApiKey(
        id=world.token()[:16],
        account=account,
        name=f"pod {pod}",
        prefix=secret[:_SHOWN],
        digest=digest_of(secret),
        may_write=True,
        created=world.now(),
        pod=pod,
    )
    await db.add_key(tx, key)
    return secret


def check_may_manage(caller: Caller) -> None:
    """Raise `PodsKey` for a key that lies in a pod: it is for that pod alone."""
    if caller.key.pod is not None:
        raise PodsKey(f"this key may only stop and terminate the pod {caller.key.pod}")


def check_may_act_on(caller: Caller, pod: str) -> None:
    """Raise `PodsKey` for a key that lies in another pod."""
    if caller.key.pod is not None and caller.key.pod != pod:
        raise PodsKey(f"this key may only stop and terminate the pod {caller.key.pod}")


def check_may_write(caller: Caller) -> None:
    """Raise `ReadOnlyKey` for a key that may only look."""
    if not caller.key.may_write:
        raise ReadOnlyKey(f"the key {caller.key.prefix}... may only read")


async def grant_credit(
    tx: Transaction, world: World, id_or_email: str, amount: Money, *, key: str
) -> Account:
    """Give an account credit, once for each `key`. Raises `NoSuchAccount`."""
    account = await db.account_of(tx, id_or_email)
    if account is None:
        raise NoSuchAccount(f"there is no account {id_or_email}")
    await post(tx, grant(account.id, amount, key=f"grant:{key}", at=world.now()))
    return account


async def make_join_token(tx: Transaction, world: World, account: str, cloud: Cloud) -> str:
    """Return a token by which one machine of an account may join within a day."""
    secret = f"join_{world.token()}"
    now = world.now()
    token = JoinToken(
        digest=digest_of(secret),
        account=account,
        cloud=cloud,
        created=now,
        expires=now + _JOIN_LIFE,
    )
    await db.add_join_token(tx, token)
    return secret


def digest_of(secret: str) -> str:
    """Return what is kept of a secret: it has 128 bits of chance or more, so a hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()

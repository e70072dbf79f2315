"""Accounts, and the keys by which they are known. Only digests of keys are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, func, insert, or_, select, update

from puna.market.db.database import Transaction
from puna.market.db.tables import accounts, join_tokens, keys
from puna.market.domain.hosts import Cloud


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who rents, lends, or runs the market."""

    id: str
    email: str
    is_admin: bool
    public_keys: tuple[str, ...] = ()
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is kept of a key."""

    id: str
    account: str
    name: str
    prefix: str
    digest: str
    may_write: bool
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    pod: str | None = None
    """The only pod that it may stop and terminate, for the key that lies in a pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """By it one machine of an account may join, once; the market's operator vouches for `cloud`."""

    digest: str
    account: str
    cloud: Cloud
    created: datetime
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: an account, by one of its keys."""

    account: Account
    key: ApiKey


async def add_account(tx: Transaction, account: Account) -> None:
    """Keep a new account."""
    await tx.execute(
        insert(accounts).values(
            id=account.id,
            email=account.email,
            is_admin=account.is_admin,
            public_keys=list(account.public_keys),
            created=account.created,
        )
    )


async def account_of(tx: Transaction, id_or_email: str) -> Account | None:
    """Return an account by its id or its address."""
    matches = or_(accounts.c.id == id_or_email, accounts.c.email == id_or_email)
    row = (await tx.execute(select(accounts).where(matches))).one_or_none()
    return None if row is None else _account(row)


async def has_admin(tx: Transaction) -> bool:
    """Tell whether somebody can run this market."""
    found = await tx.scalar(select(func.count()).where(accounts.c.is_admin))
    return bool(found)


async def first_operator(tx: Transaction) -> str:
    """Return the account that has run this market longest; there must be one."""
    wanted = select(accounts.c.id).where(accounts.c.is_admin).order_by(accounts.c.created)
    return str((await tx.execute(wanted.limit(1))).scalar_one())


async def set_public_keys(tx: Transaction, account: str, public_keys: Sequence[str]) -> None:
    """Replace an account's SSH keys."""
    change = update(accounts).where(accounts.c.id == account)
    await tx.execute(change.values(public_keys=list(public_keys)))


async def add_key(tx: Transaction, key: ApiKey) -> None:
    """Keep a new key."""
    await tx.execute(
        insert(keys).values(
            id=key.id,
            account=key.account,
            name=key.name,
            prefix=key.prefix,
            digest=key.digest,
            may_write=key.may_write,
            created=key.created,
            expires=key.expires,
            pod=key.pod,
        )
    )


async def revoke_keys_of(tx: Transaction, pod: str, now: datetime) -> None:
    """End every key that lies in a pod."""
    change = update(keys).where(keys.c.pod == pod, keys.c.revoked.is_(None))
    await tx.execute(change.values(revoked=now))


async def public_keys_of(tx: Transaction, account: str) -> Sequence[str]:
    """Return an account's SSH keys."""
    found = await tx.scalar(select(accounts.c.public_keys).where(accounts.c.id == account))
    return tuple(found or ())


_CALLERS = select(
    keys,
    accounts.c.email,
    accounts.c.is_admin,
    accounts.c.public_keys,
    accounts.c.created.label("opened"),
).join(accounts, keys.c.account == accounts.c.id)
"""Every request asks who its caller is, so it is one question."""


async def caller_by(tx: Transaction, digest: str, now: datetime) -> Caller | None:
    """Return whose key has this digest; None where it is unknown, revoked or over."""
    valid = (
        keys.c.digest == digest,
        keys.c.revoked.is_(None),
        or_(keys.c.expires.is_(None), keys.c.expires > now),
    )
    row = (await tx.execute(_CALLERS.where(*valid))).one_or_none()
    if row is None:
        return None
    account = Account(
        id=row.account,
        email=row.email,
        is_admin=row.is_admin,
        public_keys=tuple(row.public_keys),
        created=row.opened,
    )
    return Caller(account=account, key=_key(row))


async def revoke_key(tx: Transaction, account: str, key: str, now: datetime) -> bool:
    """End a key of an account; False where it has none of this id."""
    change = update(keys).where(
        keys.c.account == account, keys.c.id == key, keys.c.revoked.is_(None)
    )
    return (await tx.execute(change.values(revoked=now))).rowcount == 1


async def keys_of(
    tx: Transaction, account: str, *, after: str = "", limit: int = 100
) -> Sequence[ApiKey]:
    """Return a page of an account's keys that are not revoked, by id."""
    wanted = select(keys).where(
        keys.c.account == account,
        keys.c.revoked.is_(None),
        keys.c.pod.is_(None),
        keys.c.id > after,
    )
    rows = await tx.execute(wanted.order_by(keys.c.id).limit(limit))
    return [_key(row) for row in rows]


async def add_join_token(tx: Transaction, token: JoinToken) -> None:
    """Keep a token by which one machine may join."""
    await tx.execute(
        insert(join_tokens).values(
            digest=token.digest,
            account=token.account,
            cloud=str(token.cloud),
            created=token.created,
            expires=token.expires,
        )
    )


async def use_join_token(tx: Transaction, digest: str, now: datetime) -> JoinToken | None:
    """Take a token; None where it is unknown, used or over."""
    change = update(join_tokens).where(
        join_tokens.c.digest == digest, join_tokens.c.used.is_(None), join_tokens.c.expires > now
    )
    row = (await tx.execute(change.values(used=now).returning(join_tokens))).one_or_none()
    if row is None:
        return None
    return JoinToken(
        digest=row.digest,
        account=row.account,
        cloud=Cloud(row.cloud),
        created=row.created,
        expires=row.expires,
    )


def _account(row: Row[tuple[object, ...]]) -> Account:
    return Account(
        id=row.id,
        email=row.email,
        is_admin=row.is_admin,
        public_keys=tuple(row.public_keys),
        created=row.created,
    )


def _key(row: Row[tuple[object, ...]]) -> ApiKey:
    return ApiKey(
        id=row.id,
        account=row.account,
        name=row.name,
        prefix=row.prefix,
        digest=row.digest,
        may_write=row.may_write,
        created=row.created,
        expires=row.expires,
        revoked=row.revoked,
        pod=row.pod,
    )

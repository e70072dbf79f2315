"""What the operator looks at: accounts, keys, hosts, tokens and orphans in pages, and sums."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, literal, select, tuple_, update

from puna.market.db.database import Transaction
from puna.market.db.tables import (
    accounts,
    balances,
    hosts,
    join_tokens,
    keys,
    loop_turns,
    orphans,
    pods,
)
from puna.market.domain.hosts import STALE_AFTER
from puna.market.domain.ledger import BookKind
from puna.units import Money

Line = Row[Any]
Found = Sequence[Line]


async def accounts_page(tx: Transaction, *, after: str, limit: int) -> Found:
    """Return accounts by id, each with its `balance`, what it `earned`, its `keys` and `pods`."""
    wanted = _accounts().where(accounts.c.id > after).order_by(accounts.c.id).limit(limit)
    found: Found = (await tx.execute(wanted)).all()
    return found


async def account_row(tx: Transaction, account: str) -> Line:
    """Return one account as the page shows it; it must be there."""
    found: Line = (await tx.execute(_accounts().where(accounts.c.id == account))).one()
    return found


def _accounts() -> Select[Any]:
    good = select(func.count()).where(
        keys.c.account == accounts.c.id, keys.c.revoked.is_(None), keys.c.pod.is_(None)
    )
    there = select(func.count()).where(pods.c.account == accounts.c.id, pods.c.closed.is_(None))
    return select(
        accounts,
        _balance(BookKind.RENTER, accounts.c.id).label("balance"),
        _balance(BookKind.HOST, accounts.c.id).label("earned"),
        good.scalar_subquery().label("keys"),
        there.scalar_subquery().label("pods"),
    )


def _balance(kind: BookKind, owner: ColumnElement[str]) -> ColumnElement[Any]:
    book = literal(f"{kind}:").concat(owner)
    found = select(balances.c.amount).where(balances.c.book == book)
    return func.coalesce(found.scalar_subquery(), 0)


async def keys_page(
    tx: Transaction, *, account: str | None = None, after: str = "", limit: int
) -> Found:
    """Return keys by id: all of them, or those of one account."""
    wanted = select(keys).where(keys.c.id > after, keys.c.pod.is_(None))
    if account is not None:
        wanted = wanted.where(keys.c.account == account)
    found: Found = (await tx.execute(wanted.order_by(keys.c.id).limit(limit))).all()
    return found


async def account_of_key(tx: Transaction, key: str) -> str | None:
    """Return whose key has this id."""
    found = await tx.scalar(select(keys.c.account).where(keys.c.id == key))
    return None if found is None else str(found)


async def host_rows(tx: Transaction, *, after: str, limit: int) -> Found:
    """Return a page of hosts by id, each with its owner's `email`."""
    wanted = _hosts().where(hosts.c.id > after).order_by(hosts.c.id).limit(limit)
    found: Found = (await tx.execute(wanted)).all()
    return found


async def host_row(tx: Transaction, host: str) -> Line:
    """Return one host as the page shows it; it must be there."""
    found: Line = (await tx.execute(_hosts().where(hosts.c.id == host))).one()
    return found


def _hosts() -> Select[Any]:
    owner = accounts.c.id == hosts.c.account
    return select(hosts.c.id, hosts.c.name, hosts.c.joined, accounts.c.email).join(accounts, owner)


async def drain(tx: Transaction, host: str, *, is_draining: bool) -> bool:
    """Let a host get no new pods, or new ones again; False where there is none of this id."""
    change = update(hosts).where(hosts.c.id == host).values(is_draining=is_draining)
    return (await tx.execute(change)).rowcount == 1


async def tokens_page(tx: Transaction, *, after: str, limit: int) -> Found:
    """Return join tokens by digest, each with its account's `email`."""
    wanted = _tokens().where(join_tokens.c.digest > after).order_by(join_tokens.c.digest)
    found: Found = (await tx.execute(wanted.limit(limit))).all()
    return found


async def token_row(tx: Transaction, digest: str) -> Line:
    """Return one token as the page shows it; it must be there."""
    found: Line = (await tx.execute(_tokens().where(join_tokens.c.digest == digest))).one()
    return found


def _tokens() -> Select[Any]:
    owner = accounts.c.id == join_tokens.c.account
    return select(join_tokens, accounts.c.email).join(accounts, owner)


async def orphans_page(tx: Transaction, *, after: tuple[str, str], limit: int) -> Found:
    """Return containers that belong to nobody, by host and pod."""
    place = tuple_(orphans.c.host, orphans.c.pod)
    wanted = select(orphans).where(place > tuple_(literal(after[0]), literal(after[1])))
    found: Found = (
        await tx.execute(wanted.order_by(orphans.c.host, orphans.c.pod).limit(limit))
    ).all()
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """The market in numbers."""

    accounts: int
    hosts: int
    hosts_fresh: int
    orphans: int
    pods: Mapping[str, int]
    money: Mapping[str, Money]
    loops: Mapping[str, datetime]


async def sums(tx: Transaction, now: datetime) -> Sums:
    """Count everything."""
    fresh = hosts.c.seen >= now - STALE_AFTER.timedelta
    open_pods = select(pods.c.desired, pods.c.observed, func.count().label("many"))
    open_pods = open_pods.where(pods.c.closed.is_(None)).group_by(pods.c.desired, pods.c.observed)
    turns = await tx.execute(select(loop_turns))
    return Sums(
        accounts=await _count(tx, select(func.count()).select_from(accounts)),
        hosts=await _count(tx, select(func.count()).select_from(hosts)),
        hosts_fresh=await _count(tx, select(func.count()).select_from(hosts).where(fresh)),
        orphans=await _count(tx, select(func.count()).select_from(orphans)),
        pods={f"{row.desired}/{row.observed}": row.many for row in await tx.execute(open_pods)},
        money={str(kind): await _sum_of(tx, kind) for kind in BookKind},
        loops={row.loop: row.taken for row in turns},
    )


async def _count(tx: Transaction, wanted: Select[Any]) -> int:
    return int(await tx.scalar(wanted) or 0)


async def _sum_of(tx: Transaction, kind: BookKind) -> Money:
    of_kind = (balances.c.book == str(kind)) | balances.c.book.startswith(f"{kind}:")
    total = await tx.scalar(select(func.coalesce(func.sum(balances.c.amount), 0)).where(of_kind))
    return Money(int(total or 0))

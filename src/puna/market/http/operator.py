"""What the market's operator does: accounts, keys, credit, hosts, tokens, orphans, notices, looks.

Every path needs a key of an account that runs the market. Lists are paged in the database.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from puna.errors import NotFound
from puna.market.actions import accounts
from puna.market.actions.accounts import KeyWish, MadeKey, NoSuchAccount
from puna.market.actions.earning import pay_owner
from puna.market.db import directory, notices
from puna.market.db.accounts import Account, ApiKey, account_of, revoke_key
from puna.market.db.database import Transaction
from puna.market.db.directory import Line
from puna.market.db.hosts import host_of
from puna.market.db.ledger import balance_of, imbalance, renter
from puna.market.db.notices import Notice
from puna.market.domain.hosts import Cloud, Host
from puna.market.http.auth import ThisMarket, operator, reading, writing
from puna.market.http.money import exact
from puna.market.market import Market
from puna.units import Money
from puna.version import __version__
from puna.wire import operator as wire

router = APIRouter(prefix=wire.PATH, dependencies=[Depends(operator)])
After = Annotated[str, Query(max_length=128)]
Limit = Annotated[int, Query(ge=1, le=1000)]


class NoSuchKey(NotFound):
    """There is no key of this id, or it was revoked."""

    code = "no_such_key"


class NoSuchHost(NotFound):
    """There is no host of this id."""

    code = "no_such_host"


class NoSuchNotice(NotFound):
    """There is no open notice of this number."""

    code = "no_such_notice"


@router.get("/status")
async def status(market: ThisMarket) -> wire.Status:
    """Tell how the market is."""
    async with reading(market) as tx:
        sums = await directory.sums(tx, market.world.now())
        apart = await imbalance(tx)
    return wire.Status(
        version=__version__,
        database="postgresql" if market.database.is_shared else "sqlite",
        accounts=sums.accounts,
        hosts=sums.hosts,
        hosts_fresh=sums.hosts_fresh,
        hosts_waiting=market.waiting.count,
        pods=dict(sums.pods),
        money={kind: exact(amount) for kind, amount in sums.money.items()},
        imbalance=exact(apart),
        orphans=sums.orphans,
        loops={name: f"{taken:%Y-%m-%dT%H:%M:%SZ}" for name, taken in sums.loops.items()},
    )


@router.get("/accounts")
async def list_accounts(market: ThisMarket, after: After = "", limit: Limit = 100) -> wire.Accounts:
    """List accounts, with what each may spend and has earned."""
    async with reading(market) as tx:
        rows = await directory.accounts_page(tx, after=after, limit=limit)
    shown = [_account(row) for row in rows]
    return wire.Accounts(accounts=shown, next=_next([each.id for each in shown], limit))


@router.post("/accounts", status_code=201)
async def open_account(market: ThisMarket, wanted: wire.OpenAccount) -> wire.Opened:
    """Open an account with a key, which is shown this once."""
    async with writing(market) as tx:
        account = await accounts.open_account(
            tx, market.world, wanted.email, is_admin=wanted.is_admin
        )
        made = await accounts.make_key(tx, market.world, account.id)
        row = await directory.account_row(tx, account.id)
    return wire.Opened(account=_account(row), key=_made(made))


@router.get("/keys")
async def list_keys(
    market: ThisMarket, account: str = "", after: After = "", limit: Limit = 100
) -> wire.Keys:
    """List keys, of one account where it is named."""
    async with reading(market) as tx:
        owner = (await _account_named(tx, account)).id if account else None
        rows = await directory.keys_page(tx, account=owner, after=after, limit=limit)
    shown = [_key(row) for row in rows]
    return wire.Keys(keys=shown, next=_next([each.id for each in shown], limit))


@router.post("/keys", status_code=201)
async def make_key(market: ThisMarket, wanted: wire.MakeKey) -> wire.KeyShown:
    """Make a key for an account; it is shown this once."""
    lives = timedelta(seconds=wanted.lives_s) if wanted.lives_s else None
    wish = KeyWish(name=wanted.name, may_write=wanted.may_write, lives=lives)
    async with writing(market) as tx:
        account = await _account_named(tx, wanted.account)
        return _made(await accounts.make_key(tx, market.world, account.id, wish))


@router.delete("/keys/{key}", status_code=204)
async def end_key(market: ThisMarket, key: str) -> None:
    """Let a key open nothing from now on."""
    async with writing(market) as tx:
        owner = await directory.account_of_key(tx, key)
        if owner is None or not await revoke_key(tx, owner, key, market.world.now()):
            raise NoSuchKey(f"there is no key {key} that is good")


@router.post("/credit")
async def grant(market: ThisMarket, wanted: wire.GrantCredit) -> wire.Granted:
    """Give an account credit; asked for twice with the same `once`, it is given once."""
    amount = Money.parse(wanted.amount)
    async with writing(market) as tx:
        account = await accounts.grant_credit(
            tx, market.world, wanted.account, amount, key=wanted.once
        )
        balance = await balance_of(tx, renter(account.id))
    return wire.Granted(account=account.id, email=account.email, balance=exact(balance))


@router.post("/payouts")
async def pay_out(market: ThisMarket, wanted: wire.PayOut) -> wire.PaidOut:
    """Note that an owner was paid what his machines have earned, or a part of it."""
    amount = Money.parse(wanted.amount) if wanted.amount else None
    async with writing(market) as tx:
        paid = await pay_owner(tx, market.world, wanted.account, amount, once=wanted.once)
    return wire.PaidOut(
        account=paid.account.id,
        email=paid.account.email,
        amount=exact(paid.amount),
        left=exact(paid.left),
    )


@router.get("/hosts")
async def list_hosts(market: ThisMarket, after: After = "", limit: Limit = 100) -> wire.Hosts:
    """List machines: what each has, what of it is taken, and whether it is there."""
    async with reading(market) as tx:
        rows = await directory.host_rows(tx, after=after, limit=limit)
        shown = [await _host(tx, market, row) for row in rows]
    return wire.Hosts(hosts=shown, next=_next([each.id for each in shown], limit))


@router.patch("/hosts/{host}")
async def change_host(market: ThisMarket, host: str, wanted: wire.ChangeHost) -> wire.HostShown:
    """Let a machine get no new pods, or new ones again."""
    async with writing(market) as tx:
        if not await directory.drain(tx, host, is_draining=wanted.is_draining):
            raise NoSuchHost(f"there is no host {host}")
        return await _host(tx, market, await directory.host_row(tx, host))


@router.get("/tokens")
async def list_tokens(market: ThisMarket, after: After = "", limit: Limit = 100) -> wire.Tokens:
    """List tokens by which machines may join, and those that were used."""
    async with reading(market) as tx:
        rows = await directory.tokens_page(tx, after=after, limit=limit)
    return wire.Tokens(
        tokens=[_token(row) for row in rows], next=_next([row.digest for row in rows], limit)
    )


@router.post("/tokens", status_code=201)
async def make_token(market: ThisMarket, wanted: wire.MakeToken) -> wire.TokenShown:
    """Make a token by which one machine of an account may join; it is shown this once."""
    async with writing(market) as tx:
        account = await _account_named(tx, wanted.account)
        secret = await accounts.make_join_token(tx, market.world, account.id, Cloud(wanted.cloud))
        row = await directory.token_row(tx, accounts.digest_of(secret))
    return _token(row).model_copy(update={"secret": secret})


@router.get("/orphans")
async def list_orphans(market: ThisMarket, after: After = "", limit: Limit = 100) -> wire.Orphans:
    """List containers with the market's label that belong to nobody."""
    host, _, pod = after.partition("/")
    async with reading(market) as tx:
        rows = await directory.orphans_page(tx, after=(host, pod), limit=limit)
    shown = [
        wire.OrphanShown(host=row.host, pod=row.pod, since=row.since, reason=row.reason)
        for row in rows
    ]
    return wire.Orphans(
        orphans=shown, next=_next([f"{each.host}/{each.pod}" for each in shown], limit)
    )


@router.get("/notices")
async def list_notices(market: ThisMarket, after: After = "", limit: Limit = 100) -> wire.Notices:
    """List what the operator should see and has not cleared, the oldest first."""
    last = int(after[:18]) if after.isascii() and after.isdigit() else 0
    async with reading(market) as tx:
        rows = await notices.notices_page(tx, after=last, limit=limit)
    return wire.Notices(
        notices=[_notice(row) for row in rows],
        next=_next([str(row.number) for row in rows], limit),
    )


@router.delete("/notices/{number}", status_code=204)
async def clear_notice(market: ThisMarket, number: int) -> None:
    """Clear a notice: it is said again only if it happens again."""
    async with writing(market) as tx:
        if not await notices.clear(tx, number, market.world.now()):
            raise NoSuchNotice(f"there is no open notice {number}")


def _notice(row: Notice) -> wire.NoticeShown:
    return wire.NoticeShown(
        number=row.number,
        kind=str(row.kind),
        subject=row.subject,
        text=row.text,
        first=row.first,
        last=row.last,
        times=row.times,
        stops_renting=row.kind in notices.STOPS_RENTING,
    )


async def _account_named(tx: Transaction, id_or_email: str) -> Account:
    found = await account_of(tx, id_or_email)
    if found is None:
        raise NoSuchAccount(f"there is no account {id_or_email}")
    return found


def _next(ids: Sequence[str], limit: int) -> str:
    return ids[-1] if len(ids) == limit else ""


def _account(row: Line) -> wire.AccountShown:
    return wire.AccountShown(
        id=row.id,
        email=row.email,
        is_admin=row.is_admin,
        created=row.created,
        balance=exact(Money(row.balance)),
        earned=exact(Money(row.earned)),
        keys=row.keys,
        pods=row.pods,
    )


def _key(key: Line | ApiKey) -> wire.KeyShown:
    return wire.KeyShown(
        id=key.id,
        account=key.account,
        name=key.name,
        prefix=key.prefix,
        may_write=key.may_write,
        created=key.created,
        expires=key.expires,
        revoked=key.revoked,
    )


def _made(made: MadeKey) -> wire.KeyShown:
    return _key(made.key).model_copy(update={"secret": made.secret})


def _token(row: Line) -> wire.TokenShown:
    return wire.TokenShown(
        id=row.digest[:12],
        account=row.account,
        email=row.email,
        cloud=row.cloud,
        created=row.created,
        expires=row.expires,
        used=row.used,
    )


async def _host(tx: Transaction, market: Market, row: Line) -> wire.HostShown:
    host: Host = await host_of(tx, row.id)
    bid = host.terms.least_bid
    return wire.HostShown(
        id=host.id,
        name=row.name,
        account=host.owner,
        email=row.email,
        cloud=str(host.cloud),
        card=host.machine.card,
        cards=host.machine.cards,
        cards_free=host.free.cards,
        pods=len(host.tenants),
        price=exact(host.terms.price),
        least_bid=None if bid is None else exact(bid),
        is_fresh=host.is_fresh(market.world.now()),
        is_paused=host.terms.is_paused,
        is_draining=host.is_draining,
        seen=host.seen,
        joined=row.joined,
    )

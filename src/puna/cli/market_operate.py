"""What the operator does: `puna market status`, `accounts`, `keys`, `credit`, `hosts` and more."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import click
from pydantic import BaseModel

from puna.cli.keys import Life
from puna.cli.market_calls import OperatorCalls
from puna.cli.session import Session, pass_session
from puna.cli.view import print_table
from puna.text import one_line
from puna.units import Money, relative_time
from puna.wire import operator as wire

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_MOST = click.option(
    "--limit", type=click.IntRange(0), default=100, show_default=True, help="0 lists all."
)
Shown = TypeVar("Shown", bound=BaseModel)


@click.command()
@_JSON
@pass_session
def status(session: Session, *, as_json: bool) -> None:
    """Show how the market is: machines, pods, money, and when its loops took their turns."""
    found = OperatorCalls(session).get("/status", wire.Status)
    if as_json:
        _print(session, found)
        return
    now = session.world.now()
    rows = [
        ("version", f"{found.version} on {found.database}"),
        ("accounts", str(found.accounts)),
        ("hosts", f"{found.hosts}, {found.hosts_fresh} seen lately"),
        *((f"pods {state}", str(count)) for state, count in sorted(found.pods.items())),
        *((f"money {book}", f"${amount}") for book, amount in found.money.items()),
        ("books off by", f"${found.imbalance}"),
        ("orphans", str(found.orphans)),
        *(
            (f"loop {name}", relative_time(datetime.fromisoformat(taken), now))
            for name, taken in sorted(found.loops.items())
        ),
    ]
    print_table(session.terminal, ("WHAT", "NOW"), rows)


@click.group(invoke_without_command=True)
@_MOST
@_JSON
@click.pass_context
def accounts(ctx: click.Context, *, limit: int, as_json: bool) -> None:
    """List accounts, or open one."""
    if ctx.invoked_subcommand is None:
        session = ctx.ensure_object(Session)
        pages = OperatorCalls(session).pages("/accounts", wire.Accounts, most=limit)
        found = [each for page in pages for each in page.accounts]
        _show(session, found, as_json=as_json, header=_ACCOUNTS, row=_account_row)


@accounts.command("open", short_help="Open an account for EMAIL, and print its first key.")
@click.argument("email")
@click.option("--admin", is_flag=True, help="An operator of the market.")
@_JSON
@pass_session
def open_account(session: Session, *, email: str, admin: bool, as_json: bool) -> None:
    """Open an account for EMAIL, and print its first key: once, since only its digest is kept."""
    wanted = wire.OpenAccount(email=email, is_admin=admin)
    opened = OperatorCalls(session).post("/accounts", wanted, wire.Opened)
    if as_json:
        _print(session, opened)
        return
    session.terminal.say(f"Account {opened.account.id}. Its key is shown only now:")
    session.terminal.line(opened.key.secret)


@click.group(invoke_without_command=True)
@click.option("--account", default="", help="Those of one account: its id or address.")
@_MOST
@_JSON
@click.pass_context
def keys(ctx: click.Context, *, account: str, limit: int, as_json: bool) -> None:
    """List keys, make one, or revoke one."""
    if ctx.invoked_subcommand is None:
        session = ctx.ensure_object(Session)
        query = {"account": account} if account else {}
        pages = OperatorCalls(session).pages("/keys", wire.Keys, most=limit, **query)
        found = [each for page in pages for each in page.keys]
        _show(session, found, as_json=as_json, header=_KEYS, row=_key_row)


@keys.command("make")
@click.argument("account")
@click.option("--name", default="key", show_default=True, help="What to call it.")
@click.option("--read-only", is_flag=True, help="It may look and change nothing.")
@click.option("--expires", type=Life(), help="How long it is good for, such as 30d, 12h or 2w.")
@_JSON
@pass_session
def make_key(  # noqa: PLR0913 - one for each option
    session: Session,
    *,
    account: str,
    name: str,
    read_only: bool,
    expires: timedelta | None,
    as_json: bool,
) -> None:
    """Make a key for ACCOUNT (id or address), and print it: once."""
    lives = None if expires is None else round(expires.total_seconds())
    wanted = wire.MakeKey(account=account, name=name, may_write=not read_only, lives_s=lives)
    made = OperatorCalls(session).post("/keys", wanted, wire.KeyShown)
    if as_json:
        _print(session, made)
        return
    session.terminal.say(f'Key "{made.name}" ({made.id}). It is shown only now:')
    session.terminal.line(made.secret)


@keys.command("revoke")
@click.argument("key")
@pass_session
def revoke_key(session: Session, *, key: str) -> None:
    """Let a key open nothing from now on; KEY is its id."""
    OperatorCalls(session).delete("/keys", key)
    session.terminal.tell(f"revoked {key}")


@click.command()
@click.argument("account")
@click.argument("amount")
@click.option("--once", default="", help="A word: the same twice is one grant.")
@_JSON
@pass_session
def credit(session: Session, *, account: str, amount: str, once: str, as_json: bool) -> None:
    """Give ACCOUNT (id or address) credit of AMOUNT dollars."""
    Money.parse(amount)
    wanted = wire.GrantCredit(account=account, amount=amount, once=once or session.world.token())
    granted = OperatorCalls(session).post("/credit", wanted, wire.Granted)
    if as_json:
        _print(session, granted)
        return
    session.terminal.line(f"{granted.email} may spend ${granted.balance}")


@click.command()
@click.argument("account")
@click.argument("amount", default="")
@click.option("--once", default="", help="A word: the same twice is one payment.")
@_JSON
@pass_session
def payout(session: Session, *, account: str, amount: str, once: str, as_json: bool) -> None:
    """Note that ACCOUNT (id or address) was paid AMOUNT dollars, or all that it has earned.

    The money itself is sent by other means: this takes it off the books.
    """
    if amount:
        Money.parse(amount)
    wanted = wire.PayOut(account=account, amount=amount, once=once or session.world.token())
    paid = OperatorCalls(session).post("/payouts", wanted, wire.PaidOut)
    if as_json:
        _print(session, paid)
        return
    session.terminal.line(f"{paid.email} was paid ${paid.amount}; ${paid.left} is left")


@click.group(invoke_without_command=True)
@_MOST
@_JSON
@click.pass_context
def hosts(ctx: click.Context, *, limit: int, as_json: bool) -> None:
    """List machines, or let one get no new pods."""
    if ctx.invoked_subcommand is None:
        session = ctx.ensure_object(Session)
        pages = OperatorCalls(session).pages("/hosts", wire.Hosts, most=limit)
        found = [each for page in pages for each in page.hosts]
        now = session.world.now()
        _show(session, found, as_json=as_json, header=_HOSTS, row=lambda host: _host_row(host, now))


@hosts.command()
@click.argument("host")
@pass_session
def drain(session: Session, *, host: str) -> None:
    """Let HOST (its id) get no new pods; those that it has go on."""
    _change(session, host, is_draining=True)


@hosts.command()
@click.argument("host")
@pass_session
def undrain(session: Session, *, host: str) -> None:
    """Let HOST (its id) get new pods again."""
    _change(session, host, is_draining=False)


@click.group(invoke_without_command=True)
@_MOST
@_JSON
@click.pass_context
def tokens(ctx: click.Context, *, limit: int, as_json: bool) -> None:
    """List tokens by which machines may join, or make one."""
    if ctx.invoked_subcommand is None:
        session = ctx.ensure_object(Session)
        pages = OperatorCalls(session).pages("/tokens", wire.Tokens, most=limit)
        found = [each for page in pages for each in page.tokens]
        now = session.world.now()
        _show(
            session, found, as_json=as_json, header=_TOKENS, row=lambda each: _token_row(each, now)
        )


@tokens.command("make", short_help="Make a token by which one machine may join within a day.")
@click.argument("account")
@click.option(
    "--secure", is_flag=True, help="The machine stands in a data centre that you vouch for."
)
@_JSON
@pass_session
def make_token(session: Session, *, account: str, secure: bool, as_json: bool) -> None:
    """Make a token by which one machine of ACCOUNT (id or address) may join within a day."""
    wanted = wire.MakeToken(account=account, cloud="SECURE" if secure else "COMMUNITY")
    calls = OperatorCalls(session)
    made = calls.post("/tokens", wanted, wire.TokenShown)
    if as_json:
        _print(session, made)
        return
    session.terminal.say(f"On the machine: puna agent join {calls.url}. It asks for the token:")
    session.terminal.line(made.secret)


@click.command()
@_MOST
@_JSON
@pass_session
def orphans(session: Session, *, limit: int, as_json: bool) -> None:
    """List containers with the market's label that belong to nobody."""
    pages = OperatorCalls(session).pages("/orphans", wire.Orphans, most=limit)
    found = [each for page in pages for each in page.orphans]
    now = session.world.now()
    _show(
        session,
        found,
        as_json=as_json,
        header=("HOST", "POD", "SINCE", "REASON"),
        row=lambda each: (
            each.host,
            each.pod,
            relative_time(each.since, now),
            one_line(each.reason, 24),
        ),
    )


@click.group(invoke_without_command=True)
@_MOST
@_JSON
@click.pass_context
def notices(ctx: click.Context, *, limit: int, as_json: bool) -> None:
    """List what the operator should see, or clear it; ! stops renting until it is cleared."""
    if ctx.invoked_subcommand is None:
        session = ctx.ensure_object(Session)
        pages = OperatorCalls(session).pages("/notices", wire.Notices, most=limit)
        found = [each for page in pages for each in page.notices]
        now = session.world.now()
        _show(
            session,
            found,
            as_json=as_json,
            header=_NOTICES,
            row=lambda each: _notice_row(each, now),
        )


@notices.command("clear")
@click.argument("number", type=click.IntRange(1))
@pass_session
def clear_notice(session: Session, *, number: int) -> None:
    """Clear notice NUMBER: it is said again only if it happens again."""
    OperatorCalls(session).delete("/notices", str(number))
    session.terminal.say(f"Notice {number} is cleared.")


def _notice_row(each: wire.NoticeShown, now: datetime) -> Sequence[str]:
    mark = "!" if each.stops_renting else ""
    said = one_line(each.text, 40)
    return (f"{each.number}{mark}", said, str(each.times), relative_time(each.last, now))


_NOTICES = ("NR", "WHAT", "TIMES", "LAST")
_ACCOUNTS = ("EMAIL", "BALANCE", "EARNED", "KEYS", "PODS")
_KEYS = ("ID", "KEY", "NAME", "MAY", "STATE")
_HOSTS = ("ID", "NAME", "CARDS FREE", "PODS", "PRICE", "STATE")
_TOKENS = ("ID", "ACCOUNT", "CLOUD", "STATE")


def _account_row(each: wire.AccountShown) -> Sequence[str]:
    name = f"{each.email} (operator)" if each.is_admin else each.email
    return (
        one_line(name, 32),
        f"${each.balance}",
        f"${each.earned}",
        str(each.keys),
        str(each.pods),
    )


def _key_row(each: wire.KeyShown) -> Sequence[str]:
    state = "revoked" if each.revoked else f"until {each.expires:%Y-%m-%d}" if each.expires else ""
    may = "write" if each.may_write else "read"
    return (each.id, f"{each.prefix}...", one_line(each.name, 16), may, state or "good")


def _host_row(each: wire.HostShown, now: datetime) -> Sequence[str]:
    card = each.card.removeprefix("NVIDIA ").removeprefix("GeForce ")
    states = [
        "" if each.is_fresh else relative_time(each.seen, now),
        "paused" if each.is_paused else "",
        "drained" if each.is_draining else "",
    ]
    return (
        each.id,
        one_line(each.name, 12),
        one_line(f"{each.cards_free}/{each.cards} {card}", 14) if card else "none",
        str(each.pods),
        f"${each.price}",
        ", ".join(filter(None, states)) or "there",
    )


def _token_row(each: wire.TokenShown, now: datetime) -> Sequence[str]:
    if each.used:
        state = f"used {relative_time(each.used, now)}"
    else:
        state = "over" if each.expires <= now else f"until {each.expires:%Y-%m-%d %H:%M}"
    return (each.id, one_line(each.email, 24), each.cloud.lower(), state)


def _change(session: Session, host: str, *, is_draining: bool) -> None:
    changed = OperatorCalls(session).change_host(host, is_draining=is_draining)
    session.terminal.tell(f"{changed.name} {'gets no' if is_draining else 'may get'} new pods")


def _show(
    session: Session,
    found: Sequence[Shown],
    *,
    as_json: bool,
    header: Sequence[str],
    row: Callable[[Shown], Sequence[str]],
) -> None:
    if as_json:
        values = [each.model_dump(mode="json") for each in found]
        session.terminal.line(json.dumps(values, indent=2, ensure_ascii=False))
        return
    print_table(session.terminal, header, map(row, found))


def _print(session: Session, value: BaseModel) -> None:
    session.terminal.line(json.dumps(value.model_dump(mode="json"), indent=2, ensure_ascii=False))

"""`puna keys`: who may use this machine's server from elsewhere."""

from datetime import datetime, timedelta

import click

from puna.cli.session import Session, pass_session
from puna.cli.view import print_table
from puna.errors import Invalid
from puna.node.keys import KeyRing, KeyScope, KeyWish, read_life
from puna.units import relative_time

_MEANINGS = "use: run models; manage: also pull, create and remove them; admin: also /metrics"


class Life(click.ParamType[timedelta]):
    """A length of time such as 30d."""

    name = "time"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read it, or fail with what is wrong."""
        try:
            return read_life(value)
        except Invalid as error:
            self.fail(f"{error.message}: {error.hint}", param, ctx)


@click.group()
def keys() -> None:
    """Make, list and revoke keys of the server on this machine.

    Beyond this machine the server asks for a key. A running server takes note at once.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice([each.value for each in KeyScope]),
    default=KeyScope.USE.value,
    show_default=True,
    help=_MEANINGS,
)
@click.option("--expires", type=Life(), help="How long it is good for, such as 30d, 12h or 2w.")
@click.option("--rpm", type=click.IntRange(1), default=None, help="Requests a minute.")
@click.option("--tpm", type=click.IntRange(1), default=None, help="Tokens a minute.")
@pass_session
def create(  # noqa: PLR0913 - one for each option
    session: Session,
    *,
    name: str,
    scope: str,
    expires: timedelta | None,
    rpm: int | None,
    tpm: int | None,
) -> None:
    """Make a key and print it: once, since only its digest is kept."""
    wish = KeyWish(
        name=name,
        scope=KeyScope(scope),
        life=expires,
        requests_per_minute=rpm or 0,
        tokens_per_minute=tpm or 0,
    )
    key, secret = _ring(session).create(wish)
    until = "never expires" if key.expires is None else f"expires {key.expires:%Y-%m-%d %H:%M} UTC"
    session.terminal.say(f'Key "{key.name}" ({key.scope}, {until}). It is shown only now:')
    session.terminal.line(secret)


@keys.command("list", short_help="List the keys.")
@pass_session
def list_keys(session: Session) -> None:
    """List the keys: what each may do, when it was used and until when it is good."""
    ring, now = _ring(session), session.world.now()
    used = ring.last_used()
    rows = [
        (
            key.name,
            f"{key.prefix}...",
            key.scope,
            relative_time(key.created, now),
            relative_time(used[key.prefix], now) if key.prefix in used else "Never",
            _until(key.expires, now),
        )
        for key in ring.all_keys()
        if key.revoked is None
    ]
    header = ("NAME", "KEY", "SCOPE", "CREATED", "LAST USED", "EXPIRES")
    print_table(session.terminal, header, rows)


@keys.command(short_help="Let a key open nothing from now on.")
@click.argument("name")
@pass_session
def revoke(session: Session, *, name: str) -> None:
    """Let a key open nothing from now on; NAME is its name or the beginning that `list` shows."""
    key = _ring(session).revoke(name.removesuffix("..."))
    session.terminal.tell(f"revoked '{key.name}'")


def _ring(session: Session) -> KeyRing:
    return KeyRing(session.settings.home, session.world)


def _until(expires: datetime | None, now: datetime) -> str:
    if expires is None:
        return "Never"
    return "Expired" if expires <= now else relative_time(expires, now)

"""`puna cloud`: which cloud is rented from, by which key, and the account's keys there."""

from pathlib import Path

import click

from puna.cli.cloud.reach import as_json, cloud_of, narrow, price, print_json
from puna.cli.secret import read_secret
from puna.cli.session import Session, pass_session
from puna.cloud.client import CloudClient, client_of
from puna.cloud.settings import Login, forget_login, keep_login, read_cloud_address
from puna.cloud.values import Standing
from puna.errors import Invalid, NotFound
from puna.settings import Address
from puna.units import Span, relative_time


@click.group()
def cloud() -> None:
    """Choose the cloud to rent from: a puna market, or runpod.

    PUNA_CLOUD_ADDRESS and PUNA_CLOUD_KEY name another one for a single command.
    """


@cloud.command()
@click.argument("address")
@pass_session
def login(session: Session, *, address: str) -> None:
    """Keep ADDRESS and a key, which is asked for or read from stdin.

    ADDRESS is that of a market, or runpod. The key is tried before it is kept, in a file that only
    you can read.
    """
    where = read_cloud_address(address)
    if is_plain(where):
        session.terminal.say(
            f"Warning: the key travels unencrypted to {where.url}; better is https"
        )
    key = _read_key(session, where.url)
    client = client_of(Login(where, key))
    stands = client.standing()
    keep_login(
        Login(where, key, stands.domain), mark=session.world.token()[:8], environ=session.environ
    )
    session.terminal.tell(_words(client, stands))


@cloud.command()
@as_json
@pass_session
def status(session: Session, *, as_json: bool) -> None:
    """Show the account, its money and how long that lasts."""
    client = cloud_of(session)
    stands = client.standing()
    if as_json:
        names = ("email", "balance", "held", "an_hour", "lasts", "pods", "running", "may_write")
        values = {name: getattr(stands, name) for name in names}
        print_json(session, {"address": client.url, **values})
        return
    lasts = "-" if stands.lasts is None else span_words(stands.lasts)
    rows = (
        ("cloud", client.url),
        ("account", stands.email or "-"),
        ("balance", "-" if stands.balance is None else price(stands.balance)),
        ("held", price(stands.held)),
        ("an hour", price(stands.an_hour)),
        ("lasts", lasts),
        ("pods", f"{stands.running} of {stands.pods} run"),
        ("key", "may write" if stands.may_write else "may only read"),
    )
    for name, value in rows:
        session.terminal.line(f"{name:<9}{value}")


@cloud.command(short_help="Forget the cloud and its key on this machine.")
@pass_session
def logout(session: Session) -> None:
    """Forget the cloud and its key on this machine; the key itself stays good."""
    if not forget_login(session.environ):
        raise NotFound("there is no login to forget")
    session.terminal.tell("the login is forgotten; revoke its key where it was made")


@cloud.group()
def keys() -> None:
    """Make, list and revoke the account's keys at the cloud."""


@keys.command("create")
@click.argument("name")
@click.option("--read-only", is_flag=True, help="It may look and not change anything.")
@click.option("--expires", default="", metavar="TIME", help="How long it is good for: 30d, 12h.")
@as_json
@pass_session
def create_key(
    session: Session, *, name: str, read_only: bool, expires: str, as_json: bool
) -> None:
    """Make a key and print it: once, since only its digest is kept."""
    made = cloud_of(session).make_key(name, read_only=read_only, expires=expires)
    if as_json:
        print_json(session, made)
        return
    until = made.text("expires")[:16].replace("T", " ")
    session.terminal.say(f'Key "{name}". It is shown only now:')
    session.terminal.line(made.text("key"))
    if until:
        session.terminal.say(f"it is good until {until} UTC")


@keys.command("list")
@as_json
@pass_session
def list_keys(session: Session, *, as_json: bool) -> None:
    """List the account's keys."""
    found, now = cloud_of(session).keys(), session.world.now()
    if as_json:
        print_json(session, found)
        return
    rows = [
        (
            each.text("name"),
            f"{each.text('prefix')}...",
            "read" if each.flag("readOnly") else "write",
            relative_time(each.moment("created"), now),
            relative_time(each.moment("expires"), now),
        )
        for each in found
    ]
    header = ("NAME", "KEY", "MAY", "CREATED", "EXPIRES")
    session.terminal.line(narrow(header, rows, session.terminal.screen_language))


@keys.command("revoke")
@click.argument("key")
@pass_session
def revoke_key(session: Session, *, key: str) -> None:
    """Let KEY, named by its name or beginning, open nothing from now on."""
    cloud_of(session).revoke_key(key)
    session.terminal.tell(f"revoked '{key}'")


@cloud.command(
    "ssh-keys", short_help="List, add or remove the public keys that lead into your pods."
)
@click.option(
    "--add", type=click.Path(path_type=Path), help="A file such as ~/.ssh/id_ed25519.pub."
)
@click.option("--remove", default="", metavar="WORD", help="The key with WORD in it.")
@as_json
@pass_session
def ssh_keys(session: Session, *, add: Path | None, remove: str, as_json: bool) -> None:
    """List the public keys by which ssh leads into your pods; add one, or remove one."""
    client = cloud_of(session)
    known = client.ssh_keys()
    if add is not None:
        known = (*known, _public_key(add.expanduser()))
        client.set_ssh_keys(tuple(dict.fromkeys(known)))
    if remove:
        named = [each for each in known if remove in each]
        if len(named) != 1:
            raise NotFound(f'{len(named)} keys have "{remove}" in them, and not one')
        known = tuple(each for each in known if each != named[0])
        client.set_ssh_keys(known)
    if as_json:
        print_json(session, known)
        return
    for each in dict.fromkeys(known):
        session.terminal.line(each)


def is_plain(address: Address) -> bool:
    """Tell whether a key would travel unencrypted to an address."""
    return address.scheme != "https" and not address.is_loopback


def _public_key(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{file} cannot be read: {error}") from error
    if "PRIVATE KEY" in text or not text.startswith(("ssh-", "ecdsa-", "sk-")) or "\n" in text:
        raise Invalid(f"{file} is not a public key", hint="give the file that ends in .pub")
    return text


def _read_key(session: Session, url: str) -> str:
    """Read a key without showing it."""
    return read_secret(
        session.terminal,
        f"Key of {url}, which is not shown: ",
        wrong="that is no key",
        hint="paste it, or pipe it in: puna cloud login ... < FILE",
    )


def _words(client: CloudClient, stands: Standing) -> str:
    """Say how an account stands, in one line."""
    who = f"{stands.email} at {client.url}" if stands.email else f"logged in at {client.url}"
    words = [who] if stands.balance is None else [f"{who}: balance {price(stands.balance)}"]
    if not stands.may_write:
        words.append("the key may only read")
    return ", ".join(words)


def span_words(span: Span) -> str:
    """Return a span in its two largest units."""
    minutes = int(span.seconds) // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{days}d{hours}h" if days < 100 else f"{days}d"  # noqa: PLR2004 - three digits do
    return f"{hours}h{minutes % 60}m" if hours else f"{minutes}m{int(span.seconds) % 60}s"

"""`puna agent join`: shows what will be lent, asks, joins, and runs."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TypeVar

import click

from puna.agent.gaps import MAY_NOT
from puna.agent.host import Survey, join as join_market, run_host, survey, usual_name
from puna.agent.inventory import Wishes
from puna.agent.notebook import HasJoined, Identity, Notebook, Offer
from puna.agent.settings import load_agent_settings
from puna.agent.terms import read_hours, read_public
from puna.cli.secret import only_word, read_secret
from puna.cli.session import Session, pass_session
from puna.errors import Invalid
from puna.settings import read_address
from puna.units import Money, Size
from puna.wire.agent import MachineReport

_PORT = 11500
_N = TypeVar("_N", bound=int)


class NotAccepted(Invalid):
    """The owner did not agree, or was not asked."""

    code = "not_accepted"


class _Dollars(click.ParamType[Money]):
    name = "dollars"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Money:
        try:
            amount = Money.parse(value)
        except Invalid as error:
            self.fail(f"{error.message}: {error.hint}", param, ctx)
        if amount < 0:
            self.fail("a price is not below zero", param, ctx)
        return amount


class _Size(click.ParamType[Size]):
    name = "size"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Size:
        try:
            return Size.parse(value)
        except Invalid as error:
            self.fail(f"{error.message}: {error.hint}", param, ctx)


@click.command()
@click.argument("address")
@click.option("--token", default="", help="The market's token for one machine, in sight of all.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the token in it.",
)
@click.option("--name", default="", help="What the machine is called (its own name).")
@click.option(
    "--price", type=_Dollars(), required=True, help="Dollars for a card (or processor) and hour."
)
@click.option("--least-bid", type=_Dollars(), help="The lowest bid of spot pods; none without it.")
@click.option("--hours", default="", help="When it is offered, in UTC, such as 22:00-07:00.")
@click.option("--yield", "yields", is_flag=True, help="Pause while a program of yours uses a card.")
@click.option("--country", default="", help="Two letters, such as PL.")
@click.option("--card", default="", help="What the cards are, where no driver tells.")
@click.option("--card-memory", type=_Size(), help="The memory of each.")
@click.option("--cards", type=click.IntRange(0), help="Lend so many cards at most.")
@click.option("--processors", type=click.IntRange(1), help="Lend so many processors at most.")
@click.option("--memory", type=_Size(), help="Lend so much memory (all but a tenth).")
@click.option("--disk", type=_Size(), help="Lend so much disk (all that is free but a tenth).")
@click.option("--public-ip", default="", help="Where everybody reaches this machine.")
@click.option(
    "--public-ports", default="", help="Ports of it for pods' TCP ports, such as 40000-40999."
)
@click.option("--only-gvisor", is_flag=True, help="Take only pods that ask for gVisor (runsc).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--accept-gaps", is_flag=True, help="Lend although something is not enforced here.")
@click.option("--detach", is_flag=True, help="Only join; `puna agent run` runs it.")
@pass_session
def join(session: Session, /, **said: object) -> None:
    """Lend this machine on the market at ADDRESS, and run its agent until it is interrupted.

    It shows what will be offered and what renters may not do, and asks. The prices, hours and the
    rest can be changed by leaving and joining again; `puna agent pause` takes no new pods.

    The token is asked for, or read from stdin; --token-file and PUNA_AGENT_TOKEN give it too, and
    --token, which everybody on this machine can read in the list of processes.
    """
    settings = load_agent_settings(session.environ)
    notebook = Notebook(settings.home)
    if notebook.has_joined:
        raise HasJoined(
            f"this machine lends on {notebook.identity().market} already",
            hint="leave it with `puna agent leave`",
        )
    wishes, market = _wishes(said), read_address(str(said["address"]), _PORT).url
    token = _token(session, said, settings.token, market)
    found = asyncio.run(survey(settings, session.world, wishes))
    offer = _offer(said, found)
    for line in lines_of(market, offer, found):
        session.terminal.line(line)
    _ask(session, found.gaps, has_said_yes=bool(said["yes"]), accepts=bool(said["accept_gaps"]))
    wanted = Identity(market=market, host="", key=token, name=str(said["name"]) or usual_name())
    known = asyncio.run(join_market(notebook, session.world, wanted, offer))
    session.terminal.say(f"Joined as host {known.host}.")
    if not said["detach"]:
        asyncio.run(run_host(settings, notebook, session.world))


def _token(session: Session, said: dict[str, object], known: str, market: str) -> str:
    """Return the token from wherever it is given. Raises `Invalid`."""
    wrong, hint = (
        "that is no token",
        "the market's operator makes one: puna market tokens make ACCOUNT",
    )
    given, file = str(said["token"]), said["token_file"]
    if given and file is not None:
        raise Invalid("give --token or --token-file, not both")
    if isinstance(file, Path):
        try:
            given = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{file} cannot be read: {error}") from error
    elif not given:
        given = known
    if given or file is not None:
        return only_word(given, wrong=wrong, hint=hint)
    terminal = session.terminal
    return read_secret(terminal, f"Token of {market}, which is not shown: ", wrong=wrong, hint=hint)


def _wishes(said: dict[str, object]) -> Wishes:
    country = str(said["country"])
    if country and not (len(country) == 2 and country.isascii() and country.isalpha()):  # noqa: PLR2004 - ISO 3166
        raise Invalid(f'"{country}" is not a country', hint="write it like PL")
    return Wishes(
        country=country,
        card=str(said["card"]),
        card_memory=_as(Size, said["card_memory"]) or Size(0),
        most_cards=_as(int, said["cards"]),
        processors=_as(int, said["processors"]),
        memory=_as(Size, said["memory"]),
        disk=_as(Size, said["disk"]),
        only_gvisor=bool(said["only_gvisor"]),
    )


def _as(kind: type[_N], value: object) -> _N | None:
    return kind(value) if isinstance(value, int) else None


def _offer(said: dict[str, object], found: Survey) -> Offer:
    opens, closes = read_hours(str(said["hours"]))
    address, ports = read_public(str(said["public_ip"]), str(said["public_ports"]))
    return Offer(
        price=_as(int, said["price"]) or 0,
        least_bid=_as(int, said["least_bid"]),
        opens=opens,
        closes=closes,
        machine=found.stock.machine.model_copy(update={"public_ip": address}),
        open_ports=ports,
        cards=list(found.stock.cards),
        yields=bool(said["yields"]),
        accepts_gaps=bool(said["accept_gaps"]),
    )


def lines_of(market: str, offer: Offer, found: Survey) -> Sequence[str]:
    """Return what the owner reads before anything is joined."""
    machine = offer.machine
    unit = "card" if machine.cards else "processor"
    hours = f"{offer.opens}-{offer.closes} UTC" if offer.opens else "always"
    spot = "none" if offer.least_bid is None else f"from {Money(offer.least_bid)}"
    lines = [
        f"This machine will be offered on {market}:",
        f"  cards        {_cards(machine)}",
        f"  processors   {machine.processors}",
        f"  memory       {Size(machine.memory)}",
        f"  disk         {Size(machine.disk)}, {machine.disk_mbps} MB a second",
        f"  runtimes     {', '.join(machine.runtimes)}",
        f"  price        {Money(offer.price)} for a {unit} and hour; spot: {spot}",
        f"  offered      {hours}{', not while you use a card' if offer.yields else ''}",
        *(
            [f"  reached      {machine.public_ip}, ports {offer.open_ports}"]
            if offer.open_ports
            else []
        ),
        *_wrapped("  note         ", found.stock.remarks),
        "Renters run programs of their own here, in containers. They may not:",
        *_wrapped("  - ", MAY_NOT),
    ]
    if found.gaps:
        lines += ["Not enforced on this machine:", *_wrapped("  ! ", found.gaps)]
    return lines


def _wrapped(mark: str, lines: Sequence[str]) -> Sequence[str]:
    """Return lines that fit a screen, each after a mark."""
    indent = " " * len(mark)
    return [
        part
        for line in lines
        for part in wrap(line, 80, initial_indent=mark, subsequent_indent=indent)
    ]


def _cards(machine: MachineReport) -> str:
    if not machine.cards:
        return "none"
    memory = f", {Size(machine.card_memory)} each" if machine.card_memory else ""
    return f"{machine.cards} of {machine.card}{memory}"


def _ask(session: Session, gaps: Sequence[str], *, has_said_yes: bool, accepts: bool) -> None:
    """Ask the owner; raise `NotAccepted` for a no."""
    if has_said_yes:
        if gaps and not accepts:
            raise NotAccepted(
                "something is not enforced on this machine, and you were not asked",
                hint="leave out --yes to be asked, or say --accept-gaps",
            )
        return
    if not session.terminal.is_conversation:
        raise NotAccepted("nobody is here to be asked", hint="say --yes to lend this machine")
    if not click.confirm("Lend this machine?", default=False):
        raise NotAccepted("nothing was joined")

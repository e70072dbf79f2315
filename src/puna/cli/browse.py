"""`browse` and `search`: models that could be run, and whether they would fit, before any download.

The curated list answers without a network. The verdicts are the node's where one runs, on its own
machine; without a node they are this machine's. `search` asks the Hugging Face hub as well, and
says so when the hub cannot be reached.
"""

import json
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

import click

from puna.cli.reach import find_node
from puna.cli.session import Session, pass_session
from puna.cli.shop import Wanted, found_data, found_table, offer_table
from puna.cli.spinner import Spinner
from puna.errors import Unavailable
from puna.node.client import NodeRefused
from puna.node.replies import Fields

if TYPE_CHECKING:
    from puna.library.hub_search import Found

_ABILITIES = {
    "tools": "Only models that call tools.",
    "vision": "Only models that see images.",
    "thinking": "Only models that think first.",
    "embedding": "Only models that turn texts into numbers.",
    "insert": "Only models that complete in the middle.",
}
_Command = TypeVar("_Command", bound=Callable[..., None])


def _choosing(command: _Command) -> _Command:
    """Give a command the options that choose among models."""
    command = click.option("--fits", is_flag=True, help="Only what fits this machine.")(command)
    for name, meaning in reversed(_ABILITIES.items()):
        command = click.option(f"--{name}", is_flag=True, help=meaning)(command)
    return command


@click.command()
@_choosing
@click.option("--json", "as_json", is_flag=True, help="Print JSON, all sizes in bytes.")
@pass_session
def browse(session: Session, /, *, fits: bool, as_json: bool, **can: bool) -> None:
    """Browse models worth knowing: sizes, abilities, and whether each fits this machine.

    The list is shipped with puna and has a date; `puna search` looks on the Hugging Face hub too.
    """
    listed = _listed(session)
    wanted = Wanted((), _abilities(can), fits)
    _show(session, listed, wanted, (), as_json=as_json)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@_choosing
@click.option("--offline", is_flag=True, help="Do not ask the Hugging Face hub.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, all sizes in bytes.")
@pass_session
def search(
    session: Session,
    /,
    words: tuple[str, ...],
    *,
    fits: bool,
    offline: bool,
    as_json: bool,
    **can: bool,
) -> None:
    """Search models by WORD: a name, a language such as pl, a maker.

    First those of the list that is shipped with puna, then repositories with GGUF files on the
    Hugging Face hub, the most downloaded first. What can be told apart by ability or fit is in the
    list only, so such a search asks no hub.
    """
    listed = _listed(session)
    wanted = Wanted(words, _abilities(can), fits)
    asks_hub = not (offline or wanted.can or fits)
    found, why_not = _on_hub(session, " ".join(words)) if asks_hub else ((), "")
    _show(session, listed, wanted, found, as_json=as_json)
    if why_not:
        session.terminal.say(f"The Hugging Face hub was not searched: {why_not}")


def _abilities(can: dict[str, bool]) -> tuple[str, ...]:
    return tuple(name for name in _ABILITIES if can.get(name))


def _listed(session: Session) -> Fields:
    """Return the list with verdicts: from the node if one runs and knows it, else from here."""
    client = find_node(session)
    if client is not None:
        try:
            return client.ask("GET", "/api/catalog")
        except NodeRefused as error:
            if not error.is_not_found:
                raise
        session.terminal.say(
            f"{client.url} has no list of models; the verdicts are for this machine"
        )
    return _listed_here(session)


def _listed_here(session: Session) -> Fields:
    api = import_module("puna.node.api.catalog")
    rooms = import_module("puna.node.rooms")
    devices = import_module("puna.node.cards").devices_here(session.settings)
    listed = import_module("puna.library.curated").load_catalog()
    rooms = rooms.rooms_of(devices, session.settings)
    return Fields(json.loads(api.catalog_reply(listed, rooms, session.settings).to_json()))


def _on_hub(session: Session, words: str) -> "tuple[tuple[Found, ...], str]":
    """Return what the hub finds, and why it could not be asked."""
    hub = import_module("puna.library.hub_search")
    with Spinner(session.terminal, "asking the Hugging Face hub"):
        try:
            return hub.search_hub(words, session.settings.hub_endpoint), ""
        except Unavailable as error:
            return (), error.message


def _show(
    session: Session, listed: Fields, wanted: Wanted, found: "Sequence[Found]", *, as_json: bool
) -> None:
    terminal = session.terminal
    offers = [row for row in listed.each("models") if wanted.matches(row)]
    if as_json:
        value = {
            "date": listed.text("date"),
            "models": [dict(row.values) for row in offers],
            "hub": [found_data(each) for each in found],
        }
        terminal.line(json.dumps(value, indent=2, ensure_ascii=False))
        return
    width, language = terminal.table_width, terminal.screen_language
    if offers:
        table, left_out = offer_table(offers, width=width, language=language)
        terminal.line(table)
    if found:
        terminal.line(("\n" if offers else "") + found_table(found, width=width, language=language))
    _say_what_it_is(session, listed, len(offers), left_out if offers else ())


def _say_what_it_is(session: Session, listed: Fields, count: int, left_out: Sequence[str]) -> None:
    """Say on stderr how old the list is and what is not shown, so that nothing is silent."""
    say = session.terminal.say
    day = listed.text("date")
    if not count:
        say(f"Nothing in the list of {day} matches.")
        return
    context = max((row.whole("fit_context") for row in listed.each("models")), default=0)
    say("")
    say(f"List of {day}; ~ marks a size that is computed or not confirmed.")
    say(f"Verdicts are for one conversation of {context} tokens. Run one with `puna run NAME`.")
    if left_out:
        say(f"Not shown for want of width: {', '.join(left_out).lower()} (--json has all).")

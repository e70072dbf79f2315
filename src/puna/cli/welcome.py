"""What `puna` alone does on a terminal: a menu of what people come for.

Elsewhere, and for those who leave the menu, `puna --help` says it all.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import click

from puna.cli.launch.programs import PROGRAMS
from puna.cli.menu import Row, choose
from puna.cli.reach import find_node, open_store
from puna.cli.session import Session
from puna.errors import PunaError
from puna.settings import read_environment
from puna.version import __version__


@dataclass(frozen=True, slots=True)
class Way:
    """One thing to do: its row, and the words of its command. Without words, a model is asked."""

    row: Row
    words: tuple[str, ...] = ()


def words_chosen(session: Session) -> tuple[str, ...]:
    """Let the person choose, and return the command to run. Raises `KeyboardInterrupt` for none."""
    names = _models(session)
    path = read_environment(session.environ).get("PATH", "")
    offered = ways(names, installed=[each.name for each in PROGRAMS if _is_there(each.name, path)])
    rows = [way.row for way in offered]
    way = offered[choose(session.terminal, f"puna {__version__}", rows)]
    if way.words:
        return way.words
    if len(names) == 1:
        return ("run", names[0])
    return ("run", names[choose(session.terminal, "Talk with", [Row(name) for name in names])])


def ways(names: Sequence[str], *, installed: Sequence[str]) -> list[Way]:
    """Return what there is to do, where these models are here and these programs installed."""
    talk = Way(
        Row("Talk with a model", names[0] if len(names) == 1 else f"{len(names)} models here")
    )
    launches = [
        Way(
            Row(
                f"Launch {each.title}",
                "with a model of this machine" if each.name in installed else "not installed",
            ),
            ("launch", each.name),
        )
        for each in PROGRAMS
    ]
    return [
        *([talk] if names else []),
        Way(Row("Browse models", "what is worth running, and what fits"), ("browse",)),
        *launches,
        Way(Row("Settings", "each, and where it came from"), ("settings",)),
        Way(Row("All commands"), ("help",)),
    ]


def _models(session: Session) -> list[str]:
    try:
        return [entry.name for entry in (find_node(session) or open_store(session)).list_models()]
    except PunaError as error:
        session.terminal.say(f"Warning: {error.message}")
        return []


def _is_there(name: str, path: str) -> bool:
    return shutil.which(name, path=path) is not None


def welcome(ctx: click.Context, root: click.Group, session: Session) -> None:
    """Show the menu and do what was chosen, if anything."""
    try:
        words = words_chosen(session)
    except KeyboardInterrupt:
        return
    name, command, rest = root.resolve_command(ctx, list(words))
    if command is not None:
        with command.make_context(name, rest, parent=ctx) as inner:
            command.invoke(inner)

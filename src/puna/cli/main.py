"""The program `puna`: its flags, its table of commands, and its end.

The table holds where each command lives and not the command: `puna list` must not wait for what
`puna run` needs. A command is imported when it is called or when its own help is asked for.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from enum import StrEnum
from importlib import import_module
from typing import NamedTuple, TextIO

import click

from puna.cli.failures import guard
from puna.cli.help_page import speaks
from puna.cli.language import ENGLISH, Language
from puna.cli.lazy import LazyGroup, unknown_command
from puna.cli.session import Session
from puna.cli.terminal import Terminal
from puna.errors import PunaError
from puna.settings import SETTINGS, read_desk


class Takes(StrEnum):
    """What the words after a command are, for completion."""

    OTHER = ""
    MODEL = "model"
    MODELS = "models"
    FETCHABLE = "fetchable"
    """A model that is here, or one that could be fetched."""
    COMMAND = "command"
    PROGRAM = "program"


class Entry(NamedTuple):
    """Where a command lives, and what it does in one line."""

    module: str
    name: str
    meaning: str
    settings: tuple[str, ...] = ("host", "api_key", "client_key")
    """The settings that bear on it, for its help."""
    takes: Takes = Takes.OTHER


COMMANDS = {
    "serve": Entry(
        "puna.cli.serve", "serve", "Start the server", tuple(row.name for row in SETTINGS)
    ),
    "run": Entry(
        "puna.cli.run",
        "run",
        "Run a model: ask once, or talk",
        ("host", "api_key", "home", "no_history", "editor"),
        Takes.FETCHABLE,
    ),
    "create": Entry("puna.cli.create", "create", "Make a model by a Modelfile"),
    "pull": Entry("puna.cli.models", "pull", "Fetch a model", takes=Takes.FETCHABLE),
    "push": Entry("puna.cli.models", "push", "Send a model to a registry", takes=Takes.MODEL),
    "show": Entry("puna.cli.models", "show", "Show what is known of a model", takes=Takes.MODEL),
    "list": Entry("puna.cli.listing", "list_models", "List models", takes=Takes.MODEL),
    "ps": Entry("puna.cli.listing", "ps", "List models in memory", takes=Takes.MODEL),
    "stop": Entry("puna.cli.stop", "stop", "Take a model out of memory", takes=Takes.MODEL),
    "cp": Entry("puna.cli.models", "cp", "Copy a model to another name", takes=Takes.MODEL),
    "rm": Entry("puna.cli.models", "rm", "Remove models", takes=Takes.MODELS),
    "fit": Entry(
        "puna.cli.fit", "fit", "Tell whether a model fits this machine", takes=Takes.MODEL
    ),
    "search": Entry(
        "puna.cli.browse",
        "search",
        "Search models, here and on the Hugging Face hub",
        ("host", "api_key", "hub_endpoint"),
    ),
    "browse": Entry("puna.cli.browse", "browse", "Browse models, and whether they would fit"),
    "launch": Entry(
        "puna.cli.launch.commands",
        "launch",
        "Start Claude Code, Codex or OpenCode with a model",
        ("host", "api_key", "client_key", "home", "context_length"),
        Takes.PROGRAM,
    ),
    "batch": Entry("puna.cli.batch", "batch", "Apply a model to every row of a file"),
    "market": Entry(
        "puna.cli.market", "market", "Run a market on which cards are lent and rented", ()
    ),
    "agent": Entry("puna.cli.agent", "agent", "Lend this machine's cards on a market", ()),
    "keys": Entry("puna.cli.keys", "keys", "Make, list and revoke keys of the server", ("home",)),
    "cloud": Entry("puna.cli.cloud.login", "cloud", "Choose the cloud to rent from", ()),
    "offers": Entry("puna.cli.cloud.offers", "offers", "List machines to rent, and prices", ()),
    "templates": Entry("puna.cli.cloud.offers", "templates", "List templates for pods to rent", ()),
    "pods": Entry("puna.cli.cloud.pods", "pods", "Rent pods, use them, end them", ()),
    "bill": Entry("puna.cli.cloud.bill", "bill", "Show what was spent, and explain it", ()),
    "budget": Entry("puna.cli.cloud.bill", "budget", "Limit what may be spent", ()),
    "settings": Entry(
        "puna.cli.settings", "settings", "Show settings and where they came from", ()
    ),
    "completion": Entry(
        "puna.cli.completion.commands", "completion", "Complete words in bash, zsh or fish", ()
    ),
    "help": Entry("puna.cli.main", "help_command", "Show help for a command", (), Takes.COMMAND),
}
HIDDEN = {
    "__complete": Entry("puna.cli.completion.commands", "answer", "Answer a shell", ()),
}
ALIASES = {"start": "serve", "ls": "list"}
ACCOUNT_WORDS = frozenset({"signin", "signout", "login", "logout"})
"""Ollama's commands for its own cloud, which puna has none of."""
VERSION = Entry("puna.cli.version", "version", "Show the version of puna and of the server")


class LazyCommands(LazyGroup):
    """The commands of the program."""

    def meanings(self) -> Mapping[str, str]:
        """Return what each command does."""
        return {name: entry.meaning for name, entry in COMMANDS.items()}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; an unknown name is none."""
        del ctx
        entry = COMMANDS.get(ALIASES.get(cmd_name, cmd_name)) or HIDDEN.get(cmd_name)
        if entry is None:
            return None
        return load_command(entry)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name, whichever of its names they have."""
        if args[0] in ACCOUNT_WORDS:
            raise click.UsageError(no_account(args[0]), ctx)
        _, command, rest = super().resolve_command(ctx, args)
        return ALIASES.get(args[0], args[0]), command, rest


def load_command(entry: Entry) -> click.Command:
    """Import the module of a command and return the command."""
    command = getattr(import_module(entry.module), entry.name)
    if not isinstance(command, click.Command):
        raise TypeError(f"{entry.module}.{entry.name} is not a command")
    command.epilog = environment_of(entry.settings)
    return speaks(command)


def environment_of(names: Sequence[str]) -> str | None:
    """Return what help says of the variables that set these settings."""
    rows = [
        (", ".join(filter(None, (row.variable, row.ollama))), row.meaning)
        for row in SETTINGS
        if row.name in names
    ]
    if not rows:
        return None
    lines = [line for variables, meaning in rows for line in (f"  {variables}", f"      {meaning}")]
    return "\n".join(["\b", "Environment:", *lines])


def no_account(word: str) -> str:
    """Say that there is no signing in here, and where one logs in to rent."""
    return (
        f'no "{word}" here: models run on machines of your own, without an account; '
        "to rent, log in with `puna cloud login`"
    )


@click.group(
    cls=LazyCommands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("-v", "--version", is_flag=True, help="Show the version of puna and of the server.")
@click.option("--verbose", is_flag=True, help="Show timings of answers, and tracebacks of defects.")
@click.option("--nowordwrap", is_flag=True, help="Do not wrap words at the edge of the screen.")
@click.pass_context
def puna(ctx: click.Context, *, version: bool, verbose: bool, nowordwrap: bool) -> None:
    """Run open language models on this machine.

    The server speaks Ollama's HTTP API at http://127.0.0.1:11434, and every OLLAMA_ variable that
    has a meaning here is honoured; `puna settings` shows all of them.
    """
    session = ctx.find_object(Session) or Session(Terminal.real())
    ctx.obj = session.with_flags(verbose=verbose, wordwrap=not nowordwrap)
    if version:
        ctx.invoke(load_command(VERSION))
        ctx.exit()
    if ctx.invoked_subcommand is None:
        if session.terminal.is_conversation and session.terminal.has_escapes:
            import_module("puna.cli.welcome").welcome(ctx, puna, ctx.obj)
            return
        session.terminal.line(ctx.get_help())


@click.command("help")
@click.argument("command", required=False)
@click.pass_context
def help_command(ctx: click.Context, command: str | None) -> None:
    """Show help for a command, or for all of them."""
    root = ctx.find_root()
    shown = root.get_help() if command is None else _help_of(root, command)
    session = ctx.find_object(Session)
    (session.terminal if session else Terminal.real()).line(shown)


def _help_of(root: click.Context, name: str) -> str:
    command = puna.get_command(root, name)
    if command is None:
        raise click.UsageError(unknown_command(name, "puna", COMMANDS), root)
    with command.context_class(command, info_name=name, parent=root) as inner:
        return command.get_help(inner)


def make_command() -> click.Group:
    """Return the whole program as one command, for documents and shells."""
    return puna


def run_program(arguments: Sequence[str], session: Session) -> int:
    """Run one command and return the exit code. Never raises what a command can raise."""

    def act() -> None:
        with (
            redirect_stdout(session.terminal.out),  # click writes help there by itself
            puna.make_context("puna", list(arguments), obj=session) as ctx,
        ):
            puna.invoke(ctx)

    return guard(
        act, session.terminal, debug=lambda: "--verbose" in arguments or _is_debug(session)
    )


def _is_debug(session: Session) -> bool:
    try:
        return session.settings.debug > 0
    except PunaError:
        return False


def spoken(languages: Sequence[str]) -> Language:
    """Return the language to speak. Nothing is imported for English."""
    if not languages:
        return ENGLISH
    found: Language = import_module("puna.cli.catalogue").language_of(languages)
    return found


def main() -> None:
    """Run the program and end the process."""
    desk = read_desk()
    terminal = Terminal.real(
        has_escapes=desk.has_escapes,
        has_colours=desk.has_colours,
        language=spoken(desk.languages),
    )
    code = run_program(sys.argv[1:], Session(terminal))
    for stream in (terminal.out, terminal.err):
        _let_go(stream)
    sys.exit(code)


def _let_go(stream: TextIO) -> None:
    """Write out what is buffered; where nobody takes it, the exit must not complain again."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

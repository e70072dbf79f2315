"""How every failure ends: one table from errors to a line on stderr, a hint and an exit code.

Scripts know Ollama's form, `Error: <message>` and exit code 1, so that is the form here; usage
errors are no exception. An interrupt and a reader that went away end quietly, with the code that
a shell expects.
"""

from collections.abc import Callable
from functools import singledispatch
from importlib import import_module
from typing import NamedTuple

import click

from puna.cli.terminal import Terminal
from puna.errors import PunaError

INTERRUPTED = 130
READER_GONE = 141


class Ending(NamedTuple):
    """How the program ends: what it says, if anything, and its exit code."""

    exit_code: int
    message: str = ""
    hint: str = ""


def guard(action: Callable[[], None], terminal: Terminal, *, debug: Callable[[], bool]) -> int:
    """Do `action` and return the program's exit code, whatever happens in it."""
    try:
        action()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the top of the program
        return _say(error, terminal, with_trace=debug())
    return 0


def _say(error: BaseException, terminal: Terminal, *, with_trace: bool) -> int:
    ending = ending_of(error)
    try:
        if with_trace and ending.message:
            lines: list[str] = import_module("traceback").format_exception(error)  # seldom needed
            terminal.say("".join(lines).rstrip())
        if ending.message:
            terminal.say_error(ending.message, ending.hint)
    except OSError:
        return ending.exit_code  # stderr is gone too: nobody is left to tell
    return ending.exit_code


@singledispatch
def ending_of(error: BaseException) -> Ending:
    """Return how the program ends after `error`: the nearest row below, else as a defect."""
    return Ending(
        1,
        f"puna has a defect: {type(error).__name__}: {error}",
        "run it again with PUNA_DEBUG=1 for the traceback, and report it with that",
    )


@ending_of.register(click.exceptions.Exit)
def _(error: click.exceptions.Exit) -> Ending:
    return Ending(error.exit_code)


@ending_of.register(KeyboardInterrupt)
@ending_of.register(click.exceptions.Abort)
def _(_error: BaseException) -> Ending:
    return Ending(INTERRUPTED)


@ending_of.register(BrokenPipeError)
def _(_error: BrokenPipeError) -> Ending:
    return Ending(READER_GONE)


@ending_of.register(click.UsageError)
def _(error: click.UsageError) -> Ending:
    path = error.ctx.command_path if error.ctx else "puna"
    message = error.format_message()
    return Ending(1, message[:1].lower() + message[1:].rstrip("."), f"usage: {path} --help")


@ending_of.register(PunaError)
def _(error: PunaError) -> Ending:
    return Ending(error.exit_code, error.message, error.hint)


@ending_of.register(OSError)
def _(error: OSError) -> Ending:
    where = f"{error.filename}: " if error.filename else ""
    return Ending(1, f"{where}{(error.strerror or str(error)).lower()}")

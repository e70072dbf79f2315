"""`puna batch`: a model applied to a whole file. The commands are imported when they are called."""

from collections.abc import Mapping
from importlib import import_module

import click

from puna.cli.help_page import speaks
from puna.cli.lazy import LazyGroup
from puna.errors import Unsupported

_COMMANDS = {
    "run": ("puna.cli.batch_run", "run", "Compute every row of a file, or go on where it stopped"),
    "plan": ("puna.cli.batch_plan", "plan", "Tell what a job would take: hours and prices"),
    "init": ("puna.cli.batch_init", "init", "Write a task file from questions and answers"),
    "list": ("puna.cli.batch_jobs", "list_jobs", "List jobs"),
    "show": ("puna.cli.batch_jobs", "show", "Show what is known of a job"),
    "pause": ("puna.cli.batch_jobs", "pause", "Stop a job that runs; it can go on later"),
    "resume": ("puna.cli.batch_run", "resume", "Go on with a job"),
    "cancel": ("puna.cli.batch_jobs", "cancel", "Stop a job and forget what it computed"),
}
_PACKAGES = {"duckdb", "jinja2", "numpy", "pyarrow"}


class MissingPackages(Unsupported):
    """A part of puna that is installed on demand is not installed."""

    code = "missing_packages"


class BatchCommands(LazyGroup):
    """A group whose commands are imported when they are called."""

    def meanings(self) -> Mapping[str, str]:
        """Return what each command does."""
        return {name: row[2] for name, row in _COMMANDS.items()}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; an unknown name is none."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        try:
            command: click.Command = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name not in _PACKAGES:
                raise
            raise MissingPackages(
                f"puna batch needs the package {error.name}, which is not installed",
                hint="install it with: pip install 'puna[batch]'",
            ) from error
        return speaks(command)


@click.group(cls=BatchCommands)
def batch() -> None:
    """Apply a model to every row of a file: labels, free text, JSON or vectors.

    A job goes on where it was interrupted, whatever interrupted it, when the same command is given
    again. `puna[batch]` must be installed.
    """

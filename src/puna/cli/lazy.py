"""Groups whose commands are imported when they are called, with what each does known before."""

from collections.abc import Iterable, Mapping
from importlib import import_module

import click

from puna.cli.help_page import PageContext


class LazyGroup(click.Group):
    """A group that can tell what its commands do without importing one."""

    context_class = PageContext

    def meanings(self) -> Mapping[str, str]:
        """Return the names of the commands, in order, and what each does in one line."""
        raise NotImplementedError

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name. Raises `UsageError` with near names."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            raise click.UsageError(unknown_command(name, ctx.command_path, self.meanings()), ctx)
        return name, command, args[1:]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(self.meanings())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing one."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self.meanings().items()))


def unknown_command(name: str, group: str, names: Iterable[str]) -> str:
    """Say that there is no such command in a group, and which names are near."""
    near: list[str] = import_module("puna.cli.similar").near_names(name, tuple(names))
    return f'unknown command "{name}" for "{group}"' + (
        f"; similar: {', '.join(near)}" if near else ""
    )


def meanings_of(group: click.Group) -> Mapping[str, str]:
    """Return the names of a group's commands, in order, and what each does."""
    if isinstance(group, LazyGroup):
        return group.meanings()
    return {name: each.get_short_help_str(100) for name, each in group.commands.items()}

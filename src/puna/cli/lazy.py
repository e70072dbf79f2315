"""Groups whose commands are imported when they are called, with what each does known before."""

from collections.abc import Mapping

import click

from puna.cli.help_page import PageContext


class LazyGroup(click.Group):
    """A group that can tell what its commands do without importing one."""

    context_class = PageContext

    def meanings(self) -> Mapping[str, str]:
        """Return the names of the commands, in order, and what each does in one line."""
        raise NotImplementedError

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(self.meanings())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing one."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self.meanings().items()))


def meanings_of(group: click.Group) -> Mapping[str, str]:
    """Return the names of a group's commands, in order, and what each does."""
    if isinstance(group, LazyGroup):
        return group.meanings()
    return {name: each.get_short_help_str(100) for name, each in group.commands.items()}

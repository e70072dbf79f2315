"""Groups of commands that need an extra of puna's, such as `puna[market]`."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar, NamedTuple

import click

from puna.cli.help_page import speaks
from puna.cli.lazy import LazyGroup
from puna.errors import Unsupported


class MissingPackages(Unsupported):
    """A part of puna that is installed on demand is not installed."""

    code = "missing_packages"


class Row(NamedTuple):
    """Where a command lives, and what it does in one line."""

    module: str
    name: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Extra:
    """What an extra is called, and the packages that it brings."""

    name: str
    packages: frozenset[str]


class ExtraCommands(LazyGroup):
    """A group whose commands are imported when they are called; a package that is not is named."""

    rows: ClassVar[Mapping[str, Row]]
    extra: ClassVar[Extra]

    def meanings(self) -> Mapping[str, str]:
        """Return what each command does."""
        return {name: row.meaning for name, row in self.rows.items()}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; an unknown name is none. Raises `MissingPackages`."""
        del ctx
        row = self.rows.get(cmd_name)
        if row is None:
            return None
        try:
            command: click.Command = getattr(import_module(row.module), row.name)
        except ModuleNotFoundError as error:
            if error.name not in self.extra.packages:
                raise
            raise MissingPackages(
                f"puna {self.name} needs the package {error.name}, which is not installed",
                hint=f"install it with: {sys.executable} -m pip install 'puna[{self.extra.name}]'",
            ) from error
        return speaks(command)

"""What one run of the program carries from command to command: terminal, settings, world."""

from collections.abc import Mapping
from functools import cached_property

import click

from puna.cli.terminal import Terminal
from puna.settings import NodeSettings, Settings, load_settings
from puna.world import RealWorld, World


class Session:
    """One run of the program. Settings are read when first needed, so that help always works."""

    def __init__(
        self,
        terminal: Terminal,
        environ: Mapping[str, str] | None = None,
        world: World | None = None,
        *,
        verbose: bool = False,
        wordwrap: bool = True,
    ) -> None:
        self.terminal = terminal
        self.environ = environ
        self.world = world or RealWorld()
        self.verbose = verbose
        self.wordwrap = wordwrap

    def with_flags(self, *, verbose: bool, wordwrap: bool) -> "Session":
        """Return the same run with the flags of the program."""
        return Session(self.terminal, self.environ, self.world, verbose=verbose, wordwrap=wordwrap)

    @cached_property
    def all_settings(self) -> Settings:
        """Every setting, with where it came from. Warnings are said once, on stderr."""
        settings = load_settings(self.environ)
        for warning in settings.warnings:
            self.terminal.say(f"Warning: {warning}")
        return settings

    @property
    def settings(self) -> NodeSettings:
        """The settings of the node and its command line."""
        return self.all_settings.node


pass_session = click.make_pass_decorator(Session)

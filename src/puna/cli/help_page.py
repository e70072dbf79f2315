"""Help, in the language of the person: click writes the page, and each text is translated on it."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click

from puna.cli.language import ENGLISH, Language
from puna.cli.session import Session

_EXTRA = re.compile(r"\s+\[([^\]]*)\]$")


_PLACES = ("[OPTIONS]", "[COMMAND]", "COMMAND", "[ARGS]...")


class HelpPage(click.HelpFormatter):
    """A page of help."""

    language: Language = ENGLISH

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the line that says how a command is written."""
        for word in _PLACES:
            args = args.replace(word, self.language.of(word))
        super().write_usage(prog, args, self.language.of(prefix or "Usage:").rstrip() + " ")

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Begin a section."""
        with super().section(self.language.of(name)):
            yield

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        super().write_text(self.language.of(text))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write a list of names and what they mean."""
        super().write_dl([(name, self._meaning(text)) for name, text in rows], col_max, col_spacing)

    def _meaning(self, text: str) -> str:
        """Translate a meaning and, apart from it, what click adds: `[default: Modelfile]`."""
        extra = _EXTRA.search(text)
        if extra is None:
            return self.language.of(text)
        return f"{self.language.of(text[: extra.start()])}  [{self.language.of(extra[1])}]"


class PageContext(click.Context):
    """The context of a command, whose help is written in the language of its terminal."""

    def make_formatter(self) -> click.HelpFormatter:
        """Return an empty page."""
        page = HelpPage(width=self.terminal_width, max_width=self.max_content_width)
        session = self.find_object(Session)
        page.language = session.terminal.language if session else ENGLISH
        return page


def speaks(command: click.Command) -> click.Command:
    """Return the command, its help and that of the commands in it translated when it is shown."""
    command.context_class = PageContext
    if isinstance(command, click.Group):
        for each in command.commands.values():
            speaks(each)
    return command

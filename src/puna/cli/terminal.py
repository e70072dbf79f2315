"""The three streams of the program: data on stdout, talk on stderr, and what may reach a screen.

A model, a server or a file name can hold terminal escapes. To a screen only printable text goes,
whoever wrote it; to a pipe or a file the text goes as it is, in UTF-8, since there it is data.
"""

import io
import os
import sys
from typing import NamedTuple, Self, TextIO

from puna.cli.language import ENGLISH, Language
from puna.cli.wrap import Wrap
from puna.text import one_line, printable

_COLUMNS = 80
_ERROR_LIMIT = 4000
GREY = "\x1b[38;5;245m"
PLAIN = "\x1b[0m"


class Terminal(NamedTuple):
    """Where the program reads and writes. A stream is a screen when a person sees it."""

    keys: TextIO
    out: TextIO
    err: TextIO
    reads_keys: bool
    out_is_screen: bool
    err_is_screen: bool
    has_escapes: bool = True
    """Whether a screen understands movements and colours (`TERM` is not `dumb`)."""
    has_colours: bool = True
    """Whether a person wants colours (`NO_COLOR` is not set)."""
    language: Language = ENGLISH
    """The language of what is said on stderr, and of help."""

    @classmethod
    def real(
        cls,
        *,
        has_escapes: bool = True,
        has_colours: bool = True,
        language: Language = ENGLISH,
    ) -> Self:
        """Take the process's own streams; one that is closed reads as empty and swallows all."""
        keys, out, err = (_stream(stream) for stream in (sys.stdin, sys.stdout, sys.stderr))
        return cls(
            keys=keys,
            out=out,
            err=err,
            reads_keys=keys.isatty(),
            out_is_screen=out.isatty(),
            err_is_screen=err.isatty(),
            has_escapes=has_escapes,
            has_colours=has_colours,
            language=language,
        )

    @property
    def is_conversation(self) -> bool:
        """Whether a person sits at both ends, so that a dialogue makes sense."""
        return self.reads_keys and self.out_is_screen

    @property
    def screen_language(self) -> Language:
        """The language of what goes to stdout: English unless a person sees it, for it is data."""
        return self.language if self.out_is_screen else ENGLISH

    @property
    def moves_out(self) -> bool:
        """Whether escapes may be written to stdout."""
        return self.out_is_screen and self.has_escapes

    @property
    def moves_err(self) -> bool:
        """Whether escapes may be written to stderr."""
        return self.err_is_screen and self.has_escapes

    @property
    def width(self) -> int:
        """Columns of the screen, 80 if nobody knows."""
        return _width_of(self.out)

    @property
    def table_width(self) -> int:
        """Columns that a table may take; 0 is no limit, where it is data and not seen."""
        return self.width if self.out_is_screen else 0

    def write(self, text: str) -> None:
        """Write data to stdout at once."""
        self.out.write(printable(text) if self.out_is_screen else text)
        self.out.flush()

    def line(self, text: str = "") -> None:
        """Write a line of data to stdout."""
        self.write(text + "\n")

    def tell(self, text: str) -> None:
        """Write a line of what was done to stdout."""
        self.line(self.screen_language.of(text))

    def grey(self, on: bool) -> None:  # noqa: FBT001 - reads as a switch
        """Switch stdout to grey and back, where there are colours."""
        if self.moves_out and self.has_colours:
            self.out.write(GREY if on else PLAIN)

    def say(self, text: str) -> None:
        """Say something to the person: a line on stderr, broken at blanks on a screen."""
        text = self.language.of(text)
        if self.err_is_screen:
            wrap = Wrap(_width_of(self.err))
            text = wrap.feed(printable(text)) + wrap.end()
        self.err.write(text + "\n")
        self.err.flush()

    def say_error(self, message: str, hint: str = "") -> None:
        """Say what went wrong on one line, and what to do next on a second."""
        self.say(f"Error: {one_line(message, _ERROR_LIMIT)}")
        if hint:
            self.say(one_line(hint, _ERROR_LIMIT))

    def read_all(self) -> str:
        """Return everything that is piped in; bytes that are not UTF-8 show as `�`."""
        if isinstance(self.keys, io.TextIOWrapper):
            return bytes(self.keys.buffer.read()).decode("utf-8", "replace")
        return self.keys.read()


def _width_of(screen: TextIO) -> int:
    try:
        return os.get_terminal_size(screen.fileno()).columns or _COLUMNS
    except (OSError, ValueError):  # no screen, or one that has no size
        return _COLUMNS


def _stream(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed by the caller, as in `puna list >&-`
        return io.StringIO()
    if isinstance(stream, io.TextIOWrapper) and stream is not sys.stdin:
        if stream.isatty():
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8", errors="replace", newline="")
    return stream

"""A terminal in memory, and the whole program run on it."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from puna.cli.main import run_program
from puna.cli.session import Session
from puna.cli.terminal import Terminal
from puna.units import Span
from puna.world import RealWorld

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)


class StillWorld(RealWorld):
    """A world in which it is always ten o'clock."""

    def now(self) -> datetime:
        return NOW

    def elapsed(self) -> Span:
        return Span(0)


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run of the program left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def a_terminal(
    typed: str = "", *, screen: bool = False, has_escapes: bool = False, keys: bool = False
) -> Terminal:
    """A terminal of which a person sees both ends (`screen`), or of two pipes."""
    return Terminal(
        keys=io.StringIO(typed),
        out=io.StringIO(),
        err=io.StringIO(),
        reads_keys=keys or (screen and not typed),
        out_is_screen=screen,
        err_is_screen=screen,
        has_escapes=has_escapes,
        has_colours=False,
    )


def puna(*arguments: str, environ: Mapping[str, str], terminal: Terminal | None = None) -> Ran:
    """Run the program in this process."""
    terminal = terminal or a_terminal()
    code = run_program(_words(arguments), Session(terminal, environ, StillWorld()))
    return Ran(code, _written(terminal.out), _written(terminal.err))


def _words(arguments: Sequence[str]) -> list[str]:
    return list(arguments)


def _written(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()

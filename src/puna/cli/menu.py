"""Choose one row of several, with the arrow keys, a number, or by typing part of it.

A terminal that understands no escapes gets the rows with numbers, and reads a line.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from puna.cli.terminal import Terminal
from puna.text import cell_width, one_line

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

MARK = "> "
_GAP = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to choose, and a word about it."""

    title: str
    about: str = ""


@dataclass(slots=True)
class Choice:
    """Which rows are shown, and on which the mark stands. Pure: keys in, lines out."""

    rows: Sequence[Row]
    typed: str = ""
    at: int = 0
    shown: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.narrow("")

    def narrow(self, typed: str) -> None:
        """Show the rows that have what was typed in them."""
        self.typed, self.at = typed, 0
        self.shown = [
            place for place, row in enumerate(self.rows) if typed.lower() in row.title.lower()
        ]

    def move(self, steps: int) -> None:
        """Move the mark; beyond an end it comes out at the other."""
        if self.shown:
            self.at = (self.at + steps) % len(self.shown)

    @property
    def chosen(self) -> int | None:
        """The row under the mark."""
        return self.shown[self.at] if self.shown else None

    def lines(self, height: int, width: int) -> list[str]:
        """Return the lines around the mark, as many as there is room for."""
        first = max(0, min(self.at - height // 2, len(self.shown) - height))
        widest = max((cell_width(self.rows[place].title) for place in self.shown), default=0)
        return [
            _cut(self._line(place, widest), width) for place in self.shown[first : first + height]
        ]

    def _line(self, place: int, widest: int) -> str:
        row = self.rows[place]
        gap = " " * (widest - cell_width(row.title) + _GAP) if row.about else ""
        return f"{MARK if place == self.chosen else ' ' * len(MARK)}{row.title}{gap}{row.about}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def choose(
    terminal: Terminal,
    title: str,
    rows: Sequence[Row],
    *,
    keys: "Input | None" = None,
    screen: "Output | None" = None,
) -> int:
    """Return the place of the row that the person chose. Raises `KeyboardInterrupt` for none."""
    of = terminal.language.of
    safe = [Row(one_line(of(row.title)), one_line(of(row.about))) for row in rows]
    title = of(title)
    if not terminal.has_escapes:
        return _by_number(terminal, title, safe)
    chosen: int | None = import_module("puna.cli.menu_keys").ask(
        terminal, title, Choice(safe), keys=keys, screen=screen
    )
    if chosen is None:
        raise KeyboardInterrupt
    return chosen


def _by_number(terminal: Terminal, title: str, rows: Sequence[Row]) -> int:
    terminal.line(f"{title}:")
    for place, row in enumerate(rows, start=1):
        terminal.line(f"{place:>3}  {row.title}" + (f"    {row.about}" if row.about else ""))
    while True:
        terminal.write(f"1-{len(rows)}: ")
        typed = terminal.keys.readline()
        if not typed:
            raise KeyboardInterrupt
        if typed.strip().isdecimal() and 1 <= int(typed) <= len(rows):
            return int(typed) - 1

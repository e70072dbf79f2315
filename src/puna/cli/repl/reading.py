"""Where the lines of the dialogue come from: a terminal with line editing, or one without."""

from typing import Protocol

from puna.cli.repl.entry import is_open
from puna.cli.repl.history import HistoryFile
from puna.cli.repl.words import MORE, PROMPT
from puna.cli.terminal import Terminal


class LineDropped(Exception):
    """Ctrl-C was pressed on a line with text; the text is gone and nothing is sent."""


class Reader(Protocol):
    """Reads messages from a person."""

    def read(self) -> str:
        """Return the next message.

        Raises `EOFError` at the end, `KeyboardInterrupt` on an empty line, `LineDropped` else.
        """


class PlainReader:
    """Reads from a terminal that understands no escapes: the system's own line editing."""

    def __init__(self, terminal: Terminal, history: HistoryFile) -> None:
        self._terminal, self._history = terminal, history

    def read(self) -> str:
        """Return the next message."""
        text = self._line(PROMPT)
        while is_open(text):
            text += "\n" + self._line(MORE)
        self._history.add(text)
        return text

    def _line(self, prompt: str) -> str:
        self._terminal.write(prompt)
        line = self._terminal.keys.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

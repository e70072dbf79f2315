"""Something that moves while a person waits: one line on stderr that leaves no trace."""

import threading
from types import TracebackType
from typing import Self

from puna.cli.terminal import Terminal
from puna.text import one_line

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PERIOD_S = 0.1


class Spinner:
    """Turns on a screen until it is left; elsewhere it does nothing."""

    def __init__(self, terminal: Terminal, text: str = "") -> None:
        self._terminal = terminal
        self._text = one_line(terminal.language.of(text), 60)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._terminal.moves_err:
            self._thread = threading.Thread(target=self._turn, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Vanish. Calling it again does nothing."""
        if self._thread is None:
            return
        self._stopped.set()
        self._thread.join()
        self._thread = None
        self._draw("\r\x1b[K\x1b[?25h")

    def _turn(self) -> None:
        turn = 0
        while not self._stopped.is_set():
            frame = FRAMES[turn % len(FRAMES)]
            self._draw(f"\r\x1b[?25l\x1b[K{self._text}{' ' if self._text else ''}{frame} ")
            turn += 1
            self._stopped.wait(_PERIOD_S)

    def _draw(self, text: str) -> None:
        self._terminal.err.write(text)
        self._terminal.err.flush()

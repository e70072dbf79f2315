"""Read messages with line editing: the keys of Ollama's dialogue, in prompt_toolkit.

Enter sends, Ctrl-J begins a new line, and what is pasted stays one message. Between triple quotes
Enter begins a new line too.
"""

import shlex
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import History
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output, create_output
from prompt_toolkit.output.vt100 import Vt100_Output

from puna.cli.repl.entry import is_open
from puna.cli.repl.history import HistoryFile
from puna.cli.repl.reading import LineDropped
from puna.cli.repl.words import MORE, PLACEHOLDER, PROMPT
from puna.cli.terminal import GREY, PLAIN, Terminal

_TAB = " " * 8


class Keyboard:
    """Reads from a terminal that understands escapes."""

    def __init__(
        self,
        terminal: Terminal,
        history: HistoryFile,
        *,
        editor: str,
        keys: Input | None = None,
        screen: Output | None = None,
    ) -> None:
        output = screen or create_output(terminal.out)
        if isinstance(output, Vt100_Output):
            output.enable_cpr = (
                False  # the place of the cursor is not needed, and an answer can come late
            )
        self._terminal = terminal
        self._session: PromptSession[str] = PromptSession(
            message=PROMPT,
            multiline=True,
            prompt_continuation=MORE,
            placeholder=self._placeholder,
            history=_Entries(history),
            key_bindings=_bindings(editor),
            enable_suspend=True,
            enable_open_in_editor=False,
            reserve_space_for_menu=0,
            input=keys or create_input(),
            output=output,
        )

    def read(self) -> str:
        """Return the next message."""
        return self._session.prompt()

    def _placeholder(self) -> ANSI:
        text = self._terminal.language.of(PLACEHOLDER)
        return ANSI(f"{GREY}{text}{PLAIN}" if self._terminal.has_colours else text)


class _Entries(History):
    """The history file as prompt_toolkit wants it: the newest first."""

    def __init__(self, file: HistoryFile) -> None:
        super().__init__()
        self._file = file

    def load_history_strings(self) -> Iterable[str]:
        return reversed(self._file.entries)

    def store_string(self, string: str) -> None:
        self._file.add(string)


def _bindings(editor: str) -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_open(buffer.text):
            buffer.insert_text("\n")
            return
        buffer.validate_and_handle()

    @keys.add("c-j")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("tab")
    def indent(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text(_TAB)

    @keys.add("c-c")
    def interrupt(event: KeyPressEvent) -> None:
        dropped = LineDropped() if event.current_buffer.text else KeyboardInterrupt()
        event.app.exit(exception=dropped, style="class:aborting")

    @keys.add("c-g")
    async def edit(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = await run_in_terminal(lambda: edited(buffer.text, editor), in_executor=True)
        buffer.text = text
        buffer.cursor_position = len(text)

    return keys


def edited(text: str, editor: str) -> str:
    """Return `text` after the person has changed it in `editor`; unchanged if the editor fails."""
    with tempfile.TemporaryDirectory(prefix="puna-") as folder:
        file = Path(folder) / "message.txt"
        file.write_text(text, encoding="utf-8")
        command = [*shlex.split(editor), str(file)]
        try:
            is_done = subprocess.run(command, check=False).returncode == 0  # noqa: S603 - the person's own
        except OSError:
            is_done = False
        return file.read_text(encoding="utf-8", errors="replace").rstrip("\n") if is_done else text

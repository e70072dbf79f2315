"""The keys of a menu, in prompt_toolkit: drawn in place, and gone when something is chosen."""

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window
from prompt_toolkit.output import Output, create_output
from prompt_toolkit.output.vt100 import Vt100_Output

from puna.cli.menu import MARK, Choice
from puna.cli.terminal import Terminal

KEYS = "↑ ↓ Enter, type to narrow, Esc to leave"
_ROOM_AROUND = 4


def ask(
    terminal: Terminal,
    title: str,
    choice: Choice,
    *,
    keys: Input | None = None,
    screen: Output | None = None,
) -> int | None:
    """Return the row chosen; None if the person left."""
    output = screen or create_output(terminal.out)
    if isinstance(output, Vt100_Output):
        output.enable_cpr = False  # as at the prompt: an answer can come late
    quiet = "fg:ansibrightblack" if terminal.has_colours else ""

    def drawn() -> StyleAndTextTuples:
        size = output.get_size()
        lines = choice.lines(max(1, size.rows - _ROOM_AROUND), max(20, size.columns - 1))
        head = f"{title}: {choice.typed}" if choice.typed else title
        text: StyleAndTextTuples = [("bold", f"{head}\n")]
        for line in lines:
            text.append(("bold" if line.startswith(MARK) else "", f"{line}\n"))
        return [*text, (quiet, terminal.language.of(KEYS))]

    application: Application[int | None] = Application(
        layout=Layout(
            Window(FormattedTextControl(drawn, show_cursor=False), dont_extend_height=True)
        ),
        key_bindings=_bindings(choice),
        erase_when_done=True,
        input=keys or create_input(),
        output=output,
    )
    application.ttimeoutlen = 0.1  # Esc alone leaves, and must not seem to hang
    return application.run()


def _bindings(choice: Choice) -> KeyBindings:
    keys = KeyBindings()

    @keys.add("up")
    @keys.add("c-p")
    def up(_: KeyPressEvent) -> None:
        choice.move(-1)

    @keys.add("down")
    @keys.add("c-n")
    @keys.add("tab")
    def down(_: KeyPressEvent) -> None:
        choice.move(1)

    @keys.add("enter")
    def take(event: KeyPressEvent) -> None:
        if choice.chosen is not None:
            event.app.exit(result=choice.chosen)

    @keys.add("escape", eager=True)
    @keys.add("c-c")
    @keys.add("c-d")
    def leave(event: KeyPressEvent) -> None:
        event.app.exit(result=None)

    @keys.add("backspace")
    def shorten(_: KeyPressEvent) -> None:
        choice.narrow(choice.typed[:-1])

    @keys.add(Keys.Any)
    def narrow(event: KeyPressEvent) -> None:
        if event.data.isprintable():
            choice.narrow(choice.typed + event.data)

    return keys

"""The keys of the dialogue, pressed one by one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.input.base import PipeInput
from prompt_toolkit.input.defaults import create_pipe_input
from prompt_toolkit.output import DummyOutput

from puna.cli.repl.history import HistoryFile
from puna.cli.repl.keyboard import Keyboard, edited
from puna.cli.repl.reading import LineDropped
from tests.fakes.console import a_terminal

UP, LEFT, RIGHT, HOME, END, DELETE = "\x1b[A", "\x1b[D", "\x1b[C", "\x1b[H", "\x1b[F", "\x1b[3~"
PASTE, PASTED = "\x1b[200~", "\x1b[201~"


@pytest.fixture
def pressed() -> Iterator[PipeInput]:
    with create_pipe_input() as keys:
        yield keys


@pytest.fixture
def keyboard(pressed: PipeInput, tmp_path: Path) -> Keyboard:
    history = HistoryFile(tmp_path / "history", is_on=True)
    history.entries = ["older", "newer"]
    return Keyboard(a_terminal(), history, editor="false", keys=pressed, screen=DummyOutput())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("hello\r", "hello"),
        ("one\ntwo\r", "one\ntwo"),
        ('"""one\rtwo"""\r', '"""one\rtwo"""'.replace("\r", "\n")),
        (f"{PASTE}one\ntwo{PASTED}\r", "one\ntwo"),
        ("bc\x01a\x05d\r", "abcd"),
        ("ac\x02b\x06d\r", "abcd"),
        (f"ac{LEFT}b{RIGHT}d\r", "abcd"),
        (f"bc{HOME}a{END}d\r", "abcd"),
        ("abx\x08c\r", "abc"),
        ("abx\x7fc\r", "abc"),
        (f"xab{HOME}{DELETE}\r", "ab"),
        ("one two\x17three\r", "one three"),
        ("one two\x1b\x7fthree\r", "one three"),
        ("one two\x1bbX\r", "one Xtwo"),
        ("one two\x01\x1bfX\r", "oneX two"),
        ("one\x15two\r", "two"),
        ("one two\x01\x0bthree\r", "three"),
        ("a\tb\r", "a        b"),
        ("\x10\r", "newer"),
        ("\x10\x10\r", "older"),
        ("\x10\x10\x0e\r", "newer"),
        (f"{UP}{UP}\r", "older"),
        ("żółć 日本\r", "żółć 日本"),
    ],
    ids=repr,
)
def test_each_key_does_what_it_does_in_ollama(
    pressed: PipeInput, keyboard: Keyboard, keys: str, message: str
) -> None:
    pressed.send_text(keys)
    assert keyboard.read() == message


def test_ctrl_c_drops_a_line_with_text(pressed: PipeInput, keyboard: Keyboard) -> None:
    pressed.send_text("half a line\x03")
    with pytest.raises(LineDropped):
        keyboard.read()


def test_ctrl_c_on_an_empty_line_is_an_interrupt(pressed: PipeInput, keyboard: Keyboard) -> None:
    pressed.send_text("\x03")
    with pytest.raises(KeyboardInterrupt):
        keyboard.read()


def test_ctrl_d_on_an_empty_line_ends(pressed: PipeInput, keyboard: Keyboard) -> None:
    pressed.send_text("\x04")
    with pytest.raises(EOFError):
        keyboard.read()


def test_ctrl_d_on_a_line_with_text_deletes(pressed: PipeInput, keyboard: Keyboard) -> None:
    pressed.send_text("ab\x01\x04\r")
    assert keyboard.read() == "b"


def test_what_is_sent_is_kept(pressed: PipeInput, keyboard: Keyboard, tmp_path: Path) -> None:
    pressed.send_text("newest\r")
    keyboard.read()
    assert (tmp_path / "history").read_text() == "older\nnewer\nnewest\n"


def test_an_editor_changes_the_message() -> None:
    assert edited("one\ntwo", "sed -i s/one/three/") == "three\ntwo"


@pytest.mark.parametrize("editor", ["false", "no-such-editor-anywhere"])
def test_an_editor_that_fails_leaves_the_message(editor: str) -> None:
    assert edited("one", editor) == "one"

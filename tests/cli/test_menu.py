"""Choosing a row: by keys, by typing, by number; and what `puna` alone offers."""

from collections.abc import Iterator

import pytest
from prompt_toolkit.input.base import PipeInput
from prompt_toolkit.input.defaults import create_pipe_input
from prompt_toolkit.output import DummyOutput

from puna.cli.menu import Choice, Row, choose
from puna.cli.welcome import ways
from tests.fakes.console import a_terminal, puna
from tests.fakes.node import FakeNode, a_tag
from tests.fakes.screen import puna_on_a_screen

ROWS = [Row("bielik"), Row("qwen3", "8 GB"), Row("Qwen2")]
UP, DOWN = "\x1b[A", "\x1b[B"


@pytest.fixture
def pressed() -> Iterator[PipeInput]:
    with create_pipe_input() as keys:
        yield keys


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ("\r", 0),
        (f"{DOWN}\r", 1),
        (f"{UP}\r", 2),
        (f"{DOWN}{DOWN}{DOWN}\r", 0),
        ("qw\r", 1),
        (f"qw{DOWN}\r", 2),
        ("qwx\r\x7f\r", 1),
    ],
)
def test_keys_choose(keys: str, place: int, pressed: PipeInput) -> None:
    pressed.send_text(keys)
    terminal = a_terminal(screen=True, has_escapes=True)
    assert choose(terminal, "Model", ROWS, keys=pressed, screen=DummyOutput()) == place


@pytest.mark.parametrize("keys", ["\x1b", "\x03", "\x04"], ids=["Esc", "Ctrl-C", "Ctrl-D"])
def test_leaving_chooses_nothing(keys: str, pressed: PipeInput) -> None:
    pressed.send_text(keys)
    terminal = a_terminal(screen=True, has_escapes=True)
    with pytest.raises(KeyboardInterrupt):
        choose(terminal, "Model", ROWS, keys=pressed, screen=DummyOutput())


def test_a_plain_terminal_asks_for_a_number() -> None:
    terminal = a_terminal("9\nx\n2\n", screen=True)
    assert choose(terminal, "Model", ROWS) == 1
    with pytest.raises(KeyboardInterrupt):
        choose(a_terminal("", screen=True), "Model", ROWS)


def test_lines_follow_the_mark_and_keep_to_the_screen() -> None:
    choice = Choice([Row(f"model-{place:02}", "about" * 9) for place in range(40)])
    choice.move(-1)
    lines = choice.lines(5, 30)
    assert [line.split()[0] for line in lines] == [
        *["model-35", "model-36", "model-37"],
        "model-38",
        ">",
    ]
    assert {len(line) for line in lines} == {30}


def test_the_first_menu_offers_what_is_here() -> None:
    titles = [way.row.title for way in ways(["a", "b"], installed=["codex"])]
    assert titles[0] == "Talk with a model"
    rows = {way.row.title: way.row.about for way in ways([], installed=["codex"])}
    assert "Talk with a model" not in rows
    assert rows["Launch Codex"] != rows["Launch Claude Code"] == "not installed"


def test_without_a_person_there_is_help_and_no_menu(node: FakeNode) -> None:
    assert puna(environ=node.environ()).out.startswith("Usage: puna")
    assert node.asked == []


def test_puna_alone_on_a_terminal_leads_to_a_conversation(node: FakeNode) -> None:
    node.tags = [a_tag(), a_tag("other:latest")]
    with puna_on_a_screen(environ=node.environ()) as screen:
        screen.wait_for("Launch OpenCode")
        screen.press("\r")
        screen.wait_for("other:latest")
        screen.press("\r")
        screen.wait_for("Send a message")
        screen.press("\x04")
        assert screen.wait_for_end() == 0


def test_leaving_the_menu_is_no_failure(node: FakeNode) -> None:
    with puna_on_a_screen(environ=node.environ()) as screen:
        screen.wait_for("Launch OpenCode")
        screen.press("\x1b")
        assert screen.wait_for_end() == 0

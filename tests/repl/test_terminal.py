"""The dialogue on a real terminal: signals, pastes, escapes and width."""

import threading

import pytest

from tests.fakes.node import FakeNode
from tests.fakes.screen import puna_on_a_screen

pytestmark = pytest.mark.journey

MODEL = "smollm2:135m"


def test_a_person_talks_and_leaves(node: FakeNode) -> None:
    with puna_on_a_screen("run", MODEL, environ=node.environ()) as screen:
        screen.wait_for("Send a message (/? for help)")
        screen.press("What is it?\r")
        screen.wait_for("A bun and meat.\r\n\r\n")
        screen.wait_for(">>> ")
        screen.press("/bye\r")
        assert screen.wait_for_end() == 0
    assert "runs on CPU, 2 threads: 310 MB of memory" in screen.shown


def test_ctrl_c_stops_the_answer_and_not_the_dialogue(node: FakeNode) -> None:
    node.hold = threading.Event()
    with puna_on_a_screen("run", MODEL, environ=node.environ()) as screen:
        screen.wait_for(">>> ")
        screen.press("hi\r")
        assert node.pieces_seen.wait(90)
        screen.wait_for("A bun")
        screen.press("\x03")
        assert node.client_left.wait(90)
        screen.wait_for(">>> ")
        node.hold = None
        screen.press("again\r")
        screen.wait_for("A bun and meat.")
        screen.wait_for(">>> ")
        screen.press("\x04")
        assert screen.wait_for_end() == 0
    messages = node.bodies("/api/chat")[1]["messages"]
    assert isinstance(messages, list)
    assert [each["content"] for each in messages] == ["hi", "A bun ", "again"]


def test_what_is_typed_during_an_answer_waits_for_the_next_prompt(node: FakeNode) -> None:
    node.hold = threading.Event()
    with puna_on_a_screen("run", MODEL, environ=node.environ()) as screen:
        screen.wait_for(">>> ")
        screen.press("hi\r")
        screen.wait_for("A bun")
        screen.press("/set verbose\r/bye\r")
        node.hold.set()
        assert ("verbose" in screen.wait_for("meat.")) is False
        screen.wait_for("Set 'verbose' mode.")
        assert screen.wait_for_end() == 0


def test_ctrl_c_on_an_empty_line_says_how_to_leave(node: FakeNode) -> None:
    with puna_on_a_screen("run", MODEL, environ=node.environ()) as screen:
        screen.wait_for("Send a message")
        screen.press("half\x03")
        screen.wait_for("Send a message")
        screen.press("\x03")
        screen.wait_for("Use Ctrl + d or /bye to exit.")
        screen.wait_for(">>> ")
        screen.press("\x04")
        assert screen.wait_for_end() == 0
    assert node.bodies("/api/chat") == []


def test_a_paste_of_several_lines_is_one_message(node: FakeNode) -> None:
    with puna_on_a_screen("run", MODEL, environ=node.environ()) as screen:
        screen.wait_for(">>> ")
        screen.press("\x1b[200~one\rtwo\x1b[201~\r")
        screen.wait_for("A bun and meat.")
        screen.wait_for(">>> ")
        screen.press("\x04")
        screen.wait_for_end()
    messages = node.bodies("/api/chat")[0]["messages"]
    assert messages == [{"role": "user", "content": "one\ntwo"}]


def test_a_model_cannot_take_over_the_terminal(node: FakeNode) -> None:
    node.pieces = [{"text": "\x1b]0;owned\x07\x1b[2Jred\x1b[31m \x9b2K end"}]
    with puna_on_a_screen("run", MODEL, "hi", environ=node.environ()) as screen:
        assert screen.wait_for_end() == 0
    assert "�]0;owned��[2Jred�[31m �2K end" in screen.shown
    assert "\x1b]" not in screen.shown


def test_answers_are_wrapped_at_the_width_of_the_terminal(node: FakeNode) -> None:
    node.pieces = [{"text": "zażółć "}, {"text": "gęślą jaźń "}, {"text": "日本語テキスト"}]
    with puna_on_a_screen("run", MODEL, "hi", environ=node.environ(), columns=20) as screen:
        assert screen.wait_for_end() == 0
    assert "zażółć gęślą jaźń\r\n日本語テキスト\r\n\r\n" in screen.shown


def test_ctrl_c_ends_a_single_question(node: FakeNode) -> None:
    node.hold = threading.Event()
    with puna_on_a_screen("run", MODEL, "hi", environ=node.environ()) as screen:
        screen.wait_for("A bun")
        screen.press("\x03")
        assert screen.wait_for_end() == 130
    assert node.client_left.wait(90)
    assert "Error" not in screen.shown
    assert "Traceback" not in screen.shown


def test_a_dumb_terminal_gets_no_escapes(node: FakeNode) -> None:
    environ = node.environ() | {"TERM": "dumb"}
    with puna_on_a_screen("run", MODEL, environ=environ) as screen:
        screen.wait_for(">>> ")
        screen.press("hi\n")
        screen.wait_for("A bun and meat.\r\n\r\n>>> ")
        screen.press("/bye\n")
        assert screen.wait_for_end() == 0
    assert "\x1b" not in screen.shown


@pytest.mark.parametrize("width", [20, 200])
def test_a_long_message_is_sent_whole(node: FakeNode, width: int) -> None:
    message = "word " * 60 + "end"
    with puna_on_a_screen("run", MODEL, environ=node.environ(), columns=width) as screen:
        screen.wait_for(">>> ")
        screen.press(message + "\r")
        screen.wait_for("meat.")
        screen.wait_for(">>> ")
        screen.press("\x04")
        screen.wait_for_end()
    assert node.bodies("/api/chat")[0]["messages"] == [{"role": "user", "content": message}]

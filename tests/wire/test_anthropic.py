"""Anthropic's formats to the byte: events in their order, whole messages, thoughts and calls."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from puna.chat.messages import ToolCall
from puna.node.answer import Begun, Called, Ended, Event, Thought
from puna.node.api.anthropic.messages import MessageForm, MessageWriter
from puna.node.engine.request import Finish, Piece, StopReason
from puna.node.prompt import Cut, Prompt
from puna.units import Span

DATA = Path(__file__).parent.parent / "data/wire/anthropic"
BEGUN = Begun(Prompt(tuple(range(12)), "Hi"), Span(0))
CALL = Called(ToolCall("get_weather", '{"city":"Oslo"}', "call_ab12cd34"), 0)


def an_end(*, reason: StopReason = StopReason.STOP, stop_word: str = "") -> Ended:
    finish = Finish(reason, 12, 3, Span(0), Span(0), stop_word=stop_word)
    return Ended(finish, Span(0), Span(0))


def a_writer(**changes: object) -> MessageWriter:
    values = {"id": "msg_0123456789abcdef01234567", "model": "llama3.2", **changes}
    return MessageWriter(MessageForm(**values))  # type: ignore[arg-type]


ANSWERS: dict[str, Sequence[Event]] = {
    "text": (BEGUN, Piece("Hel"), Piece("lo"), an_end()),
    "length": (BEGUN, Piece("Hel"), an_end(reason=StopReason.LENGTH)),
    "call": (BEGUN, Thought(Piece("Hm")), Piece("Well."), CALL, an_end()),
    "nothing": (BEGUN, an_end()),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_streamed_answer(name: str) -> None:
    writer = a_writer()
    content = b"".join(writer.lines([event]) for event in ANSWERS[name])
    assert content == (DATA / f"message-{name}.sse").read_bytes()


@pytest.mark.parametrize("name", ANSWERS)
def test_a_whole_answer(name: str) -> None:
    content = a_writer().whole(ANSWERS[name])
    assert content == (DATA / f"message-{name}.json").read_bytes()


def test_events_come_in_their_order() -> None:
    content = a_writer().lines(ANSWERS["text"]).decode()
    names = [line.partition(" ")[2] for line in content.splitlines() if line[:6] == "event:"]
    assert names == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


@pytest.mark.parametrize(
    ("stops", "word", "reason", "told"),
    [
        (("END",), "END", "stop_sequence", "END"),
        ((), "<|im_end|>", "end_turn", None),
        (("END",), "", "end_turn", None),
    ],
)
def test_only_the_clients_own_stop_is_a_stop_sequence(
    stops: tuple[str, ...], word: str, reason: str, told: str | None
) -> None:
    reply = json.loads(a_writer(stops=stops).whole([BEGUN, an_end(stop_word=word)]))
    assert (reply["stop_reason"], reply["stop_sequence"]) == (reason, told)


def test_two_calls_are_two_blocks() -> None:
    content = a_writer().lines([CALL, CALL]).decode()
    assert content.count("event: content_block_start") == 2
    assert '"index":1' in content


def test_what_was_not_done_as_asked_is_said() -> None:
    writer = a_writer(ignored=("thinking",))
    begun = Begun(Prompt((1,), "", Cut(5120, 2051, 4096, 3)), Span(0))
    content = writer.lines([begun, Piece("a"), an_end()])
    assert b'"ignored":["thinking"]' in content
    assert b'"truncated":{"prompt_tokens":5120' in content
    assert writer.headers()["Puna-Ignored-Options"] == "thinking"

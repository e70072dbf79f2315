"""OpenAI's formats to the byte: chunks, whole answers, tool calls, thoughts, several choices."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from puna.chat.messages import ToolCall
from puna.node.answer import Begun, Called, Ended, Event, Thought
from puna.node.api.choices import Told
from puna.node.api.openai.chat import ChatWriter
from puna.node.api.openai.form import Form
from puna.node.api.openai.text import TextWriter
from puna.node.engine.request import ChosenToken, Finish, Piece, StopReason, TokenProbability
from puna.node.prompt import Cut, Prompt
from puna.units import Span

DATA = Path(__file__).parent.parent / "data/wire/openai"
BEGUN = Begun(Prompt(None, "Hi"), Span(0))
CALL = Called(ToolCall("get_weather", '{"city":"Oslo"}', "call_ab12cd34"), 0)


def an_end(
    *, reason: StopReason = StopReason.STOP, cached: int = 0, shifted: bool = False
) -> Ended:
    finish = Finish(reason, 12, 3, Span(0), Span(0), cached_tokens=cached, shifted=shifted)
    return Ended(finish, Span(0), Span(0))


def a_form(prefix: str = "chatcmpl", **changes: object) -> Form:
    values = {"id": f"{prefix}-123", "model": "llama3.2", "created": 1780000000, **changes}
    return Form(**values)  # type: ignore[arg-type]


def told(*events: Event, choice: int = 0) -> list[Told]:
    return [Told(choice, event) for event in events]


ANSWERS: dict[str, Sequence[Event]] = {
    "text": (BEGUN, Piece("Hel"), an_end()),
    "length": (BEGUN, Piece("Hel"), an_end(reason=StopReason.LENGTH, cached=8)),
    "call": (BEGUN, CALL, an_end()),
    "thought": (BEGUN, Thought(Piece("Hm")), Piece("Hello"), an_end()),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_streamed_answer(name: str) -> None:
    writer = ChatWriter(a_form(includes_usage=True))
    content = b"".join(writer.lines(told(event)) for event in ANSWERS[name])
    assert content == (DATA / f"chat-{name}.sse").read_bytes()


@pytest.mark.parametrize("name", ANSWERS)
def test_a_whole_answer(name: str) -> None:
    content = ChatWriter(a_form()).whole(told(*ANSWERS[name]))
    assert content == (DATA / f"chat-{name}.json").read_bytes()


def test_pieces_that_wait_become_one_chunk() -> None:
    content = ChatWriter(a_form()).lines(told(Piece("a"), Piece(""), Piece("b")))
    assert content.count(b"data: ") == 1
    assert b'"content":"ab"' in content


def test_choices_are_numbered_and_count_their_prompt_once() -> None:
    writer = ChatWriter(a_form(choices=2, each=2))
    content = writer.whole([*told(*ANSWERS["text"], choice=1), *told(*ANSWERS["length"])])
    assert b'"index":0' in content.partition(b'"index":1')[0]
    assert b'"usage":{"prompt_tokens":12,"completion_tokens":6,"total_tokens":18' in content


def test_a_stream_is_done_when_every_choice_is() -> None:
    writer = ChatWriter(a_form(choices=2, each=2))
    assert b"[DONE]" not in writer.lines(told(*ANSWERS["text"]))
    assert writer.lines(told(*ANSWERS["text"], choice=1)).endswith(b"data: [DONE]\n\n")


def test_an_answer_without_a_word_still_has_a_role() -> None:
    first, _, _ = ChatWriter(a_form()).lines(told(BEGUN, an_end())).partition(b"\n\n")
    assert b'"delta":{"role":"assistant","content":""}' in first


def test_what_was_not_done_as_asked_is_said() -> None:
    writer = ChatWriter(a_form(ignored=("verbosity",)))
    begun = Begun(Prompt((1,), "", Cut(5120, 2051, 4096, 3)), Span(0))
    content = writer.lines(told(begun, Piece("a"), an_end(shifted=True)))
    assert b'"shifted":true,"ignored":["verbosity"]}' in content
    assert writer.headers()["Puna-Truncated"].startswith("prompt_tokens=5120; kept_tokens=2051")
    assert writer.headers()["Puna-Ignored-Options"] == "verbosity"


def test_a_completion_has_its_tokens_as_lists() -> None:
    likely = tuple(
        TokenProbability(text, value, text.encode()) for text, value in (("A", -0.5), ("B", -2.25))
    )
    chosen = ChosenToken(likely[0], likely)
    content = TextWriter(a_form("cmpl")).whole(told(Piece("AA", (), (chosen, chosen)), an_end()))
    assert content == (DATA / "completion.json").read_bytes()


def test_a_prompt_comes_back_before_its_completions() -> None:
    writer = TextWriter(a_form("cmpl", choices=2), ["one ", "two "])
    content = writer.lines([*told(Piece("a")), *told(Piece("b"), choice=1), *told(Piece("c"))])
    assert b'"text":"one ac","index":0' in content
    assert b'"text":"two b","index":1' in content

"""OpenAI's Responses API to the byte: numbered events in their order, and the whole response."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from puna.chat.messages import ToolCall
from puna.errors import Failed
from puna.node.answer import Begun, Called, Ended, Event, Thought
from puna.node.api.openai.responses import ResponseForm, ResponseWriter
from puna.node.engine.request import Finish, Piece, StopReason
from puna.node.prompt import Cut, Prompt
from puna.units import Span
from puna.wire.responses import ResponsesRequest

DATA = Path(__file__).parent.parent / "data/wire/openai"
BEGUN = Begun(Prompt(None, "Hi"), Span(0))
CALL = Called(ToolCall("get_weather", '{"city":"Oslo"}', "call_ab12cd34"), 0)


def an_end(*, reason: StopReason = StopReason.STOP) -> Ended:
    return Ended(Finish(reason, 12, 5, Span(0), Span(0), cached_tokens=8), Span(0), Span(0))


def a_writer(asked: Mapping[str, object] | None = None, **changes: object) -> ResponseWriter:
    numbers = itertools.count(1)
    values = {
        "id": "resp_1",
        "created": 1780000000,
        "asked": ResponsesRequest.model_validate({"model": "llama3.2", **(asked or {})}),
        "new_id": lambda: str(next(numbers)),
        **changes,
    }
    return ResponseWriter(ResponseForm(**values))  # type: ignore[arg-type]


ANSWERS: dict[str, Sequence[Event]] = {
    "text": (BEGUN, Piece("Hel"), Piece("lo"), an_end()),
    "length": (BEGUN, Piece("Hel"), an_end(reason=StopReason.LENGTH)),
    "call": (BEGUN, Thought(Piece("Hm", (1, 2))), Piece("Well."), CALL, an_end()),
}


def events(content: bytes) -> list[dict[str, object]]:
    blocks = content.decode().strip().split("\n\n")
    return [json.loads(block.partition("\ndata: ")[2]) for block in blocks]


@pytest.mark.parametrize("name", ANSWERS)
def test_a_streamed_answer(name: str) -> None:
    writer = a_writer()
    content = b"".join(writer.lines([event]) for event in ANSWERS[name])
    assert content == (DATA / f"response-{name}.sse").read_bytes()


@pytest.mark.parametrize("name", ANSWERS)
def test_a_whole_answer(name: str) -> None:
    content = a_writer().whole(ANSWERS[name])
    assert content == (DATA / f"response-{name}.json").read_bytes()


def test_events_come_in_their_order() -> None:
    told = events(a_writer().lines(ANSWERS["call"]))
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert [str(event["type"]).removeprefix("response.") for event in told] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]


def test_the_last_event_is_the_whole_answer() -> None:
    writer = a_writer()
    told = events(b"".join(writer.lines([event]) for event in ANSWERS["call"]))
    assert told[-1]["response"] == json.loads(a_writer().whole(ANSWERS["call"]))


def test_a_function_of_a_namespace_keeps_it() -> None:
    names = {"get_weather": ("mcp__sky", "get")}
    reply = json.loads(a_writer(namespaces=names).whole([BEGUN, CALL, an_end()]))
    assert (reply["output"][0]["namespace"], reply["output"][0]["name"]) == ("mcp__sky", "get")


def test_an_answer_that_fails_on_the_way_says_so() -> None:
    writer = a_writer()
    writer.lines([BEGUN, Piece("Hel")])
    (told,) = events(writer.error_line(Failed("the engine died")))
    response = told["response"]
    assert isinstance(response, dict)
    assert (told["type"], response["status"]) == ("response.failed", "failed")
    assert response["error"] == {"code": "server_error", "message": "the engine died"}


def test_what_was_not_done_as_asked_is_said() -> None:
    writer = a_writer(ignored=("tools.web_search",))
    begun = Begun(Prompt((1,), "", Cut(5120, 2051, 4096, 3)), Span(0))
    reply = json.loads(writer.whole([begun, Piece("a"), an_end()]))
    assert reply["puna"]["ignored"] == ["tools.web_search"]
    assert reply["puna"]["truncated"]["prompt_tokens"] == 5120
    assert writer.headers()["Puna-Ignored-Options"] == "tools.web_search"

"""Ollama's formats to the byte: order, omissions, times. The data's README tells its source."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import ValidationError

from puna.chat.messages import ToolCall
from puna.node.answer import Begun, Called, Ended, Thought
from puna.node.api.ollama.lines import AnswerForm, AnswerWriter, Shape
from puna.node.api.ollama.progress import ProgressWriter
from puna.node.engine.request import ChosenToken, Finish, Piece, StopReason, TokenProbability
from puna.node.prompt import Cut, Prompt
from puna.progress import Done, Step, Transfer
from puna.units import Size, Span
from puna.wire.ollama import (
    ChatRequest,
    Details,
    GenerateReply,
    GenerateRequest,
    TagEntry,
    Tags,
    rfc3339,
)

DATA = Path(__file__).parent.parent / "data/wire/ollama"
START = datetime(2026, 8, 21, 10, tzinfo=UTC)
DIGEST = "74701a8c35f6c8d9a4b91f3f3497643001d63e0c7a84e085bed452548fa88d45"


def a_writer(shape: Shape, *moments: datetime) -> AnswerWriter:
    times = iter(moments or (START,))
    form = AnswerForm(shape=shape, model="llama3.2", now=lambda: next(times), tells_context=True)
    return AnswerWriter(form)


def an_end(*, load_ms: int = 0, reason: StopReason = StopReason.STOP) -> Ended:
    finish = Finish(reason, 12, 80, Span.of(ms=60), Span.of(ms=1300))
    return Ended(finish, Span.of(ms=load_ms), Span.of(ms=1500), (128000,))


@pytest.mark.parametrize(
    ("shape", "file", "ended"),
    [
        (Shape.GENERATE, "generate.ndjson", an_end(load_ms=40)),
        (Shape.CHAT, "chat.ndjson", an_end(reason=StopReason.LENGTH)),
    ],
)
def test_a_streamed_answer(shape: Shape, file: str, ended: Ended) -> None:
    writer = a_writer(shape, START + timedelta(microseconds=123456), START + timedelta(seconds=1.5))
    begun = Begun(Prompt(None, "Hi"), Span(0))
    content = writer.lines([begun, Piece("Hel", (9906,))]) + writer.lines([ended])
    assert content == (DATA / file).read_bytes()


def test_a_thought_and_a_call() -> None:
    times = iter([START] * 3)
    form = AnswerForm(shape=Shape.CHAT, model="qwen3", now=lambda: next(times))
    writer = AnswerWriter(form)
    call = ToolCall("get_weather", '{"city":"Oslo"}', "call_ab12cd34")
    finish = Finish(StopReason.STOP, 1, 1, Span(1), Span(1))
    content = (
        writer.lines([Thought(Piece("The user"))])
        + writer.lines([Called(call, 0)])
        + writer.lines([Ended(finish, Span(1), Span(1))])
    )
    assert content == (DATA / "chat-tools.ndjson").read_bytes()


def test_a_thought_of_generate_stands_after_the_response() -> None:
    line = a_writer(Shape.GENERATE).lines([Thought(Piece("Hm."))])
    assert line.endswith(b'"response":"","thinking":"Hm.","done":false}\n')


def test_a_tool_keeps_every_key_of_its_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^x"}}, "x": [1]}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    read = ChatRequest.model_validate({"tools": [tool]})
    assert read.tools == [tool]


def test_a_whole_answer_with_probabilities() -> None:
    likely = tuple(
        TokenProbability(text, value, text.encode()) for text, value in (("A", -0.5), ("B", -2.25))
    )
    piece = Piece("A\n", (1,), (ChosenToken(likely[0], likely),))
    finish = Finish(StopReason.STOP, 12, 1, Span(0), Span(0))
    pieces = [piece, Piece('"é🦙"')]
    content = a_writer(Shape.CHAT).whole([*pieces, Ended(finish, Span(0), Span(0))])
    assert content == (DATA / "chat-logprobs.json").read_bytes()


def test_pieces_that_wait_become_one_line() -> None:
    writer = a_writer(Shape.GENERATE)
    content = writer.lines([Piece("a"), Piece("", (5,)), Piece("b")])
    assert content.count(b"\n") == 1
    assert b'"response":"ab"' in content


def test_a_token_without_text_is_no_line() -> None:
    assert a_writer(Shape.CHAT).lines([Piece("", (5,))]) == b""


def test_a_cut_prompt_is_said_in_the_last_object_and_a_header() -> None:
    writer = a_writer(Shape.CHAT)
    writer.lines([Begun(Prompt((1,), "", Cut(5120, 2051, 4096, 3)), Span(0))])
    numbers = b'"prompt_tokens":5120,"kept_tokens":2051,"context_length":4096,"dropped_messages":3'
    assert writer.lines([an_end()]).endswith(b',"truncated":{' + numbers + b"}}\n")
    assert writer.headers()["Puna-Truncated"] == (
        "prompt_tokens=5120; kept_tokens=2051; context_length=4096; dropped_messages=3"
    )


def test_everything_that_was_not_done_as_asked_is_in_the_last_object() -> None:
    finish = Finish(
        StopReason.STOP, 1, 1, Span(0), Span(0), shifted=True, ignored=("/format: date",)
    )
    form = AnswerForm(shape=Shape.CHAT, model="m", now=lambda: START, ignored=("mirostat",))
    content = AnswerWriter(form).lines([Ended(finish, Span(0), Span(0))])
    assert content.endswith(b',"shifted":true,"ignored":["mirostat","/format: date"]}\n')


def test_an_unload() -> None:
    reply = GenerateReply(
        model="llama3.2", created_at=START, response="", done=True, done_reason="unload"
    )
    assert reply.to_json() == (DATA / "unload.json").read_bytes()


def test_a_list_of_models() -> None:
    details = Details(
        parent_model="", format="gguf", family="llama", families=["llama"],
        parameter_size="3.2B", quantization_level="Q4_K_M",
    )  # fmt: skip
    entry = TagEntry(
        name="llama3.2:latest",
        model="llama3.2:latest",
        modified_at=datetime(2026, 8, 1, 9, microsecond=100000, tzinfo=UTC),
        size=2019393189,
        digest="a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72",
        details=details,
    )
    assert Tags(models=[entry]).to_json() == (DATA / "tags.json").read_bytes()


def test_a_pull() -> None:
    transfer = Transfer("pulling 74701a8c35f6", f"sha256:{DIGEST}", Size(1321082688), Size(4194304))
    content = ProgressWriter().lines([Step("pulling manifest"), transfer, Done()])
    assert content == (DATA / "pull.ndjson").read_bytes()


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (START, "2026-08-21T10:00:00Z"),
        (START + timedelta(microseconds=1), "2026-08-21T10:00:00.000001Z"),
        (START + timedelta(milliseconds=500), "2026-08-21T10:00:00.5Z"),
        (START.astimezone(timezone(timedelta(hours=2))), "2026-08-21T10:00:00Z"),
    ],
)
def test_times_are_utc_without_zeros_at_the_end(moment: datetime, text: str) -> None:
    assert rfc3339(moment) == text


def test_requests_take_null_and_unknown_fields() -> None:
    body = b'{"model":"m","prompt":null,"options":null,"of_2027":[{}]}'
    assert GenerateRequest.model_validate_json(body).prompt is None


def test_requests_are_strict_about_types() -> None:
    with pytest.raises(ValidationError):
        ChatRequest.model_validate_json(b'{"model":"m","stream":"yes"}')


def test_arguments_of_tool_calls_keep_their_order() -> None:
    call = b'{"function":{"name":"f","arguments":{"z":1,"a":2}}}'
    body = b'{"messages":[{"role":"assistant","tool_calls":[' + call + b"]}]}"
    messages = ChatRequest.model_validate_json(body).messages or []
    function = (messages[0].tool_calls or [])[0].function
    assert function is not None
    assert list(function.arguments or {}) == ["z", "a"]

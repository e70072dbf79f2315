"""Anthropic's paths of a node: what is asked for is done, or refused by name."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from puna.node.engine.scripted import Script
from tests.api.stage import Reply, Stage, staged
from tests.pictures import an_image


async def message(stage: Stage, *blocks: object, **fields: object) -> Reply:
    turn = {"role": "user", "content": list(blocks) or "hello"}
    body = {"model": "tiny", "messages": [turn], "max_tokens": 20, **fields}
    return await stage.ask("POST", "/v1/messages", body)


async def count(stage: Stage, **fields: object) -> object:
    turn = {"role": "user", "content": "hello there"}
    body = {"model": "tiny", "messages": [turn], **fields}
    return (await stage.ask("POST", "/v1/messages/count_tokens", body)).json["input_tokens"]


async def test_a_conversation_is_answered(stage: Stage) -> None:
    reply = await message(stage)
    assert reply.json["content"] == [{"type": "text", "text": "echo: hello"}]
    assert reply.json["stop_reason"] == "end_turn"
    assert str(reply.json["id"]).startswith("msg_")


async def test_a_stream_is_events(stage: Stage) -> None:
    reply = await message(stage, stream=True)
    assert reply.headers["Content-Type"] == "text/event-stream"
    assert reply.body.startswith(b"event: message_start\n")
    assert reply.body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


async def test_tokens_are_counted_as_an_answer_counts_them(stage: Stage) -> None:
    reply = await message(stage, {"type": "text", "text": "hello there"}, system="Be brief.")
    usage = reply.json["usage"]
    assert isinstance(usage, dict)
    assert usage["input_tokens"] == await count(
        stage, system=[{"type": "text", "text": "Be brief."}]
    )


async def test_a_stream_knows_its_tokens_at_the_start(stage: Stage) -> None:
    reply = await message(stage, {"type": "text", "text": "hello there"}, stream=True)
    start = json.loads(reply.body.splitlines()[1].removeprefix(b"data: "))
    assert start["message"]["usage"]["input_tokens"] == await count(stage)


async def test_a_prompt_too_long_to_answer_is_counted_whole(stage: Stage) -> None:
    long = [{"role": "user", "content": "word " * 40_000}]
    assert await count(stage, messages=long) > 40_000  # type: ignore[operator]


async def test_a_stop_sequence_is_named(stage: Stage) -> None:
    reply = await message(stage, stop_sequences=["lo"])
    assert (reply.json["stop_reason"], reply.json["stop_sequence"]) == ("stop_sequence", "lo")


async def test_a_limit_is_kept(stage: Stage) -> None:
    assert (await message(stage, max_tokens=1)).json["stop_reason"] == "max_tokens"


async def test_a_shape_is_kept(stage: Stage) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    form = {"type": "json_schema", "schema": schema}
    reply = await message(stage, output_config={"format": form})
    assert reply.json["content"] == [{"type": "text", "text": '{"age": 1}'}]


async def test_thinking_of_a_model_that_cannot_is_said_and_no_error(stage: Stage) -> None:
    reply = await message(stage, thinking={"type": "enabled", "budget_tokens": 1024})
    assert reply.json["puna"] == {"ignored": ["thinking"]}


async def test_a_tool_of_anthropics_servers_is_left_out_and_said(stage: Stage) -> None:
    reply = await message(stage, tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert reply.headers["Puna-Ignored-Options"] == "tools.web_search_20250305"


async def test_notes_for_a_cache_are_taken(stage: Stage) -> None:
    note = {"cache_control": {"type": "ephemeral"}}
    reply = await message(stage, {"type": "text", "text": "hi", **note}, metadata={"user_id": "x"})
    assert reply.json["content"] == [{"type": "text", "text": "echo: hi"}]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"max_tokens": None}, "max_tokens is required and must be positive"),
        ({"max_tokens": 0}, "max_tokens is required and must be positive"),
        ({"model": ""}, "model is required"),
        ({"messages": []}, "messages is required"),
        ({"messages": [{"role": "tool"}]}, "messages[0]: role is user or assistant"),
        ({"tool_choice": {"type": "any"}}, "tool_choice requires a call, and there are no tools"),
        (
            {"tool_choice": {"type": "tool", "name": "x"}},
            "tool_choice names a function that is not among the tools",
        ),
        ({"tool_choice": {"type": "all"}}, "tool_choice: type is auto, any, tool or none"),
        ({"tools": [{}]}, "tools[0]: a tool needs a name"),
        ({"thinking": {"type": "some"}}, "thinking: type is enabled, disabled or adaptive"),
        (
            {"thinking": {"type": "enabled"}},
            "thinking: budget_tokens is required and must be positive",
        ),
        ({"mcp_servers": [{}]}, "mcp_servers is not supported"),
        ({"container": "c"}, "container is not supported"),
        ({"system": 5}, "system: a text or a list of blocks is expected"),
        ({"output_format": {"type": "xml"}}, "the output format has the type json_schema"),
    ],
)
async def test_what_cannot_be_done_is_refused(
    stage: Stage, fields: Mapping[str, object], complaint: str
) -> None:
    reply = await message(stage, **fields)
    assert (reply.status, reply.json["type"]) == (400, "error")
    assert complaint in str(reply.error)
    assert reply.json["request_id"] == reply.headers["Request-Id"]


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ({"type": "text"}, "messages[0].content[0]: text is required"),
        ({"type": "document"}, "messages[0].content[0]: a block of this type is not supported"),
        ({"type": "image"}, "messages[0].content[0]: source is required"),
        (
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            "image URLs are not currently supported",
        ),
        ({"type": "image", "source": {"type": "file"}}, "an image's source is of type base64"),
        ({"type": "image", "source": {"type": "base64", "data": "!"}}, "not base64"),
        (
            {"type": "image", "source": {"type": "base64", "data": an_image().base64}},
            "does not support vision",
        ),
        ({"type": "tool_use", "id": "a", "name": "f"}, "input is an object"),
        ({"type": "tool_result"}, "tool_use_id is required"),
        ("text", "a block is an object with a type"),
    ],
)
async def test_a_block_that_cannot_be_read_is_refused(
    stage: Stage, block: object, complaint: str
) -> None:
    reply = await message(stage, block)
    assert reply.status == 400
    assert complaint in str(reply.error)


async def test_an_unknown_model_is_not_found(stage: Stage) -> None:
    reply = await message(stage, model="none")
    problem = {"type": "not_found_error", "message": "model 'none' not found"}
    assert (reply.status, reply.error) == (404, problem)


async def test_an_error_on_the_way_is_an_event_and_the_end(tmp_path: Path) -> None:
    async with staged(tmp_path, Script(dies_after=9)) as stage:
        reply = await message(stage, {"type": "text", "text": "count to 99"}, stream=True)
    name, content = reply.body.decode().strip().split("\n\n")[-1].split("\n")
    assert name == "event: error"
    assert json.loads(content.removeprefix("data: "))["error"]["type"] == "api_error"

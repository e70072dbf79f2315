"""The Responses API of a node: what is asked for is done, or refused by name."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue

from puna.chat.messages import Message, Role, ToolCall, ToolMode
from puna.node.api.openai.items import namespaces, read_input, read_tools
from puna.node.engine.scripted import Script
from puna.wire.responses import ResponsesRequest
from tests.api.stage import Reply, Stage, staged


async def respond(stage: Stage, asked: object = "hello", **fields: object) -> Reply:
    return await stage.ask("POST", "/v1/responses", {"model": "tiny", "input": asked, **fields})


def text_of(reply: Reply) -> object:
    output = reply.json["output"]
    assert isinstance(output, list)
    return output[0]["content"][0]["text"]


async def test_a_text_is_answered(stage: Stage) -> None:
    reply = await respond(stage)
    assert (reply.json["object"], reply.json["status"]) == ("response", "completed")
    assert text_of(reply) == "echo: hello"


async def test_a_stream_ends_with_the_whole_response(stage: Stage) -> None:
    reply = await respond(stage, stream=True)
    assert reply.headers["Content-Type"] == "text/event-stream"
    name, content = reply.body.decode().strip().split("\n\n")[-1].split("\n")
    assert name == "event: response.completed"
    assert json.loads(content.removeprefix("data: "))["response"]["status"] == "completed"


async def test_a_limit_makes_it_incomplete(stage: Stage) -> None:
    reply = await respond(stage, max_output_tokens=1)
    assert reply.json["status"] == "incomplete"
    assert reply.json["incomplete_details"] == {"reason": "max_output_tokens"}


async def test_a_shape_is_kept(stage: Stage) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    form = {"type": "json_schema", "name": "dog", "schema": schema}
    assert text_of(await respond(stage, text={"format": form})) == '{"age": 1}'


async def test_a_prompt_that_may_not_be_cut_is_refused(stage: Stage) -> None:
    reply = await respond(stage, "word " * 40_000, truncation="disabled")
    assert (reply.status, reply.headers["Puna-Error-Code"]) == (400, "prompt_too_long")


async def test_a_tool_of_openais_servers_is_left_out_and_said(stage: Stage) -> None:
    reply = await respond(stage, tools=[{"type": "web_search"}], text={"verbosity": "low"})
    assert reply.json["puna"] == {"ignored": ["tools.web_search", "text.verbosity"]}


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"input": None}, "input is required"),
        ({"input": [5]}, "input[0]: an item is an object"),
        ({"input": [{"type": "item_reference"}]}, "input[0]: an item of this type"),
        ({"input": [{"role": "critic"}]}, "input[0]: role is one of"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0]: call_id is required"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0]: files are not supported",
        ),
        ({"previous_response_id": "resp_1"}, "previous_response_id is not supported"),
        ({"background": True}, "background is not supported"),
        ({"conversation": "c"}, "conversation is not supported"),
        ({"truncation": "some"}, "truncation is auto or disabled"),
        ({"text": {"format": {"type": "xml"}}}, "text.format: text, json_object"),
        ({"reasoning": {"effort": "some"}}, "the reasoning effort is unknown"),
        ({"tools": [{"type": "namespace", "name": "n"}]}, "a namespace has a list of tools"),
    ],
)
async def test_what_cannot_be_done_is_refused(
    stage: Stage, fields: Mapping[str, object], complaint: str
) -> None:
    reply = await respond(stage, **{"asked": "x", **fields})
    assert reply.status == 400
    assert complaint in str(reply.error)


async def test_an_error_on_the_way_is_an_event_and_the_end(tmp_path: Path) -> None:
    async with staged(tmp_path, Script(dies_after=9)) as stage:
        reply = await respond(stage, "count to 99", stream=True)
    name, _, content = reply.body.decode().strip().split("\n\n")[-1].partition("\n")
    assert name == "event: response.failed"
    assert '"status":"failed"' in content


def test_items_are_turns() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
    items: JsonValue = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Rain?"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]},
        {**call},
        {"type": "function_call_output", "call_id": "c1", "output": "11 C"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "No."}]},
    ]
    assert read_input(items) == (
        Message(Role.SYSTEM, "Be brief."),
        Message(Role.USER, "Rain?"),
        Message(Role.ASSISTANT, "", thinking="Hm", tool_calls=(ToolCall("weather", "{}", "c1"),)),
        Message(Role.TOOL, "11 C", tool_name="weather", tool_call_id="c1"),
        Message(Role.ASSISTANT, "No."),
    )


def test_calls_that_follow_words_are_of_the_same_turn() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    turns = read_input([{"role": "assistant", "content": "Well."}, {**call}, {**call}])
    assert [len(turn.tool_calls) for turn in turns] == [2]


def test_functions_of_a_namespace_have_it_in_their_names() -> None:
    inner = {"type": "function", "name": "get", "parameters": {"type": "object"}}
    tools = [{"type": "namespace", "name": "sky", "tools": [inner]}]
    asked = ResponsesRequest.model_validate({"tools": tools, "tool_choice": "required"})
    use, _ = read_tools(asked)
    assert ([tool.name for tool in use.tools], use.mode) == (["sky__get"], ToolMode.REQUIRED)
    assert namespaces(asked) == {"sky__get": ("sky", "get")}

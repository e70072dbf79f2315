"""Conversations of OpenAI's and Anthropic's clients, as the turns that a model sees."""

import pytest
from pydantic import JsonValue

from puna.chat.messages import Message, Role, Think, ToolCall, ToolMode
from puna.errors import Invalid
from puna.node.api.anthropic.convert import (
    read_messages as read_anthropic,
    read_tools as read_anthropic_tools,
)
from puna.node.api.openai.convert import (
    read_effort,
    read_messages as read_openai,
    read_options,
    read_prompts,
)
from puna.node.api.openai.tools import read_tool_use
from puna.wire import anthropic, openai
from tests.pictures import an_image

PICTURE = an_image()
ENCODED = PICTURE.base64
WEATHER: dict[str, JsonValue] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather.",
        "parameters": {"type": "object"},
    },
}
TIME: dict[str, JsonValue] = {"type": "function", "function": {"name": "time"}}


def openai_turns(*messages: object) -> tuple[Message, ...]:
    return read_openai([openai.Message.model_validate(each) for each in messages])


def anthropic_turns(*messages: object) -> tuple[Message, ...]:
    return read_anthropic([anthropic.Message.model_validate(each) for each in messages])


def test_a_developer_is_the_system() -> None:
    assert openai_turns({"role": "developer", "content": "Hi"}) == (Message(Role.SYSTEM, "Hi"),)


def test_a_result_knows_its_function() -> None:
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    turns = openai_turns(
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "11 C"},
    )
    asked = Message(
        Role.ASSISTANT, "", tool_calls=(ToolCall("weather", '{"city": "Oslo"}', "call_1"),)
    )
    told = Message(Role.TOOL, "11 C", tool_name="weather", tool_call_id="call_1")
    assert turns == (asked, told)


def test_a_picture_in_the_request_is_seen() -> None:
    link = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ENCODED}"}}
    parts = [{"type": "text", "text": "What is it?"}, link]
    turns = openai_turns({"role": "user", "content": parts})
    assert turns == (Message(Role.USER, "What is it?", images=(PICTURE,), places=(11,)),)


@pytest.mark.parametrize("arguments", ["[1]", "{", '"x"', "[" * 100_000])
def test_arguments_are_an_object(arguments: str) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
    with pytest.raises(Invalid, match="invalid tool call arguments"):
        openai_turns({"role": "assistant", "tool_calls": [call]})


def test_no_arguments_are_an_empty_object() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": ""}}
    (turn,) = openai_turns({"role": "assistant", "tool_calls": [call]})
    assert turn.tool_calls[0].arguments == "{}"


@pytest.mark.parametrize(
    ("choice", "mode", "only", "names"),
    [
        (None, ToolMode.AUTO, "", ["weather", "time"]),
        ("none", ToolMode.NONE, "", ["weather", "time"]),
        ("required", ToolMode.REQUIRED, "", ["weather", "time"]),
        (
            {"type": "function", "function": {"name": "time"}},
            ToolMode.REQUIRED,
            "time",
            ["weather", "time"],
        ),
        ({"type": "function", "name": "time"}, ToolMode.REQUIRED, "time", ["weather", "time"]),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TIME]}},
            ToolMode.REQUIRED,
            "",
            ["time"],
        ),
    ],
)
def test_a_choice_of_tools(choice: JsonValue, mode: ToolMode, only: str, names: list[str]) -> None:
    use = read_tool_use([WEATHER, TIME], choice, parallel=False)
    assert (use.mode, use.only, use.parallel) == (mode, only, False)
    assert [tool.name for tool in use.tools] == names


@pytest.mark.parametrize(
    ("tool", "complaint"),
    [
        ({"type": "code_interpreter"}, "only tools of type function"),
        ({"type": "function", "function": {}}, "a function needs a name"),
        ({"function": {"name": "f", "description": 5}}, "a description is a text"),
        ({"function": {"name": "f", "parameters": 5}}, "parameters are a JSON schema"),
    ],
)
def test_a_tool_that_cannot_be_read_is_refused(tool: dict[str, JsonValue], complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint):
        read_tool_use([tool], None, parallel=None)


@pytest.mark.parametrize("choice", ["some", 5, {"type": "function", "name": "x"}, {}])
def test_a_choice_that_is_none_is_refused(choice: JsonValue) -> None:
    with pytest.raises(Invalid, match="tool_choice"):
        read_tool_use([WEATHER], choice, parallel=None)


@pytest.mark.parametrize(
    ("fields", "think"),
    [
        ({"reasoning_effort": "none"}, Think(on=False)),
        ({"reasoning_effort": "minimal"}, Think(on=True, level="low")),
        ({"reasoning": {"effort": "high"}}, Think(on=True, level="high")),
        ({"reasoning_effort": "xhigh"}, Think(on=True, level="max")),
        ({"think": True}, Think(on=True)),
        ({"think": "low"}, Think(on=True, level="low")),
        ({"think": False}, Think(on=False)),
        ({}, None),
    ],
)
def test_an_effort(fields: dict[str, object], think: Think | None) -> None:
    assert read_effort(openai.ChatRequest.model_validate(fields)) == think


def test_what_is_absent_is_no_option() -> None:
    assert read_options(openai.ChatRequest()) == {}


def test_options_of_both_kinds_are_taken() -> None:
    asked = openai.ChatRequest(temperature=0, stop="x", max_tokens=3, options={"top_k": 5})
    assert read_options(asked) == {"temperature": 0, "stop": ["x"], "num_predict": 3, "top_k": 5}


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        (None, ("",)),
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        ([1, 2], ((1, 2),)),
        ([[1], [2]], ((1,), (2,))),
    ],
)
def test_prompts(prompt: JsonValue, read: tuple[object, ...]) -> None:
    assert read_prompts(prompt) == read


def test_results_of_tools_are_turns_before_the_words() -> None:
    use = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}}
    thought = {"type": "thinking", "thinking": "Hm", "signature": ""}
    result = {
        "type": "tool_result",
        "tool_use_id": "t1",
        "content": [{"type": "text", "text": "11"}],
    }
    turns = anthropic_turns(
        {"role": "assistant", "content": [thought, use]},
        {"role": "user", "content": [result, {"type": "text", "text": "And?"}]},
    )
    call = ToolCall("weather", '{"city":"Oslo"}', "t1")
    assert turns == (
        Message(Role.ASSISTANT, "", thinking="Hm", tool_calls=(call,)),
        Message(Role.TOOL, "11", tool_name="weather", tool_call_id="t1"),
        Message(Role.USER, "And?"),
    )


def test_a_picture_in_a_block_is_seen() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": ENCODED}
    turns = anthropic_turns({"role": "user", "content": [{"type": "image", "source": source}]})
    assert turns == (Message(Role.USER, "", images=(PICTURE,), places=(0,)),)


@pytest.mark.parametrize(
    ("choice", "mode", "only"),
    [
        (None, ToolMode.AUTO, ""),
        ({"type": "auto"}, ToolMode.AUTO, ""),
        ({"type": "any"}, ToolMode.REQUIRED, ""),
        ({"type": "none"}, ToolMode.NONE, ""),
        ({"type": "tool", "name": "weather"}, ToolMode.REQUIRED, "weather"),
    ],
)
def test_a_choice_of_anthropics(choice: object, mode: ToolMode, only: str) -> None:
    tools = [{"name": "weather", "input_schema": {"type": "object"}}, {"type": "bash_20250124"}]
    asked = anthropic.MessagesRequest.model_validate({"tools": tools, "tool_choice": choice})
    use, unknown = read_anthropic_tools(asked)
    assert (use.mode, use.only, unknown) == (mode, only, ("tools.bash_20250124",))

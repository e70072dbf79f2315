"""Thoughts and calls of functions, over Ollama's API, by a scripted model that writes tags."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.stage import Reply, Stage, a_model, staged

THINKS = "{% if tools %}{{ tools }}{% endif %}<think></think><tool_call>{{ enable_thinking }}"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "minLength": 1}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
OSLO = '{"name": "get_weather", "arguments": {"days": 2, "city": "Oslo"}}'
CALL = f"<tool_call>\n{OSLO}\n</tool_call>"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as one:
        one.add_model("thinker", a_model(**{"tokenizer.chat_template": THINKS}))
        yield one


async def chat(stage: Stage, text: str, **fields: object) -> Reply:
    messages = [{"role": "user", "content": text}]
    body = {"model": "thinker", "messages": messages, "stream": False, **fields}
    return await stage.ask("POST", "/api/chat", body)


def calls_of(reply: Reply) -> list[dict[str, Any]]:
    calls = message_of(reply)["tool_calls"]
    assert isinstance(calls, list)
    return calls


def message_of(reply: Reply) -> dict[str, object]:
    message = reply.json["message"]
    assert isinstance(message, dict)
    return message


async def test_a_thought_stands_apart_from_the_answer(stage: Stage) -> None:
    reply = await chat(stage, "say: <think>\nHm.\n</think>\n\nYes.")
    assert message_of(reply) == {"role": "assistant", "content": "Yes.", "thinking": "Hm."}


async def test_generate_tells_the_thought_too(stage: Stage) -> None:
    reply = await stage.generate("say: <think>Hm.</think>Yes.", model="thinker")
    assert (reply.json["response"], reply.json["thinking"]) == ("Yes.", "Hm.")
    assert list(reply.json)[:4] == ["model", "created_at", "response", "thinking"]


async def test_a_stream_joins_to_the_same(stage: Stage) -> None:
    text = f"say: <think>Let me see.</think>It rains.\n{CALL}"
    reply = await chat(stage, text, stream=True, tools=[WEATHER])
    messages = [line["message"] for line in reply.lines]
    assert "".join(each.get("thinking", "") for each in messages) == "Let me see."  # type: ignore[attr-defined]
    assert "".join(each["content"] for each in messages) == "It rains."  # type: ignore[index]
    assert len([each for each in messages if "tool_calls" in each]) == 1  # type: ignore[operator]
    assert [line["done"] for line in reply.lines][-2:] == [False, True]
    assert reply.lines[-1]["done_reason"] == "stop"


async def test_a_call_has_an_id_an_index_and_its_arguments_in_order(stage: Stage) -> None:
    reply = await chat(stage, f"say: {CALL}\n{CALL}", tools=[WEATHER])
    assert message_of(reply)["content"] == ""
    first, second = calls_of(reply)
    assert re.fullmatch(r"call_[a-z0-9]{8}", first["id"])
    assert (first["function"]["index"], second["function"]["index"]) == (0, 1)
    assert json.dumps(first["function"]["arguments"]) == '{"days": 2, "city": "Oslo"}'


async def test_broken_calls_are_content(stage: Stage) -> None:
    message = message_of(await chat(stage, 'say: <tool_call>{"na', tools=[WEATHER]))
    assert message == {"role": "assistant", "content": '<tool_call>{"na'}


async def test_without_tools_nothing_is_called(stage: Stage) -> None:
    assert message_of(await chat(stage, f"say: {CALL}"))["content"] == CALL


async def test_a_forced_call_fits_the_schema_whatever_the_model(stage: Stage) -> None:
    reply = await chat(stage, "hi", model="tiny", tools=[WEATHER], tool_choice="required")
    (call,) = calls_of(reply)
    assert call["function"]["name"] == "get_weather"
    assert call["function"]["arguments"] == {"city": "text", "days": 1}


async def test_a_forced_function_is_the_one_that_is_called(stage: Stage) -> None:
    other = {"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}}
    choice = {"type": "function", "function": {"name": "other"}}
    reply = await chat(stage, "hi", think=False, tools=[WEATHER, other], tool_choice=choice)
    (call,) = calls_of(reply)
    assert call["function"] == {"index": 0, "name": "other", "arguments": {}}


async def test_a_model_thinks_first_and_then_keeps_to_the_format(stage: Stage) -> None:
    reply = await chat(stage, "say: <think>Hm.</think>Yes.", format="json")
    assert message_of(reply) == {"role": "assistant", "content": "{}", "thinking": "Hm."}
    alone = await chat(stage, "say: <think>Hm.</think>Yes.", format="json", think=False)
    assert message_of(alone) == {"role": "assistant", "content": "{}"}
    assert reply.json["prompt_eval_count"] == alone.json["prompt_eval_count"]
    assert int(str(reply.json["eval_count"])) > int(str(alone.json["eval_count"]))


async def test_a_thought_longer_than_the_limit_ends_the_answer(stage: Stage) -> None:
    options = {"num_predict": 3}
    reply = await chat(stage, "say: <think>a b c d e", format="json", options=options)
    assert (reply.json["done_reason"], reply.json["eval_count"]) == ("length", 3)


async def test_probabilities_of_every_token_are_told_once(stage: Stage) -> None:
    text = f"<think>Hm.</think>Yes {CALL} no"
    reply = await chat(stage, f"say: {text}", tools=[WEATHER], logprobs=True)
    assert "".join(each["token"] for each in reply.json["logprobs"]) == text  # type: ignore[attr-defined]
    assert len(reply.json["logprobs"]) == reply.json["eval_count"]  # type: ignore[arg-type]


async def test_a_raw_prompt_has_no_thoughts(stage: Stage) -> None:
    reply = await stage.generate("say: <think>Hm.</think>", model="thinker", raw=True)
    assert reply.json["response"] == "<think>Hm.</think>"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0]: a tool needs a function with a name"),
        ({"tools": [WEATHER], "tool_choice": "some"}, "tool_choice is neither auto, none"),
        ({"model": "tiny", "tools": [WEATHER]}, "does not support tools"),
        ({"model": "tiny", "think": True}, '"tiny" does not support thinking'),
        ({"think": "hard"}, 'invalid think value: "hard"'),
    ],
)
async def test_what_makes_no_sense_is_refused(
    stage: Stage, fields: dict[str, object], error: str
) -> None:
    reply = await chat(stage, "hello", **fields)
    assert reply.status == 400
    assert error in str(reply.error)


async def test_a_call_and_its_result_are_taken_back(stage: Stage) -> None:
    function = {"name": "get_weather", "arguments": {"city": "Oslo"}}
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "thinking": "Hm.", "tool_calls": [{"function": function}]},
        {"role": "tool", "tool_name": "get_weather", "tool_call_id": "call_1", "content": "11 C"},
    ]
    reply = await chat(stage, "", messages=messages, tools=[WEATHER])
    assert message_of(reply)["content"] == "echo: 11 C"
    assert "puna-ignored-options" not in {name.lower() for name in reply.headers}

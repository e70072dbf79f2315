"""OpenAI's paths of a node: what is asked for is done, or refused by name."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from puna.node.engine.scripted import Script
from tests.api.stage import Reply, Stage, a_model, staged

HELLO = [{"role": "user", "content": "hello"}]
CHAT = "/v1/chat/completions"


async def chat(stage: Stage, **fields: object) -> Reply:
    return await stage.ask("POST", CHAT, {"model": "tiny", "messages": HELLO, **fields})


async def complete(stage: Stage, prompt: object, **fields: object) -> Reply:
    body = {"model": "tiny", "prompt": prompt, **fields}
    return await stage.ask("POST", "/v1/completions", body)


def choices(reply: Reply) -> list[Mapping[str, object]]:
    found = reply.json["choices"]
    assert isinstance(found, list)
    return found


def events(reply: Reply) -> list[Mapping[str, object]]:
    blocks = reply.body.decode().removesuffix("data: [DONE]\n\n").split("\n\n")[:-1]
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


async def test_a_conversation_is_answered(stage: Stage) -> None:
    reply = await chat(stage)
    message = {"role": "assistant", "content": "echo: hello"}
    assert choices(reply) == [{"index": 0, "message": message, "finish_reason": "stop"}]


async def test_a_stream_ends_with_usage_and_done(stage: Stage) -> None:
    reply = await chat(stage, stream=True, stream_options={"include_usage": True})
    assert reply.headers["Content-Type"] == "text/event-stream"
    assert reply.body.endswith(b"data: [DONE]\n\n")
    assert events(reply)[-1]["choices"] == []
    assert events(reply)[-1]["usage"]


async def test_several_answers_are_numbered(stage: Stage) -> None:
    reply = await chat(stage, n=3)
    assert [choice["index"] for choice in choices(reply)] == [0, 1, 2]


async def test_the_newer_word_for_the_limit_wins(stage: Stage) -> None:
    reply = await chat(stage, max_tokens=50, max_completion_tokens=2)
    assert choices(reply)[0]["finish_reason"] == "length"


async def test_a_stop_string_ends_the_answer(stage: Stage) -> None:
    reply = await chat(stage, stop="lo")
    assert b'"content":"echo: hel"' in reply.body


async def test_a_schema_is_kept(stage: Stage) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "dog", "schema": schema}}
    reply = await chat(stage, response_format=form)
    assert b'"content":"{\\"age\\": 1}"' in reply.body


async def test_parts_of_a_message_are_lines(stage: Stage) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    reply = await chat(stage, messages=[{"role": "user", "content": parts}])
    assert b'"content":"echo: one\\ntwo"' in reply.body


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"messages": []}, "[] is too short - 'messages'"),
        ({"messages": [{"content": "hi"}]}, "messages[0]: role is required"),
        ({"model": ""}, "model is required"),
        ({"n": 0}, "n must be between 1 and 128"),
        ({"n": 129}, "n must be between 1 and 128"),
        ({"logit_bias": {"x": 1}}, "logit_bias: a key is the number of a token"),
        ({"logit_bias": {"5": 101}}, "logit_bias: a value is between -100 and 100"),
        ({"top_logprobs": 2}, "top_logprobs needs logprobs: true"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs must be between 0 and 20"),
        ({"stop": 5}, "stop is a text or a list of texts"),
        ({"functions": [{}]}, "functions is not supported"),
        ({"audio": {"voice": "a"}}, "audio is not supported"),
        ({"modalities": ["text", "audio"]}, "modalities: only text is supported"),
        ({"tool_choice": "required"}, "tool_choice requires a call, and there are no tools"),
        ({"reasoning_effort": "some"}, "the reasoning effort is unknown"),
        (
            {"response_format": {"type": "xml"}},
            "response_format: type is text, json_object or json_schema",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused(
    stage: Stage, fields: Mapping[str, object], complaint: str
) -> None:
    reply = await chat(stage, **fields)
    problem = {"type": "invalid_request_error", "param": None, "code": None}
    assert (reply.status, reply.error) == (400, {"message": complaint, **problem})


@pytest.mark.parametrize(
    ("part", "complaint"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            "image URLs are not currently supported, please use base64 encoded data instead",
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}},
            "invalid image input: not base64",
        ),
        ({"type": "input_audio"}, "messages[0].content[0]: audio is not supported"),
        ({"type": "file"}, "messages[0].content[0]: files are not supported"),
        ({"type": "text"}, "messages[0].content[0]: text is required"),
        ({}, "messages[0].content[0]: a part of an unknown type"),
    ],
)
async def test_a_part_that_cannot_be_read_is_refused(
    stage: Stage, part: object, complaint: str
) -> None:
    reply = await chat(stage, messages=[{"role": "user", "content": [part]}])
    assert reply.status == 400
    assert complaint.encode() in reply.body


async def test_what_has_no_effect_is_said(stage: Stage) -> None:
    reply = await chat(stage, verbosity="low")
    assert reply.json["puna"] == {"ignored": ["verbosity"]}
    assert reply.headers["Puna-Ignored-Options"] == "verbosity"


async def test_harmless_fields_are_taken(stage: Stage) -> None:
    reply = await chat(stage, user="me", metadata={}, store=False, service_tier="auto")
    assert (reply.status, reply.json.get("puna")) == (200, None)


async def test_the_models_own_options_stay(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.add_model("warm", a_model(), [("params", b'{"stop":["lo"]}')])
        reply = await chat(stage, model="warm")
    assert b'"content":"echo: hel"' in reply.body


async def test_an_error_on_the_way_is_an_event_and_the_end(tmp_path: Path) -> None:
    async with staged(tmp_path, Script(dies_after=9)) as stage:
        reply = await chat(
            stage, stream=True, messages=[{"role": "user", "content": "count to 99"}]
        )
    assert reply.status == 200
    *_, failure, done = reply.body.decode().strip().split("\n\n")
    assert json.loads(failure.removeprefix("data: "))["error"]["type"] == "api_error"
    assert done == "data: [DONE]"


async def test_one_of_several_answers_that_fails_fails_all(tmp_path: Path) -> None:
    async with staged(tmp_path, Script(dies_after=2)) as stage:
        reply = await chat(stage, n=3)
    assert reply.status == 500


async def test_prompts_are_completed_in_order(stage: Stage) -> None:
    reply = await complete(stage, ["one", "two"], n=2)
    texts = [choice["text"] for choice in choices(reply)]
    assert texts == ["echo: one", "echo: one", "echo: two", "echo: two"]


async def test_tokens_are_a_prompt(stage: Stage) -> None:
    reply = await complete(stage, [1547889831023, 4839665522])
    assert choices(reply)[0]["text"] == "echo: hello wor"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"best_of": 2}, "best_of is not supported"),
        ({"logprobs": 21}, "logprobs must be between 0 and 20"),
        ({"echo": True, "logprobs": 1}, "echo is only for prompts that are text"),
        ({"prompt": []}, "prompt is a text, tokens, or a list"),
        ({"prompt": ["a", 5]}, "prompt is a text, a list of texts"),
        ({"prompt": [[]]}, "prompt is a text, a list of texts"),
        ({"prompt": {}}, "prompt is a text, tokens, or a list"),
        ({"prompt": [101]}, "token 101 is not in the vocabulary"),
        ({"suffix": "end"}, "does not support insert"),
    ],
)
async def test_a_completion_that_cannot_be_done_is_refused(
    stage: Stage, fields: Mapping[str, object], complaint: str
) -> None:
    reply = await complete(stage, **{"prompt": "x", **fields})
    assert reply.status == 400
    assert complaint in reply.body.decode()


async def test_models_are_listed_and_found(stage: Stage) -> None:
    listed = (await stage.ask("GET", "/v1/models")).json["data"]
    assert isinstance(listed, list)
    assert listed[0]["id"] == "tiny:latest"
    one = (await stage.ask("GET", "/v1/models/tiny")).json
    assert (one["id"], one["owned_by"]) == ("tiny", "library")


async def test_an_unknown_model_is_not_found(stage: Stage) -> None:
    for reply in (await chat(stage, model="no/ne"), await stage.ask("GET", "/v1/models/no/ne")):
        assert (reply.status, b'"type":"not_found_error"' in reply.body) == (404, True)

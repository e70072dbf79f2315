"""Answers of `/api/generate` and `/api/chat`: streamed and whole, and what shapes them."""

from pathlib import Path

import pytest

from puna.node.engine.scripted import Script
from puna.units import Span
from tests.api.stage import Stage, staged

ALL = {"num_predict": 1000}
FINAL = {"model", "created_at", "done", "done_reason", "prompt_eval_count", "eval_count"}


async def test_generate_streams_lines_and_ends_with_the_counters(stage: Stage) -> None:
    reply = await stage.generate("count to 3", stream=True)
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    assert reply.text == "1 2 3"
    *pieces, last = reply.lines
    assert all(set(piece) == {"model", "created_at", "response", "done"} for piece in pieces)
    assert set(last) == FINAL | {"response", "context"}
    assert (last["response"], last["done"], last["done_reason"]) == ("", True, "stop")


async def test_chat_streams_lines_and_ends_with_the_counters(stage: Stage) -> None:
    reply = await stage.chat("count to 3", stream=True)
    assert reply.text == "1 2 3"
    *pieces, last = reply.lines
    assert all(set(piece) == {"model", "created_at", "message", "done"} for piece in pieces)
    assert set(last) == FINAL | {"message"}
    assert last["message"] == {"role": "assistant", "content": ""}


async def test_streaming_is_the_default(stage: Stage) -> None:
    reply = await stage.ask("POST", "/api/generate", {"model": "tiny", "prompt": "hi"})
    assert reply.headers["Content-Type"] == "application/x-ndjson"


async def test_an_unstreamed_answer_is_one_object(stage: Stage) -> None:
    reply = await stage.chat("hi")
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert reply.json["message"] == {"role": "assistant", "content": "echo: hi"}
    assert reply.json["done"] is True


async def test_durations_are_nanoseconds(tmp_path: Path) -> None:
    async with staged(tmp_path, Script(load_span=Span.of(seconds=2))) as stage:
        asking = stage.later(stage.generate("hi"))
        await stage.until_waiting()
        await stage.world.advance(Span.of(seconds=2))
        reply = await asking
    assert reply.json["load_duration"] == reply.json["total_duration"] == 2 * 10**9
    assert reply.json["created_at"] == "2026-08-01T12:00:02Z"


@pytest.mark.parametrize("streams", [True, False])
async def test_a_refrain_ends_with_a_last_object_where_nobody_asked_for_so_much(
    stage: Stage, *, streams: bool
) -> None:
    song = "say: " + "la " * 200
    reply = await stage.chat(song, stream=streams)
    last = reply.lines[-1]
    assert reply.text == ("la " * 32).strip()
    assert (last["done"], last["done_reason"], last["eval_count"]) == (True, "length", 32)
    assert (
        last["prompt_eval_count"] == (await stage.chat(song, options=ALL)).json["prompt_eval_count"]
    )


async def test_who_asks_for_so_much_gets_a_refrain(stage: Stage) -> None:
    reply = await stage.chat("say: " + "la " * 200, options=ALL)
    assert (reply.text, reply.json["done_reason"]) == (("la " * 200).strip(), "stop")


async def test_text_of_every_alphabet_comes_through(stage: Stage) -> None:
    text = 'zażółć "gęślą" jaźń \\ \n\t 漢字 🦙 <b>&amp;</b>\u2028!'
    assert (await stage.chat(text)).text == f"echo: {text}"


async def test_a_name_is_echoed_as_the_client_wrote_it(stage: Stage) -> None:
    reply = await stage.chat("hi", model="TINY:latest")
    assert reply.json["model"] == "TINY:latest"


async def test_stop_strings_end_the_answer(stage: Stage) -> None:
    reply = await stage.generate("count to 9", options={"stop": [" 4", " 7"]})
    assert (reply.text, reply.json["done_reason"]) == ("1 2 3", "stop")


async def test_a_limit_ends_the_answer_by_length(stage: Stage) -> None:
    reply = await stage.generate("count to 9", options={"num_predict": 3})
    assert (reply.text, reply.json["done_reason"]) == ("1 2 3", "length")
    assert reply.json["eval_count"] == 3


@pytest.mark.parametrize("number", [0, 1])
async def test_small_limits_are_kept(stage: Stage, number: int) -> None:
    reply = await stage.generate("count to 9", options={"num_predict": number})
    assert (reply.text, reply.json["done_reason"]) == ("1" * number, "length")


async def test_the_context_of_a_reply_continues_the_conversation(stage: Stage) -> None:
    first = await stage.generate("hi")
    second = await stage.generate("again", context=first.json["context"])
    before, after = first.json["context"], second.json["context"]
    assert isinstance(before, list)
    assert isinstance(after, list)
    assert after[: len(before)] == before
    assert second.text == "echo: again"


async def test_a_context_that_is_no_tokens_is_400(stage: Stage) -> None:
    reply = await stage.generate("hi", context=[-5])
    assert reply.status == 400


async def test_raw_sends_the_prompt_as_it_is_and_returns_no_context(stage: Stage) -> None:
    reply = await stage.generate("just this", raw=True)
    assert reply.text == "echo: just this"
    assert "context" not in reply.json


@pytest.mark.parametrize("field", [{"system": "s"}, {"template": "t"}, {"context": [1]}])
async def test_raw_contradicts_a_template_system_or_context(
    stage: Stage, field: dict[str, object]
) -> None:
    reply = await stage.generate("hi", raw=True, **field)
    assert reply.status == 400
    assert reply.error == "raw mode does not support template, system, or context"


async def test_a_template_in_the_request_writes_the_prompt(stage: Stage) -> None:
    reply = await stage.generate("hi", template="<{{ .Prompt }}>", _debug_render_only=True)
    assert reply.json["_debug_info"] == {"rendered_template": "<hi>"}


async def test_the_rendered_prompt_can_be_seen_without_an_answer(stage: Stage) -> None:
    reply = await stage.generate("hi", system="Be brief.", _debug_render_only=True)
    assert reply.json["_debug_info"] == {
        "rendered_template": "<|system|>\nBe brief.\n<|user|>\nhi\n<|assistant|>\n"
    }
    assert reply.json["done"] is False


async def test_json_format_constrains_the_answer(stage: Stage) -> None:
    assert (await stage.chat("hi", format="json")).text == "{}"


async def test_a_schema_constrains_the_answer(stage: Stage) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    assert (await stage.chat("hi", format=schema)).text == '{"age": 1}'


@pytest.mark.parametrize("nothing", ["", None])
async def test_an_empty_format_is_none(stage: Stage, nothing: object) -> None:
    assert (await stage.chat("hi", format=nothing)).text == "echo: hi"


@pytest.mark.parametrize(
    ("value", "shown"), [("xml", r"\"xml\""), (5, "5"), (["json"], r"[\"json\"]"), (True, "true")]
)
async def test_another_format_is_500_as_in_ollama(stage: Stage, value: object, shown: str) -> None:
    reply = await stage.chat("hi", format=value)
    text = f'invalid format: "{shown}"; expected "json" or a valid JSON Schema object'
    assert (reply.status, reply.error) == (500, text)


async def test_logprobs_come_with_alternatives_and_bytes(stage: Stage) -> None:
    reply = await stage.chat("é", logprobs=True, top_logprobs=2)
    entries = reply.json["logprobs"]
    assert isinstance(entries, list)
    assert "".join(entry["token"] for entry in entries) == "echo: é"
    assert bytes(entries[-1]["bytes"]).decode() == " é"
    assert [len(entry["top_logprobs"]) for entry in entries] == [2] * len(entries)


async def test_logprobs_without_alternatives_list_none(stage: Stage) -> None:
    reply = await stage.generate("hi", logprobs=True)
    entries = reply.json["logprobs"]
    assert isinstance(entries, list)
    assert {frozenset(entry) for entry in entries} == {frozenset({"token", "logprob", "bytes"})}


@pytest.mark.parametrize("number", [-1, 21, 10**12])
async def test_alternatives_beyond_20_are_400(stage: Stage, number: int) -> None:
    reply = await stage.chat("hi", top_logprobs=number)
    assert (reply.status, reply.error) == (400, "top_logprobs must be between 0 and 20")


async def test_roles_count_in_any_case(stage: Stage) -> None:
    messages = [{"role": "USER", "content": "hi"}]
    reply = await stage.ask("POST", "/api/chat", {"model": "tiny", "messages": messages})
    assert reply.text == "echo: hi"


async def test_a_role_that_only_some_templates_know_reaches_the_template(stage: Stage) -> None:
    messages = [{"role": "control", "content": "thinking"}, {"role": "user", "content": "hi"}]
    body = {"model": "tiny", "messages": messages, "_debug_render_only": True}
    reply = await stage.ask("POST", "/api/chat", body)
    assert reply.json["_debug_info"] == {
        "rendered_template": "<|control|>\nthinking\n<|user|>\nhi\n<|assistant|>\n"
    }


@pytest.mark.parametrize("role", ["", None, " "])
async def test_a_message_without_a_role_is_400_and_named_by_its_place(
    stage: Stage, role: object
) -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": role, "content": "hi"}]
    reply = await stage.ask("POST", "/api/chat", {"model": "tiny", "messages": messages})
    assert (reply.status, reply.error) == (400, "messages[1]: role is required")


async def test_what_has_no_effect_is_said_in_a_header(stage: Stage) -> None:
    options = {"mirostat": 2, "löss\r\nX-Evil: 1": 1, "num_gpu": 99, "temperature": 0}
    reply = await stage.chat("hi", options=options)
    ignored = reply.headers["Puna-Ignored-Options"]
    assert ignored == "mirostat, l\\xf6ss X-Evil: 1, num_gpu"
    assert "X-Evil" not in reply.headers
    assert reply.json["ignored"] == ["mirostat", "löss\r\nX-Evil: 1", "num_gpu"]

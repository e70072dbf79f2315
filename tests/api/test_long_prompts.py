"""Prompts that do not fit are cut, and that is said; or they are refused, if that is wanted."""

from pathlib import Path

import pytest

from tests.api.stage import Stage, staged

LONG = "word " * 3000


async def test_what_was_cut_is_in_the_last_object_and_in_a_header(stage: Stage) -> None:
    reply = await stage.chat(LONG)
    cut = reply.json["truncated"]
    assert isinstance(cut, dict)
    assert list(cut) == ["prompt_tokens", "kept_tokens", "context_length", "dropped_messages"]
    assert cut["prompt_tokens"] > 3000
    assert cut["kept_tokens"] < 2048
    assert cut["kept_tokens"] == reply.json["prompt_eval_count"]
    assert cut["context_length"] == 2048
    header = "; ".join(f"{name}={value}" for name, value in cut.items())
    assert reply.headers["Puna-Truncated"] == header


async def test_it_is_said_before_the_first_line_of_a_stream(stage: Stage) -> None:
    reply = await stage.generate(LONG, stream=True)
    assert "kept_tokens=" in reply.headers["Puna-Truncated"]
    assert "truncated" in reply.lines[-1]
    assert all("truncated" not in line for line in reply.lines[:-1])


async def test_a_prompt_that_fits_says_nothing(stage: Stage) -> None:
    reply = await stage.chat("hi")
    assert "truncated" not in reply.json
    assert "Puna-Truncated" not in reply.headers


async def test_the_oldest_messages_are_dropped_first(stage: Stage) -> None:
    reply = await stage.chat(*[f"{n} {'word ' * 20}" for n in range(201)], "last")
    cut = reply.json["truncated"]
    assert isinstance(cut, dict)
    assert 0 < cut["dropped_messages"] < 201
    assert cut["kept_tokens"] > 1900
    assert reply.text == "echo: last"


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
@pytest.mark.parametrize("refusal", [{"truncate": False}, {"shift": False}])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_can_refuse_to_be_cut(
    stage: Stage, path: str, refusal: dict[str, object], *, stream: bool
) -> None:
    messages = [{"role": "user", "content": LONG}]
    body = {"model": "tiny", "prompt": LONG, "messages": messages, "stream": stream, **refusal}
    reply = await stage.ask("POST", path, body)
    assert (reply.status, reply.headers["Puna-Error-Code"]) == (400, "prompt_too_long")
    assert "a context of 2048 holds at most 2047" in str(reply.error)


async def test_a_setting_makes_refusal_the_default(tmp_path: Path) -> None:
    async with staged(tmp_path, truncate=False) as stage:
        refused, cut = await stage.chat(LONG), await stage.chat(LONG, truncate=True)
    assert (refused.status, cut.status) == (400, 200)


async def test_raw_prompts_are_cut_and_said_too(stage: Stage) -> None:
    reply = await stage.generate(LONG, raw=True)
    assert "truncated" in reply.json


async def test_num_keep_tokens_stay_at_the_beginning(stage: Stage) -> None:
    reply = await stage.generate("start " + LONG, raw=True, options={"num_keep": 1})
    assert reply.text.startswith("echo: start")


async def test_ten_thousand_messages_are_cut(stage: Stage) -> None:
    reply = await stage.chat(*(["word word word word word"] * 10_001))
    cut = reply.json["truncated"]
    assert isinstance(cut, dict)
    assert cut["dropped_messages"] > 9000


async def test_ten_thousand_stop_strings_are_refused_with_the_limit(stage: Stage) -> None:
    stops = [f"stop {n}" for n in range(10_000)]
    reply = await stage.chat("hi", options={"stop": stops})
    assert (reply.status, reply.headers["Puna-Error-Code"]) == (400, "option_range")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"temperature": "hot"}, 'option "temperature" must be of type float32'),
        ({"num_ctx": "4096"}, 'option "num_ctx" must be of type integer'),
        ({"num_predict": True}, 'option "num_predict" must be of type integer'),
        ({"use_mmap": 1}, 'option "use_mmap" must be of type boolean'),
        ({"stop": "x"}, 'option "stop" must be of type array'),
        ({"seed": [1]}, 'option "seed" must be of type integer'),
    ],
)
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_an_option_of_a_wrong_type_is_500_as_in_ollama(
    stage: Stage, path: str, options: dict[str, object], text: str
) -> None:
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "tiny", "prompt": "hi", "messages": messages, "options": options}
    reply = await stage.ask("POST", path, body)
    assert (reply.status, reply.error) == (500, text)


@pytest.mark.parametrize(
    "options",
    [
        b'{"temperature": NaN}',
        b'{"temperature": 1e999}',
        b'{"repeat_penalty": 0}',
        b'{"num_ctx": 1e300}',
        b'{"num_thread": 100000}',
        b'{"top_k": 123456789012345678901234567890}',
    ],
)
async def test_a_number_that_would_break_the_engine_is_refused(
    stage: Stage, options: bytes
) -> None:
    body = b'{"model": "tiny", "prompt": "hi", "options": ' + options + b"}"
    reply = await stage.ask("POST", "/api/generate", body)
    assert reply.status in {400, 500}
    assert stage.node.running() == ()

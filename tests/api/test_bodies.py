"""Bodies that are not what they should be, and those that only look so."""

from collections.abc import AsyncIterator

import pytest

from puna.wire.ollama import GenerateRequest
from tests.api.stage import Stage

POSTS = ["/api/generate", "/api/chat", "/api/show", "/api/copy", "/api/pull"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", [None, b"", b"  \n "], ids=["none", "empty", "blank"])
async def test_an_empty_body_is_missing(stage: Stage, path: str, body: bytes | None) -> None:
    reply = await stage.ask("POST", path, body)
    assert (reply.status, reply.error) == (400, "missing request body")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b"[]",
        b'"text"',
        b'{"model": "tiny"} {"model": "tiny"}',
        b'{"model": 5}',
        b'{"model": ["tiny"]}',
        b'{"model": "\xff\xfe"}',
        b'{"model": "\\ud800"}',
        b"\xff\xfe{\x00}\x00",
        b'{"source": 1, "model": 1}',
        b'{"keep_alive": NaN}',
        b'{"options": {"temperature": -Infinity}}',
        b'{"a":' * 5000,
    ],
)
async def test_a_malformed_body_is_400_with_one_line(stage: Stage, path: str, body: bytes) -> None:
    reply = await stage.ask("POST", path, body)
    assert reply.status == 400
    assert len(str(reply.error).splitlines()) == 1


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"stream": "true"}, "stream"),
        ({"options": []}, "options"),
        ({"raw": 1}, "raw"),
        ({"context": ["a"]}, "context.0"),
        ({"top_logprobs": "5"}, "top_logprobs"),
        ({"images": "abc"}, "images"),
        ({"prompt": {"text": "hi"}}, "prompt"),
    ],
)
async def test_a_wrong_type_is_named_by_its_place(
    stage: Stage, fields: dict[str, object], place: str
) -> None:
    reply = await stage.ask("POST", "/api/generate", {"model": "tiny", "prompt": "hi", **fields})
    assert reply.status == 400
    assert str(reply.error).startswith(f"{place}: ")


async def test_an_error_does_not_repeat_what_was_said_in_confidence(stage: Stage) -> None:
    secret = {"model": "tiny", "prompt": ["my secret"]}
    reply = await stage.ask("POST", "/api/generate", secret)
    assert b"secret" not in reply.body


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "nonsense", "application/json"]
)
async def test_any_content_type_will_do(stage: Stage, kind: str) -> None:
    body = {"model": "tiny", "prompt": "hi", "stream": False}
    reply = await stage.ask("POST", "/api/generate", body, Content_Type=kind)
    assert reply.text == "echo: hi"


async def test_unknown_fields_and_nulls_mean_nothing(stage: Stage) -> None:
    fields = {*GenerateRequest.model_fields, "_debug_render_only"} - {"model", "prompt", "stream"}
    nulls = dict.fromkeys(fields)
    reply = await stage.ask(
        "POST",
        "/api/generate",
        {"model": "tiny", "prompt": "hi", "of_2027": {"x": [1]}, "stream": None, **nulls},
    )
    assert (reply.status, reply.text) == (200, "echo: hi")


async def test_a_body_beyond_the_limit_is_413_by_its_claim_alone(stage: Stage) -> None:
    head = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    reply = await stage.raw(head + b"Content-Length: 67108865\r\n\r\n{")
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert reply.endswith(b'{"error":"the request body is larger than 67 MB"}')


async def test_a_body_sent_in_chunks_is_read_whole(stage: Stage) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"model":"tiny","stream":'
        yield b'false,"prompt":"hi"}'

    async with stage.session.post("/api/generate", data=pieces()) as reply:
        assert (await reply.json())["response"] == "echo: hi"


async def test_a_conversation_of_a_million_messages_is_400_at_once(stage: Stage) -> None:
    body = b'{"model": "tiny", "messages": [%b{}]}' % (b"{}," * 999_999)
    reply = await stage.ask("POST", "/api/chat", body)
    assert reply.status == 400
    assert "at most 100000 items" in str(reply.error)

"""Streams of events in OpenAI's and Anthropic's dialects: left, stopped, failed at the start."""

import asyncio
import json
from pathlib import Path

import pytest

from puna.node.engine.scripted import Script
from puna.units import Span
from tests.api.stage import Stage, staged

SLOW = Script(token_span=Span.of(ms=10))
TURN = [{"role": "user", "content": "count to 500"}]
ASKED: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": TURN},
    "/v1/completions": {"prompt": "count to 500"},
    "/v1/responses": {"input": "count to 500"},
    "/v1/messages": {"messages": TURN, "max_tokens": 1000},
}


def body_for(path: str, **changes: object) -> dict[str, object]:
    return {"model": "tiny", "stream": True, **ASKED[path], **changes}


async def begin(stage: Stage, path: str) -> asyncio.StreamWriter:
    """Send a request, wait for its first event, and return the connection."""
    content = json.dumps(body_for(path)).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    await stage.until_waiting()
    await stage.world.advance(Span.of(ms=50))
    await reader.readuntil(b"data: ")
    return writer


@pytest.mark.parametrize("path", ASKED)
async def test_a_client_that_leaves_frees_the_model(tmp_path: Path, path: str) -> None:
    async with staged(tmp_path, SLOW) as stage:
        writer = await begin(stage, path)
        assert len(stage.desk.answers) == 1
        writer.close()
        await stage.until(lambda: len(stage.desk.answers) == 0)


@pytest.mark.parametrize(
    ("path", "last"),
    [
        ("/v1/chat/completions", b"data: [DONE]\n\n"),
        ("/v1/completions", b"data: [DONE]\n\n"),
        ("/v1/responses", b'"metadata":{}}}\n\n'),
        ("/v1/messages", b'"message":"the server is stopping"}}\n\n'),
    ],
)
async def test_a_node_that_stops_says_so_in_the_dialect(
    tmp_path: Path, path: str, last: bytes
) -> None:
    async with staged(tmp_path, SLOW) as stage:
        asking = stage.later(stage.ask("POST", path, body_for(path)))
        await stage.until_waiting()
        await stage.world.advance(Span.of(ms=50))
        stage.desk.answers.cut_short()
        reply = await asking
    assert b"the server is stopping" in reply.body
    assert reply.body.endswith(last)


@pytest.mark.parametrize("path", ASKED)
async def test_a_load_that_fails_is_no_stream(tmp_path: Path, path: str) -> None:
    async with staged(tmp_path, Script(load_failure="no memory")) as stage:
        reply = await stage.ask("POST", path, body_for(path))
    assert reply.status == 500
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert isinstance(reply.error, dict)
    assert "no memory" in reply.error["message"]


@pytest.mark.parametrize("path", ASKED)
async def test_an_unloaded_model_is_loaded_and_kept_as_asked(stage: Stage, path: str) -> None:
    await stage.ask("POST", path, body_for(path, keep_alive="10m"))
    models = (await stage.ask("GET", "/api/ps")).json["models"]
    assert isinstance(models, list)
    assert [model["expires_at"] for model in models] == ["2026-08-01T12:10:00Z"]

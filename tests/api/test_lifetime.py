"""Loading, unloading and keep-alive, as seen in `/api/ps`."""

from pathlib import Path

import pytest

from puna.models.fit import estimate_fit
from puna.models.gguf import read_header
from puna.node.engine.scripted import Script
from puna.units import Span
from tests.api.stage import Stage, a_model, staged

HOUR, MINUTE = Span.of(hours=1), Span.of(minutes=1)


async def _expiries(stage: Stage) -> list[str]:
    models = (await stage.ask("GET", "/api/ps")).json["models"]
    assert isinstance(models, list)
    return [model["expires_at"] for model in models]


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat"])
@pytest.mark.parametrize("stream", [True, False])
async def test_an_empty_question_loads_the_model(stage: Stage, path: str, *, stream: bool) -> None:
    reply = await stage.ask("POST", path, {"model": "tiny", "stream": stream})
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert (reply.json["done"], reply.json["done_reason"]) == (True, "load")
    assert len(await _expiries(stage)) == 1


async def test_the_reply_to_a_load_has_ollama_s_bytes(stage: Stage) -> None:
    generate = await stage.ask("POST", "/api/generate", {"model": "tiny"})
    chat = await stage.ask("POST", "/api/chat", {"model": "tiny", "messages": []})
    head = b'{"model":"tiny","created_at":"2026-08-01T12:00:00Z",'
    assert generate.body == head + b'"response":"","done":true,"done_reason":"load"}'
    message = b'"message":{"role":"assistant","content":""}'
    assert chat.body == head + message + b',"done":true,"done_reason":"load"}'


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat"])
@pytest.mark.parametrize("zero", [0, 0.0, "0", "0s", "0m"])
async def test_an_empty_question_with_keep_alive_zero_unloads(
    stage: Stage, path: str, zero: object
) -> None:
    await stage.chat("hi")
    reply = await stage.ask("POST", path, {"model": "tiny", "keep_alive": zero})
    assert reply.json["done_reason"] == "unload"
    assert await _expiries(stage) == []


async def test_unloading_what_is_not_loaded_is_no_error(stage: Stage) -> None:
    reply = await stage.ask("POST", "/api/generate", {"model": "tiny", "keep_alive": 0})
    assert (reply.status, reply.json["done_reason"]) == (200, "unload")


async def test_unloading_an_unknown_model_is_404(stage: Stage) -> None:
    reply = await stage.ask("POST", "/api/generate", {"model": "nope", "keep_alive": 0})
    assert reply.status == 404


@pytest.mark.parametrize(
    ("keep_alive", "expires_at"),
    [
        (None, "2026-08-01T12:05:00Z"),
        (30, "2026-08-01T12:00:30Z"),
        (0.5, "2026-08-01T12:00:00.5Z"),
        ("10m", "2026-08-01T12:10:00Z"),
        ("1h30m", "2026-08-01T13:30:00Z"),
        (-1, "2318-05-23T12:00:00Z"),
        ("-1m", "2318-05-23T12:00:00Z"),
        (10**30, "2318-05-23T12:00:00Z"),
    ],
)
async def test_keep_alive_says_when_the_model_goes(
    stage: Stage, keep_alive: object, expires_at: str
) -> None:
    await stage.chat("hi", keep_alive=keep_alive)
    assert await _expiries(stage) == [expires_at]


async def test_keep_alive_zero_unloads_after_the_answer(stage: Stage) -> None:
    reply = await stage.chat("hi", keep_alive=0)
    assert reply.text == "echo: hi"
    await stage.until(lambda: not stage.node.running())


async def test_keep_alive_stays_until_a_request_sets_another(stage: Stage) -> None:
    await stage.chat("hi", keep_alive="1h")
    await stage.chat("hi")
    assert await _expiries(stage) == ["2026-08-01T13:00:00Z"]


async def test_a_model_goes_when_its_time_is_over(stage: Stage) -> None:
    await stage.chat("hi", keep_alive="1m")
    await stage.world.advance(MINUTE)
    assert await _expiries(stage) == []


async def test_a_clock_that_jumps_neither_drops_nor_keeps_a_model(stage: Stage) -> None:
    await stage.chat("hi", keep_alive="1m")
    stage.world.jump(HOUR.timedelta)
    assert await _expiries(stage) == ["2026-08-01T13:01:00Z"]
    await stage.world.advance(MINUTE)
    assert await _expiries(stage) == []


@pytest.mark.parametrize(
    ("keep_alive", "text"),
    [
        (True, "Unsupported type: 'bool'"),
        ([5], "Unsupported type: '[]interface {}'"),
        ({"m": 5}, "Unsupported type: 'map[string]interface {}'"),
        ("soon", 'time: invalid duration "soon"'),
        ("5", 'time: missing unit in duration "5"'),
        ("5 m", 'time: unknown unit " m" in duration "5 m"'),
        ("1h5x", 'time: unknown unit "x" in duration "1h5x"'),
        ("", 'time: invalid duration ""'),
    ],
)
async def test_another_keep_alive_is_400(stage: Stage, keep_alive: object, text: str) -> None:
    reply = await stage.chat("hi", keep_alive=keep_alive)
    assert (reply.status, reply.error) == (400, text)


async def test_clients_with_and_without_a_context_share_one_load(tmp_path: Path) -> None:
    async with staged(tmp_path, Script(load_span=MINUTE), context_length=256) as stage:
        first = stage.later(stage.chat("hi", options={"num_ctx": 1024}))
        await stage.until_waiting()
        await stage.world.advance(MINUTE)
        await first
        reply = await stage.chat("hi")
    assert "load_duration" not in reply.json


async def test_a_client_without_a_context_does_not_suffer_a_tiny_one(stage: Stage) -> None:
    await stage.chat("hi", options={"num_ctx": 64})
    reply = await stage.chat("word " * 500)
    assert "truncated" not in reply.json
    assert len(await _expiries(stage)) == 1


@pytest.mark.parametrize(
    ("asked", "context"), [(None, 2048), (100_000, 2048), (512, 512), (1, 4), (0, 2048)]
)
async def test_the_context_is_as_asked_within_what_the_model_learnt(
    stage: Stage, asked: object, context: int
) -> None:
    await stage.ask("POST", "/api/generate", {"model": "tiny", "options": {"num_ctx": asked}})
    models = (await stage.ask("GET", "/api/ps")).json["models"]
    assert isinstance(models, list)
    assert models[0]["context_length"] == context


async def test_four_requests_are_computed_together(stage: Stage) -> None:
    await stage.chat("hi")
    models = (await stage.ask("GET", "/api/ps")).json["models"]
    assert isinstance(models, list)
    assert models[0]["slots"] == 4


async def test_fewer_are_where_four_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(a_model())
    header = read_header(tmp_path / "tiny.gguf")
    room = estimate_fit(header, context=2048, parallel=2, rooms=()).needed
    async with staged(tmp_path, memory_limit=room) as stage:
        await stage.chat("hi")
        models = (await stage.ask("GET", "/api/ps")).json["models"]
    assert isinstance(models, list)
    assert models[0]["slots"] in {2, 3}
    assert models[0]["size"] <= room

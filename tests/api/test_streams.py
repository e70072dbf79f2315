"""Clients that vanish, read slowly or wait; engines that die; nodes that stop."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from puna.node.engine.scripted import Script
from puna.units import Span
from tests.api.stage import Stage, staged

SECOND, MINUTE = Span.of(seconds=1), Span.of(minutes=1)
SLOW = Script(token_span=SECOND)


def request(path: str = "/api/generate", **fields: object) -> bytes:
    body = json.dumps({"model": "tiny", "prompt": "count to 50", **fields}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def open_request(
    stage: Stage, content: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send a request and leave its connection open until the block ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port, limit=2**12)
    writer.write(content)
    try:
        yield reader, writer
    finally:
        writer.close()


async def read_to_the_end(reader: asyncio.StreamReader) -> bytes:
    content = b""
    while not content.endswith(b"0\r\n\r\n"):
        content += await reader.read(2**16)
    return content


def in_use(stage: Stage) -> int:
    return sum(running.in_use for running, _ in stage.node.running())


async def test_tokens_come_as_they_are_made(tmp_path: Path) -> None:
    async with staged(tmp_path, SLOW) as stage, open_request(stage, request()) as (reader, _):
        await stage.until_waiting()
        await stage.world.advance(SECOND)
        head = await reader.readuntil(b"\r\n\r\n")
        size, line = await reader.readline(), await reader.readline()
    assert b"application/x-ndjson" in head
    assert int(size, 16) == len(line)
    assert json.loads(line)["response"] == "1"


async def test_what_comes_together_is_sent_as_one_line(stage: Stage) -> None:
    reply = await stage.generate("count to 500", stream=True)
    assert reply.text == " ".join(str(n) for n in range(1, 501))
    assert len(reply.lines) < 200


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_vanishes_frees_the_model_at_once(
    tmp_path: Path, *, stream: bool
) -> None:
    async with staged(tmp_path, SLOW) as stage:
        async with open_request(stage, request(stream=stream)):
            await stage.until(lambda: in_use(stage) == 1)
        await stage.until(lambda: in_use(stage) == 0)
        assert len(stage.desk.answers) == 0


async def test_a_client_that_vanishes_in_the_middle_frees_it_too(tmp_path: Path) -> None:
    async with staged(tmp_path, SLOW) as stage:
        async with open_request(stage, request()) as (reader, _):
            await stage.until_waiting()
            await stage.world.advance(SECOND)
            await reader.readuntil(b"\r\n\r\n")
        await stage.until(lambda: in_use(stage) == 0)


async def test_a_client_that_vanishes_while_the_model_loads_calls_the_load_off(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, Script(load_span=MINUTE)) as stage:
        async with open_request(stage, request()):
            await stage.until(lambda: len(stage.node.running()) == 1)
        await stage.until(lambda: not stage.node.running())


async def test_a_client_that_vanishes_in_the_queue_gives_up_its_place(tmp_path: Path) -> None:
    async with staged(tmp_path, SLOW, num_parallel=1) as stage, open_request(stage, request()):
        await stage.until(lambda: in_use(stage) == 1)
        async with open_request(stage, request()):
            await stage.until(lambda: len(stage.desk.answers) == 2)
        await stage.until(lambda: len(stage.desk.answers) == 1)
        assert in_use(stage) == 1


async def test_a_slow_reader_holds_up_neither_the_model_nor_others(tmp_path: Path) -> None:
    async with staged(tmp_path, num_parallel=1) as stage:
        long = request(prompt="count to 999999", options={"num_predict": 200_000})
        async with open_request(stage, long) as (reader, _):
            await reader.readuntil(b"\r\n\r\n")
            await stage.until(lambda: in_use(stage) == 0)
            assert (await stage.chat("hi")).text == "echo: hi"
            assert b'"done_reason":"length"' in await read_to_the_end(reader)


async def test_an_engine_that_dies_before_the_first_token_is_500(tmp_path: Path) -> None:
    async with staged(tmp_path, Script(dies_after=0)) as stage:
        reply = await stage.chat("hi", stream=True)
    assert (reply.status, reply.error) == (500, "the script says so")


async def test_an_engine_that_dies_later_ends_the_stream_with_an_error_line(
    tmp_path: Path,
) -> None:
    script = Script(dies_after=2, token_span=SECOND)
    async with staged(tmp_path, script) as stage:
        asking = stage.later(stage.generate("count to 9", stream=True))
        for _ in range(3):
            await stage.until_waiting()
            await stage.world.advance(SECOND)
        reply = await asking
    assert reply.status == 200
    assert reply.lines[-1] == {"error": "the script says so"}
    assert all(line["done"] is False for line in reply.lines[:-1])


async def test_a_dead_engine_is_replaced_for_the_next_request(tmp_path: Path) -> None:
    lives = iter([Script(dies_after=0), Script()])
    async with staged(tmp_path, lambda _: next(lives)) as stage:
        first, second = await stage.chat("hi"), await stage.chat("hi")
    assert (first.status, second.text) == (500, "echo: hi")


async def test_a_full_queue_is_503_and_says_when_to_come_back(tmp_path: Path) -> None:
    async with (
        staged(tmp_path, SLOW, num_parallel=1, max_queue=1) as stage,
        open_request(stage, request()),
        open_request(stage, request()),
    ):
        await stage.until(lambda: len(stage.desk.answers) == 2)
        reply = await stage.chat("hi")
    text = "server busy, please try again.  maximum pending requests exceeded"
    assert (reply.status, reply.error) == (503, text)
    assert reply.headers["Retry-After"] == "1"


async def test_a_node_that_stops_gives_every_stream_a_last_word(tmp_path: Path) -> None:
    async with staged(tmp_path, SLOW) as stage:
        asking = stage.later(stage.generate("count to 9", stream=True))
        await stage.until_waiting()
        await stage.world.advance(SECOND)
        await stage.until(lambda: len(stage.desk.answers) == 1)
        stage.desk.answers.cut_short()
        reply = await asking
    assert reply.status in {200, 503}
    assert reply.lines[-1] == {"error": "the server is stopping"}


async def test_a_node_that_stops_refuses_new_answers(stage: Stage) -> None:
    stage.desk.answers.cut_short()
    reply = await stage.chat("hi")
    assert (reply.status, reply.error) == (503, "the server is stopping")


async def test_many_clients_at_once_all_get_their_own_answer(stage: Stage) -> None:
    asking = [stage.later(stage.chat(f"number {n}", stream=n % 2 == 0)) for n in range(100)]
    texts = [(await each).text for each in asking]
    assert texts == [f"echo: number {n}" for n in range(100)]

"""Bodies are cut out of a connection exactly, however its bytes arrive."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from puna.errors import PunaError
from puna.market.gateway.flows import LAST_CHUNK, BadChunk, Inflow, TooLong, chunk
from puna.market.gateway.heads import LONGEST, Body, Framing

CHUNKS = Body(Framing.CHUNKS)


class Pieces:
    """Bytes that come in pieces of some size."""

    def __init__(self, text: bytes, size: int) -> None:
        self._text = text
        self._size = size

    async def read(self, n: int = -1, /) -> bytes:
        size = min(n, self._size) if n > 0 else self._size
        piece, self._text = self._text[:size], self._text[size:]
        return piece


def inflow(text: bytes, size: int = 2**16) -> Inflow:
    return Inflow(Pieces(text, size))


async def whole(flow: Inflow, body: Body) -> bytes:
    return b"".join([piece async for piece in flow.body(body)])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_messages_one_after_another_are_told_apart(size: int) -> None:
    text = (
        b"one\r\n\r\n12345two\r\n\r\n"
        + chunk(b"ab")
        + chunk(b"c" * 20)
        + LAST_CHUNK
        + b"three\r\n\r\n"
    )
    flow = inflow(text, size)
    assert await flow.head() == b"one"
    assert await whole(flow, Body(Framing.LENGTH, 5)) == b"12345"
    assert await flow.head() == b"two"
    assert await whole(flow, CHUNKS) == b"ab" + b"c" * 20
    assert await flow.head() == b"three"
    assert await flow.head() is None


async def test_a_body_that_ends_with_its_connection_is_read_to_the_end() -> None:
    assert await whole(inflow(b"x" * 200_000, 1000), Body(Framing.CLOSE)) == b"x" * 200_000


async def test_no_body_is_nothing() -> None:
    flow = inflow(b"rest")
    assert await whole(flow, Body(Framing.NONE)) == b""
    assert await flow.piece() == b"rest"


async def test_what_was_held_comes_first() -> None:
    flow = Inflow(Pieces(b"\r\n\r\nmore", 3), b"GET /")
    assert flow.held == b"GET /"
    assert await flow.head() == b"GET /"
    assert await flow.piece(2) == b"mo"


async def test_extensions_and_trailers_are_left_out() -> None:
    text = b"3;name=value\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\nnext"
    flow = inflow(text)
    assert await whole(flow, CHUNKS) == b"abc"
    assert await flow.piece() == b"next"


@pytest.mark.parametrize(
    "text",
    [
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"\r\n",
        b"1\r\nab\r\n",
        b" 1\r\na\r\n",
        b"f" * 16 + b"\r\n",
        b"1_0\r\n",
        b";x\r\n",
    ],
)
async def test_what_is_no_chunk_is_refused(text: bytes) -> None:
    with pytest.raises(BadChunk):
        await whole(inflow(text), CHUNKS)


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (b"ab", Body(Framing.LENGTH, 3)),
        (b"", Body(Framing.LENGTH, 1)),
        (b"5\r\nab", CHUNKS),
        (b"2\r\nab\r\n", CHUNKS),
        (b"2\r\nab\r\n0\r\n", CHUNKS),
        (b"2", CHUNKS),
    ],
)
async def test_a_body_that_is_cut_short_is_no_whole_one(text: bytes, body: Body) -> None:
    with pytest.raises(EOFError):
        await whole(inflow(text), body)


async def test_a_head_that_is_cut_short_is_none() -> None:
    with pytest.raises(EOFError):
        await inflow(b"GET / HTTP").head()


async def test_empty_lines_before_the_end_are_no_head() -> None:
    assert await inflow(b"\r\n").head() is None


@pytest.mark.parametrize(
    "ask",
    [
        lambda: inflow(b"x" * LONGEST * 2, 10_000).head(),
        lambda: inflow(b"x" * (LONGEST + 1) + b"\r\n\r\n").head(),
        lambda: whole(inflow(b"1" * 10_000), CHUNKS),
        lambda: whole(inflow(b"0\r\n" + b"x: 1\r\n" * 20_000), CHUNKS),
    ],
    ids=["head without end", "long head", "line without end", "trailers without end"],
)
async def test_what_has_no_end_is_cut_off(ask: Callable[[], asyncio.Future[object]]) -> None:
    with pytest.raises(TooLong):
        await ask()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 50), st.binary())
def test_chunks_hold_what_was_put_in(parts: list[bytes], size: int, after: bytes) -> None:
    async def read() -> tuple[bytes, bytes]:
        flow = inflow(b"".join(map(chunk, parts)) + LAST_CHUNK + after, size)
        found = await whole(flow, CHUNKS)
        return found, b"".join([piece async for piece in flow.body(Body(Framing.CLOSE))])

    assert asyncio.run(read()) == (b"".join(parts), after)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader_of_chunks(noise: bytes) -> None:
    async def read() -> None:
        try:
            await whole(inflow(noise), CHUNKS)
        except (PunaError, EOFError):
            return

    asyncio.run(read())

"""The agent's end: how it dials, and what it answers."""

import asyncio

import pytest

from puna.agent.link import MarketGone
from puna.agent.tunnel import Tunnel, user_of
from puna.units import Span
from puna.wire.tunnel import Door, Exited, Kind, LogLine, Size, frame, read_frame
from tests.fakes.reach import FakeReach
from tests.worlds import FakeWorld


class Market:
    """Counts who asks for the door, and has none."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def door(self, public_key: str) -> Door:
        self.keys.append(public_key)
        raise MarketGone("the market does not answer")


@pytest.fixture
def market() -> Market:
    return Market()


async def dialled(world: FakeWorld, market: Market, seconds: int) -> int:
    """Return how often one link dials within a time."""
    tunnel = Tunnel(world, FakeReach(), market.door, links=1)
    running = asyncio.create_task(tunnel.run())
    for _ in range(seconds):
        await world.advance(Span.of(seconds=1))
    running.cancel()
    await asyncio.wait({running})
    return len(market.keys)


async def test_pauses_grow_to_half_a_minute(market: Market) -> None:
    assert 3 <= await dialled(FakeWorld(), market, 10) <= 6
    more = Market()
    assert 10 <= await dialled(FakeWorld(seed=1), more, 300) <= 20


async def test_hosts_do_not_dial_all_at_once() -> None:
    counts = set()
    for seed in range(12):
        found = Market()
        counts.add(await dialled(FakeWorld(seed=seed), found, 60))
    assert len(counts) > 1


async def test_one_key_is_registered_by_all_links(market: Market) -> None:
    world = FakeWorld()
    tunnel = Tunnel(world, FakeReach(), market.door, links=3)
    running = asyncio.create_task(tunnel.run())
    await world.advance(Span.of(seconds=5))
    running.cancel()
    await asyncio.wait({running})
    assert len(set(market.keys)) == 1
    assert market.keys[0].startswith("ssh-ed25519 ")
    assert tunnel.links == 0


def test_a_host_has_a_name_of_its_own_at_the_gateway() -> None:
    assert user_of("0a1b2c") == "host-0a1b2c"


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.INPUT, b""),
        (Kind.OUTPUT, bytes(range(256))),
        (Kind.RESIZE, Size(columns=1, rows=1000).model_dump_json().encode()),
        (Kind.EXIT, Exited(code=-9).model_dump_json().encode()),
        (
            Kind.LINE,
            LogLine(at="2026-08-01T12:00:00.000000001Z", text="ü").model_dump_json().encode(),
        ),
    ],
)
async def test_a_frame_is_read_as_it_was_written(kind: Kind, payload: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(frame(kind, payload))
    reader.feed_eof()
    assert await read_frame(reader) == (kind, payload)
    with pytest.raises(EOFError):
        await read_frame(reader)

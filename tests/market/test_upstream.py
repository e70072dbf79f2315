"""Streams that wait for another request, and how many there may be."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from puna.errors import PunaError
from puna.market.domain.pods import Status
from puna.market.gateway.directory import Route
from puna.market.gateway.tunnels import NothingThere, Stream, Tunnels
from puna.market.gateway.upstream import TooBusy, Upstreams
from puna.units import Span
from tests.worlds import FakeWorld

POD = "abcdefghij1234"


class Ends:
    """Both ends of a stream that nobody is behind."""

    def __init__(self) -> None:
        self.is_closed = False
        self.has_ended = False

    async def read(self, n: int = -1, /) -> bytes:
        del n
        return b""

    async def readexactly(self, n: int, /) -> bytes:
        raise asyncio.IncompleteReadError(b"", n)

    def at_eof(self) -> bool:
        return self.has_ended

    def write(self, data: bytes, /) -> None:
        del data

    def write_eof(self) -> None:
        return

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    async def drain(self) -> None:
        return


class Opening:
    """A link that opens streams, or refuses to."""

    def __init__(self) -> None:
        self.opened: list[Ends] = []
        self.failure: PunaError | None = None

    async def open(self, pod: str, port: int) -> Stream:
        del pod, port
        if self.failure is not None:
            raise self.failure
        ends = Ends()
        self.opened.append(ends)
        return Stream(ends, ends)


async def nowhere(host: str) -> None:
    del host


class Scene:
    """Streams to one pod."""

    def __init__(self) -> None:
        self.world = FakeWorld()
        self.link = Opening()
        tunnels = Tunnels(nowhere)
        tunnels.add("host", self.link)
        self.streams = Upstreams(tunnels, self.world.elapsed)

    def route(self, pod: str = POD) -> Route:
        return Route(
            pod=pod,
            account="ada",
            host="host",
            status=Status.RUNNING,
            reason="",
            ports=frozenset({80}),
            access={},
            public_keys=(),
        )


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    opened = Scene()
    yield opened
    opened.streams.close()


async def test_a_stream_that_was_given_back_is_used_again(scene: Scene) -> None:
    first = await scene.streams.take(scene.route(), 80)
    scene.streams.give_back(first)
    second = await scene.streams.take(scene.route(), 80)
    assert second.stream is first.stream
    assert (first.is_fresh, second.is_fresh) == (True, False)
    assert len(scene.link.opened) == 1


async def test_streams_of_other_ports_and_pods_are_not(scene: Scene) -> None:
    scene.streams.give_back(await scene.streams.take(scene.route(), 80))
    await scene.streams.take(scene.route(), 81)
    await scene.streams.take(scene.route("otherpodother0"), 80)
    assert len(scene.link.opened) == 3


async def test_one_that_ended_while_it_waited_is_not_used(scene: Scene) -> None:
    scene.streams.give_back(await scene.streams.take(scene.route(), 80))
    scene.link.opened[0].has_ended = True
    again = await scene.streams.take(scene.route(), 80)
    assert again.is_fresh
    assert scene.link.opened[0].is_closed


async def test_one_that_has_more_to_say_is_not_kept(scene: Scene) -> None:
    """What a pod sends behind an answer would be taken for the next one's."""
    taken = await scene.streams.take(scene.route(), 80)
    taken.inflow._held += b"HTTP/1.1 200 OK"
    scene.streams.give_back(taken)
    assert scene.link.opened[0].is_closed


async def test_what_cannot_be_asked_twice_uses_only_what_is_surely_open(scene: Scene) -> None:
    scene.streams.give_back(await scene.streams.take(scene.route(), 80))
    await scene.world.advance(Span.of(seconds=1))
    scene.streams.give_back(await scene.streams.take(scene.route(), 80, surely_open=True))
    assert len(scene.link.opened) == 1
    await scene.world.advance(Span.of(seconds=3))
    await scene.streams.take(scene.route(), 80, surely_open=True)
    assert len(scene.link.opened) == 2


async def test_there_is_an_end_to_what_one_pod_may_have(scene: Scene) -> None:
    scene.streams.most_per_pod = 2
    taken = [await scene.streams.take(scene.route(), 80) for _ in range(2)]
    with pytest.raises(TooBusy, match="has 2 connections open"):
        await scene.streams.take(scene.route(), 80)
    await scene.streams.take(scene.route("otherpodother0"), 80)
    scene.streams.drop(taken[0])
    await scene.streams.take(scene.route(), 80)
    assert scene.streams.in_use == 3


async def test_a_stream_that_does_not_open_is_not_counted(scene: Scene) -> None:
    scene.link.failure = NothingThere("refused")
    for _ in range(3):
        with pytest.raises(NothingThere):
            await scene.streams.take(scene.route(), 80)
    assert scene.streams.in_use == 0


async def test_a_renewed_stream_counts_once(scene: Scene) -> None:
    taken = await scene.streams.take(scene.route(), 80)
    renewed = await scene.streams.renew(taken, scene.route())
    assert scene.link.opened[0].is_closed
    assert scene.streams.in_use == 1
    scene.streams.drop(renewed)
    assert scene.streams.in_use == 0


async def test_one_that_cannot_be_renewed_is_given_up(scene: Scene) -> None:
    taken = await scene.streams.take(scene.route(), 80)
    scene.link.failure = NothingThere("refused")
    with pytest.raises(NothingThere):
        await scene.streams.renew(taken, scene.route())


async def test_the_last_that_was_given_back_is_the_first_to_be_used(scene: Scene) -> None:
    one, two = [await scene.streams.take(scene.route(), 80) for _ in range(2)]
    scene.streams.give_back(one)
    scene.streams.give_back(two)
    assert (await scene.streams.take(scene.route(), 80)).stream is two.stream


async def test_no_more_than_some_wait(scene: Scene) -> None:
    scene.streams.most_per_pod = 1010
    taken = [await scene.streams.take(scene.route(), 80) for _ in range(1010)]
    for each in taken:
        scene.streams.give_back(each)
    assert sum(not ends.is_closed for ends in scene.link.opened) == 1000
    scene.streams.close()
    assert all(ends.is_closed for ends in scene.link.opened)

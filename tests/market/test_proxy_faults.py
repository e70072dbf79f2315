"""What a client is told when a pod, its host or its tunnel is not there."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from puna.market.domain.pods import Action
from puna.units import Span
from tests.market.instant import MEMORY
from tests.market.podweb import CLOSED, OPEN, Front, a_front
from tests.market.tunnelling import linked


@pytest_asyncio.fixture
async def front() -> AsyncIterator[Front]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with a_front(Path(folder)) as opened:
            yield opened


async def test_a_service_that_is_not_up_yet_is_said_to_be_so(front: Front) -> None:
    del front.reach.ports[front.pod.id, CLOSED]
    reply = await front.ask("/", key=front.key)
    assert (reply.status, reply.json["code"]) == (502, "nothing_there")
    assert f"nothing answers on port {CLOSED}" in reply.json["error"]
    assert "0.0.0.0" in reply.json["hint"]
    assert reply.headers["Retry-After"] == "2"


async def test_a_stopped_pod_is_said_to_be_stopped(front: Front) -> None:
    await front.serving.act(front.caller, front.pod, Action.STOP)
    await front.serving.world.advance(Span.of(seconds=3))
    reply = await front.ask("/", key=front.key)
    assert reply.status == 502
    assert "is EXITED" in reply.json["error"]


async def test_a_host_whose_tunnel_is_cut_is_said_to_be_away(front: Front) -> None:
    front.tunnel.cut()
    await linked(front.tunnel, 0)
    reply = await front.ask("/", key=front.key)
    assert (reply.status, reply.json["code"]) == (503, "host_away")


async def test_a_tunnel_cut_in_an_answer_ends_the_answer_short(front: Front) -> None:
    headers = {"Host": front.name(OPEN)}
    async with front.serving.session.get(f"{front.serving.url}/stream", headers=headers) as reply:
        assert await reply.content.readexactly(3) == b"one"
        front.tunnel.cut()
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.content.read()


async def test_what_speaks_no_http_is_said_to_speak_none(front: Front) -> None:
    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(banner, "127.0.0.1", 0)
    front.reach.ports[front.pod.id, OPEN] = server.sockets[0].getsockname()[1]
    reply = await front.ask("/", port=OPEN)
    server.close()
    assert (reply.status, reply.json["code"]) == (502, "bad_answer")


async def test_a_stream_that_ended_while_it_waited_is_renewed(front: Front) -> None:
    """The pod's server answers once for each connection and does not say so."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    front.reach.ports[front.pod.id, OPEN] = server.sockets[0].getsockname()[1]
    assert [(await front.ask("/", port=OPEN)).body for _ in range(5)] == [b"ok"] * 5
    server.close()
    await server.wait_closed()


async def test_a_flood_of_connections_leaves_other_pods_alone(front: Front) -> None:
    """The renter's own pod says that it is busy, and another's answers."""
    upstreams = front.serving.gateway.upstreams
    route = await front.serving.gateway.directory.route(front.pod.id)
    taken = [await upstreams.take(route, CLOSED) for _ in range(20)]
    limit = upstreams.most_per_pod
    upstreams.most_per_pod = 20
    busy = await front.ask("/", key=front.key)
    for each in taken:
        upstreams.drop(each)
    upstreams.most_per_pod = limit
    assert (busy.status, busy.json["code"], busy.headers["Retry-After"]) == (503, "too_busy", "1")
    assert (await front.ask("/", key=front.key)).status == 200
    assert upstreams.in_use == 0

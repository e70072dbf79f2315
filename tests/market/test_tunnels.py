import asyncio

import asyncssh
import pytest

from puna.agent.tunnel import NotDialled, Tunnel
from puna.market.actions.hosting import UnknownHost
from puna.market.actions.sightings import InvalidReport
from puna.market.actions.tunnels import register_tunnel
from puna.market.db import tunnels as db
from puna.market.gateway.keys import GatewayKeys
from puna.market.gateway.pump import BROKEN
from puna.market.gateway.tunnels import HostAway, NothingThere, Stream
from puna.units import Span
from puna.wire.tunnel import Answer, Ask, Door, Exited, Kind, LogLine, Size, frame, read_frame
from tests.fakes.reach import FakeReach
from tests.market.stage import Stage
from tests.market.tunnelling import (
    a_gateway,
    a_rented_pod,
    a_server,
    a_tunnel,
    an_echo,
    derive,
    linked,
)


async def echoed(stream: Stream, text: bytes) -> bytes:
    stream.writer.write(text)
    stream.writer.write_eof()
    received = b""
    while piece := await stream.reader.read(2**16):
        received += piece
    stream.close()
    return received


async def test_a_stream_reaches_a_port_of_a_pod_and_ends_both_ways(market: Stage) -> None:
    async with an_echo() as port, a_rented_pod(market) as rented:
        rented.reach.ports[rented.pod.id, 8888] = port
        stream = await rented.gateway.tunnels.open(rented.host.id, rented.pod.id, 8888)
        assert await echoed(stream, b"hello" * 100_000) == b"hello" * 100_000


@pytest.mark.parametrize(
    "port", [8888, 9999], ids=["nobody listens", "the agent knows no such pod"]
)
async def test_what_is_not_there_is_said_to_be_so(market: Stage, port: int) -> None:
    async with an_echo() as closed:
        pass
    async with a_rented_pod(market) as rented:
        rented.reach.ports[rented.pod.id, 8888] = closed
        with pytest.raises(NothingThere):
            await rented.gateway.tunnels.open(rented.host.id, rented.pod.id, port)


async def test_a_host_without_a_tunnel_is_away(market: Stage) -> None:
    host = await market.host()
    async with a_gateway(market) as gateway:
        with pytest.raises(HostAway):
            await gateway.tunnels.open(host.id, "pod", 8888)


async def test_a_key_that_was_not_registered_opens_no_tunnel(market: Stage) -> None:
    async with a_rented_pod(market) as rented:
        other = await market.host("other")
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(
                "127.0.0.1",
                rented.gateway.port,
                username=f"host-{other.id}",
                client_keys=[asyncssh.generate_private_key("ssh-ed25519")],
                known_hosts=None,
                config=None,
            )


async def test_an_agent_does_not_trust_another_gateway(market: Stage) -> None:
    async with a_rented_pod(market) as rented:

        async def door(public_key: str) -> Door:
            del public_key
            stranger = GatewayKeys.of(lambda purpose: derive(f"another {purpose}")).public
            port = rented.gateway.port
            return Door(host="127.0.0.1", port=port, user="host-x", gateway_key=stranger)

        with pytest.raises(NotDialled, match="not trusted"):
            await Tunnel(market.world, rented.reach, door).dial()


async def test_a_host_serves_only_what_is_on_it_and_lies_in_vain(market: Stage) -> None:
    """The liar claims another host's pod: whoever asks for it is still led to its own host."""
    async with an_echo() as port, a_rented_pod(market) as rented:
        liar, claims = await market.host("liar"), FakeReach()
        rented.reach.ports[rented.pod.id, 80] = port
        async with a_tunnel(market, liar, rented.gateway.port, claims):
            claims.ports[rented.pod.id, 80] = 1
            stream = await rented.gateway.tunnels.open(rented.host.id, rented.pod.id, 80)
            assert await echoed(stream, b"mine") == b"mine"


async def test_an_agent_opens_nothing_at_the_gateway(market: Stage) -> None:
    async with a_rented_pod(market) as rented:
        connection = await rented.tunnel.dial()
        for target in (("localhost", 22), (rented.pod.id, 8888), (f"{rented.host.id}/x", 1)):
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.open_connection(*target)
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.run("id")
        connection.abort()
        await connection.wait_closed()


async def test_a_gateway_that_starts_again_is_dialled_again(market: Stage) -> None:
    host, reach = await market.host(), FakeReach()
    async with a_gateway(market) as first:
        port = first.port
        dialling = a_tunnel(market, host, port, reach)
        tunnel = await dialling.__aenter__()
    await linked(tunnel, 0)
    async with a_gateway(market, port) as second, an_echo() as echo:
        reach.ports["pod", 1] = echo
        again = asyncio.ensure_future(linked(tunnel, 2))
        while not again.done():
            await market.world.advance(Span.of(seconds=1))
            await asyncio.wait({again}, timeout=0.05)
        stream = await second.tunnels.open(host.id, "pod", 1)
        assert await echoed(stream, b"still here") == b"still here"
        await dialling.__aexit__(None, None, None)


async def test_a_tunnel_that_is_cut_ends_its_streams(market: Stage) -> None:
    async with an_echo() as port, a_rented_pod(market) as rented:
        rented.reach.ports[rented.pod.id, 80] = port
        stream = await rented.gateway.tunnels.open(rented.host.id, rented.pod.id, 80)
        rented.tunnel.cut()
        with pytest.raises(BROKEN):
            await stream.reader.readexactly(1)
        await linked(rented.tunnel, 0)
        with pytest.raises(HostAway):
            await rented.gateway.tunnels.open(rented.host.id, rented.pod.id, 80)


async def test_a_slow_reader_fills_no_memory(market: Stage) -> None:
    """A pod that sends without end is stopped while nobody reads it."""
    sent, stuck = 0, asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        del reader
        while True:
            writer.write(bytes(2**16))
            try:
                async with asyncio.timeout(0.3):
                    await writer.drain()
            except TimeoutError:
                stuck.set()
                break
            sent += 2**16
        writer.close()

    async with a_server(flood) as port, a_rented_pod(market) as rented:
        rented.reach.ports[rented.pod.id, 80] = port
        stream = await rented.gateway.tunnels.open(rented.host.id, rented.pod.id, 80)
        await stuck.wait()
        stream.close()
    assert sent < 16 * 2**20  # what the systems' sockets hold, and one window


async def test_another_process_of_the_market_reaches_the_pod_too(market: Stage) -> None:
    async with an_echo() as port, a_rented_pod(market) as rented, a_gateway(market) as other:
        rented.reach.ports[rented.pod.id, 80] = port
        assert other.tunnels.hosts == ()
        stream = await other.tunnels.open(rented.host.id, rented.pod.id, 80)
        assert await echoed(stream, b"by way of") == b"by way of"
        with pytest.raises(NothingThere):
            await other.tunnels.open(rented.host.id, rented.pod.id, 81)


async def test_a_process_that_is_gone_leads_nowhere(market: Stage) -> None:
    host = await market.host()
    async with market.database.transaction() as tx:
        await db.set_tunnel_key(tx, host.id, "ssh-ed25519 x")
        await db.tunnel_begins(tx, host.id, "127.0.0.1:1", market.world.now())
    async with a_gateway(market) as gateway:
        with pytest.raises(HostAway):
            await gateway.tunnels.open(host.id, "pod", 80)


async def shown(stream: Stream) -> list[tuple[Kind, bytes]]:
    frames: list[tuple[Kind, bytes]] = []
    while not frames or frames[-1][0] is not Kind.EXIT:
        frames.append(await read_frame(stream.reader))
    stream.close()
    return frames


async def test_a_command_in_a_pod_has_its_outputs_apart_and_its_code(market: Stage) -> None:
    async with a_rented_pod(market) as rented:
        rented.reach.lines[rented.pod.id] = []
        ask = Ask(kind="shell", words=("/bin/sh", "-c", "cat; echo no >&2; exit 3"))
        stream = await rented.gateway.tunnels.ask(rented.host.id, rented.pod.id, ask)
        stream.writer.write(frame(Kind.INPUT, b"yes") + frame(Kind.END))
        frames = await shown(stream)
    assert frames[-1] == (Kind.EXIT, Exited(code=3).model_dump_json().encode())
    assert {(Kind.OUTPUT, b"yes"), (Kind.ERRORS, b"no\n")} == set(frames[:-1])


async def test_a_shell_ends_when_its_reader_goes(market: Stage) -> None:
    async with a_rented_pod(market) as rented:
        rented.reach.lines[rented.pod.id] = []
        ask = Ask(kind="shell", words=("/bin/cat",))
        stream = await rented.gateway.tunnels.ask(rented.host.id, rented.pod.id, ask)
        stream.writer.write(frame(Kind.RESIZE, Size(columns=100, rows=30)))
        assert await read_frame(stream.reader) == (Kind.OUTPUT, b"100x30\n")
        stream.close()
        async with asyncio.timeout(60):
            await rented.reach.shells[0].closed.wait()


async def test_a_log_is_followed(market: Stage) -> None:
    async with a_rented_pod(market) as rented:
        lines = [LogLine(at=f"2026-08-01T12:00:0{n}Z", text=f"line {n}") for n in range(5)]
        rented.reach.lines[rented.pod.id] = lines
        ask = Ask(kind="logs", tail=2, follow=True)
        stream = await rented.gateway.tunnels.ask(rented.host.id, rented.pod.id, ask)
        found = [await read_frame(stream.reader) for _ in range(2)]
        rented.reach.more.put_nowait(lines[0])
        found.append(await read_frame(stream.reader))
        stream.close()
    texts = [LogLine.model_validate_json(payload).text for _, payload in found]
    assert texts == ["line 3", "line 4", "line 0"]


@pytest.mark.parametrize("kind", ["shell", "logs"])
async def test_what_the_agent_refuses_has_its_reason(market: Stage, kind: str) -> None:
    async with a_rented_pod(market) as rented:
        with pytest.raises(NothingThere, match="no container of pod nope runs here"):
            await rented.gateway.tunnels.ask(rented.host.id, "nope", Ask(kind=kind))


async def test_what_is_no_question_is_refused(market: Stage) -> None:
    async with a_rented_pod(market) as rented:
        stream = await rented.gateway.tunnels.open(rented.host.id, rented.pod.id, 0)
        stream.writer.write(frame(Kind.ASK, b"{"))
        kind, payload = await read_frame(stream.reader)
        stream.close()
    assert (kind, Answer.model_validate_json(payload).code) == (Kind.ANSWER, "invalid")


@pytest.mark.parametrize(
    "sent", [b"\x7f\0\0\0\0", b"\x05\xff\xff\xff\xff"], ids=["unknown kind", "too long"]
)
async def test_what_is_no_frame_is_refused(sent: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(sent)
    with pytest.raises(ValueError, match=r"frame|Kind"):
        await read_frame(reader)


@pytest.mark.parametrize(
    "line",
    ["", "ssh-rsa AAAA", "ssh-ed25519 short", "ssh-ed25519 " + "ü" * 68],
    ids=["none", "rsa", "short", "not ASCII"],
)
async def test_only_ed25519_keys_are_registered(market: Stage, line: str) -> None:
    host = await market.host()
    async with market.database.transaction() as tx:
        with pytest.raises(InvalidReport):
            await register_tunnel(tx, host.key, line)
        with pytest.raises(UnknownHost):
            await register_tunnel(tx, "host_wrong", line)

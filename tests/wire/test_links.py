"""Connections that carry tunnels: lean, and given up when the other machine has vanished."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh
import pytest

from puna.wire.links import VANISHED_S, make_lean, notice_silence
from puna.wire.tunnel import CIPHERS, KEEPALIVE_S, MISSES

KEY = asyncssh.generate_private_key("ssh-ed25519")


class Host(asyncssh.SSHServer):
    """Lets anybody in, and sends back what comes."""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        del username
        make_lean(self._connection)
        return False

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> asyncssh.SSHTCPSession[bytes]:
        del dest_host, dest_port, orig_host, orig_port
        return asyncssh.stream.SSHTCPStreamSession(_echo)


async def _echo(reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]) -> None:
    while piece := await reader.read(2**16):
        writer.write(piece)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def a_link(**changes: object) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Connect two lean ends."""
    options = {"server_host_keys": [KEY], "encryption_algs": CIPHERS, **changes}
    acceptor = await asyncssh.listen("127.0.0.1", 0, server_factory=Host, **options)
    async with acceptor:
        connection = await asyncssh.connect(
            "127.0.0.1", acceptor.get_port(), known_hosts=None, config=None, **changes
        )
        make_lean(connection)
        async with connection:
            yield connection


async def echoed(connection: asyncssh.SSHClientConnection, text: bytes) -> bytes:
    reader, writer = await connection.open_connection("a", 1)
    writer.write(text)
    writer.write_eof()
    return bytes(await reader.read())


@pytest.mark.parametrize("size", [1, 8192, 3_000_000])
async def test_bytes_arrive_as_they_were_sent(size: int) -> None:
    text = bytes(range(256)) * (size // 256 + 1)
    async with a_link() as link:
        assert await echoed(link, text[:size]) == text[:size]


async def test_many_streams_side_by_side_keep_their_own_bytes() -> None:
    texts = [bytes([number]) * 50_000 for number in range(50)]
    async with a_link() as link:
        assert await asyncio.gather(*(echoed(link, each) for each in texts)) == texts


async def test_new_keys_are_agreed_on_in_the_midst_of_it() -> None:
    text = bytes(2_000_000)
    async with a_link(rekey_bytes=100_000) as link:
        assert await asyncio.gather(*(echoed(link, text) for _ in range(3))) == [text] * 3


async def test_what_is_sent_at_once_goes_in_one_piece() -> None:
    pieces: list[bytes] = []

    class Line:
        ends = False

        def is_closing(self) -> bool:
            return self.ends

        def write(self, data: bytes) -> None:
            pieces.append(data)

        def set_protocol(self, protocol: object) -> None:
            del protocol

    class Connection:
        def __init__(self) -> None:
            self._transport, self._loop = Line(), asyncio.get_running_loop()

        def send_packet(self, kind: int, *words: bytes, handler: object = None) -> None:
            del handler
            self._send(bytes((kind,)) + b"".join(words))

        def _send(self, data: bytes) -> None:
            raise AssertionError(data)

        def data_received(self, data: bytes, kind: int | None = None) -> None:
            del kind
            pieces.append(data)

    connection = Connection()
    make_lean(connection)  # type: ignore[arg-type]  # of a connection it needs no more
    for kind in (2, 94, 2, 95):
        connection.send_packet(kind, b"x")
    await asyncio.sleep(0)
    assert pieces == [b"\x5ex\x5fx"]
    connection.send_packet(94, b"too late")
    connection._transport.ends = True
    await asyncio.sleep(0)
    assert len(pieces) == 1
    connection.data_received(bytes(20_000))
    assert [len(each) for each in pieces[1:]] == [8192, 8192, 20_000 - 2 * 8192]


async def test_a_machine_that_vanishes_is_given_up_within_half_a_minute() -> None:
    async with a_link() as link:
        notice_silence(link)
        line = link.get_extra_info("socket")
        asked = [
            line.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        ]
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert asked[0] + asked[1] * asked[2] == VANISHED_S
    assert asked[3] == VANISHED_S * 1000
    assert KEEPALIVE_S * (MISSES + 1) < 30


async def test_what_is_no_connection_over_a_network_is_left_alone() -> None:
    here, there = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=here)
    notice_silence(writer.transport)
    there.sendall(b"x")
    assert await reader.read(1) == b"x"
    writer.close()
    there.close()
    await writer.wait_closed()

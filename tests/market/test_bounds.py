"""What clients may not do at the gateway: wait, flood, guess; and what is noted of them."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from puna.units import Span
from tests.market.instant import MEMORY
from tests.market.podweb import CLOSED, OPEN, Front, a_front
from tests.market.test_client_side import a_pair

pytestmark = pytest.mark.asyncio(loop_scope="module")
_MOST = 12


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Front]:
    """One market for all tests of this file."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with a_front(
            Path(folder), most_clients=_MOST, rate_limit=5, access_log=True
        ) as opened:
            yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def front(shared: Front) -> AsyncIterator[Front]:
    """The time is another minute for each test, so that none is refused for another's sake."""
    shared.web.begin_anew()
    await shared.serving.world.advance(Span.of(seconds=70))
    proxy = shared.serving.gateway.connections.proxy
    usual = proxy.bounds
    yield shared
    proxy.bounds = usual


def set_bounds(front: Front, **seconds: float) -> None:
    proxy = front.serving.gateway.connections.proxy
    proxy.bounds = replace(proxy.bounds, **seconds)  # type: ignore[arg-type]  # of seconds


def request(front: Front, *, port: int = OPEN, more: str = "") -> bytes:
    return f"GET /a HTTP/1.1\r\nHost: {front.name(port)}\r\n{more}\r\n".encode()


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> bytes:
    """Ask for one answer with a length, and return its head."""
    writer.write(text)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return head


async def test_idle_connections_make_room_for_who_asks(front: Front) -> None:
    """And those that began a request and never end it, be it for a pod or for the market."""
    health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with AsyncExitStack() as stack:
        flood = []
        for number in range(_MOST + 20):
            reader, writer = await asyncio.open_connection(*front.address)
            stack.callback(writer.close)
            flood.append(reader)
            if number % 3 == 0:
                writer.write(request(front)[:-4])
        for text in (request(front), health):
            reader, writer = await asyncio.open_connection(*front.address)
            stack.callback(writer.close)
            assert (await asked(reader, writer, text)).startswith(b"HTTP/1.1 200")
        async with asyncio.timeout(10):
            for first in flood[:20]:
                assert await ended(first)
        assert len(front.serving.gateway.connections.crowd) <= _MOST


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def test_a_head_that_has_begun_has_to_end(front: Front) -> None:
    set_bounds(front, head_s=0.05)
    reader, writer = await asyncio.open_connection(*front.address)
    await asked(reader, writer, request(front))
    writer.write(request(front)[:-4])
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_a_connection_on_which_nothing_is_asked_is_ended(front: Front) -> None:
    set_bounds(front, idle_s=0.05)
    reader, writer = await asyncio.open_connection(*front.address)
    await asked(reader, writer, request(front))
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("framing", ["Content-Length: 9", "Transfer-Encoding: chunked"])
async def test_a_body_has_to_go_on(front: Front, framing: str) -> None:
    set_bounds(front, body_s=0.05)
    text = f"POST / HTTP/1.1\r\nHost: {front.name(OPEN)}\r\n{framing}\r\n\r\n1"
    received = await front.raw(text.encode())
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"nothing of the body came" in received
    assert front.serving.gateway.upstreams.in_use == 0


async def test_who_takes_nothing_is_given_up() -> None:
    async with a_pair() as pair:
        side = pair.side
        side._unread_s = 0.05
        side.write(bytes(16 * 2**20))
        with pytest.raises(ConnectionResetError):
            await side.drain()
        assert side.is_closing()


async def test_who_takes_a_little_now_and_then_is_not() -> None:
    async with a_pair() as pair:
        pair.side._unread_s = 0.3
        pair.side.write(bytes(16 * 2**20))
        waiting = asyncio.ensure_future(pair.side.drain())
        while not waiting.done():
            await pair.reader.read(2**17)
        assert waiting.exception() is None


async def test_who_guesses_tickets_of_terminals_is_asked_to_wait(front: Front) -> None:
    url, found = front.serving.url, []
    head = (
        f"GET /terminal/{front.pod.id}/socket HTTP/1.1\r\nHost: {url.partition('//')[2]}\r\n"
        f"X-Forwarded-For: 203.0.113.77\r\nOrigin: {url}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {'A' * 22}==\r\nSec-WebSocket-Protocol: ticket.guess\r\n\r\n"
    )
    for _ in range(8):
        answer = await front.raw(head.encode())
        found.append(int(answer.split()[1]))
    assert found == [401] * 5 + [429] * 3
    assert (await front.ask("/", key=front.key)).status == 200


async def test_who_guesses_keys_is_asked_to_wait_and_nobody_else(front: Front) -> None:
    assert (await front.ask("/", key=front.key)).status == 200
    guesses = [f"rpa_{number:064x}" for number in range(8)]
    found = [(await front.ask("/", key=guess)).status for guess in guesses]
    assert found == [401] * 5 + [429] * 3
    waits = await front.ask("/", key="rpa_x")
    assert (waits.json["code"], waits.headers["Retry-After"]) == ("too_many_refused", "12")
    assert (await front.ask("/", key=front.key)).status == 200
    assert (await front.ask("/", port=OPEN)).status == 200
    elsewhere = {"X-Forwarded-For": "1.2.3.4, 5.6.7.8"}
    assert (await front.ask("/", headers=elsewhere)).status == 401
    await front.serving.world.advance(Span.of(seconds=13))
    assert (await front.ask("/", key=guesses[0])).status == 401


async def test_pods_are_noted_without_paths_queries_and_keys(front: Front) -> None:
    await front.ask("/private?q=secret", key=front.key)
    await front.ask("/private?q=secret", headers={"X-Forwarded-For": "2.2.2.2"})
    await front.send("GET", "/s/nothing/private?q=secret", {"X-Forwarded-For": "2.2.2.2"})
    settings = front.serving.market.settings
    text = (settings.home / "access.log").read_text()
    lines = [line.split()[2:5] + line.split()[6:] for line in text.splitlines()[-3:]]
    place = f"{front.pod.id}:{CLOSED}"
    prefix = front.key[:8]
    assert lines[0][:3] == ["GET", place, "200"]
    assert lines[0][3].startswith(f"key={prefix[:4]}")
    assert lines[1:] == [["GET", place, "401", "key=-"], ["GET", "(share)", "404", "key=-"]]
    assert not any(word in text for word in ("private", "secret", front.key))
    assert front.serving.market.tally.requests["GET", "(pods)", 200] > 0


@pytest.mark.parametrize(
    "more",
    [
        "".join(f"X-{number}: x\r\n" for number in range(201)),
        "Content-Length: 3\r\nContent-Length: 3\r\nX-Y : z\r\n",
        "X: a\r\n folded\r\n",
    ],
    ids=["201 headers", "a space before a colon", "folded"],
)
async def test_what_the_gateway_cannot_read_nobody_reads(front: Front, more: str) -> None:
    """Or a page of a pod would reach the market's own paths beside all of its limits."""
    text = f"GET /health HTTP/1.1\r\nHost: {front.name(OPEN)}\r\nConnection: close\r\n{more}\r\n"
    received = await front.raw(text.encode())
    assert received.split()[1] in {b"400", b"421"}
    assert b"ok" not in received
    assert front.web.asked == []


# What a hostile pod answers


async def answer_of(front: Front, *pieces: bytes, holds: bool = False) -> bytes:
    """Return what a client gets of a pod that sends this and closes, or holds the connection."""

    async def hostile(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if holds:
                await reader.read()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(hostile, "127.0.0.1", 0)
    port = front.reach.ports[front.pod.id, OPEN]
    front.reach.ports[front.pod.id, OPEN] = server.sockets[0].getsockname()[1]
    front.serving.gateway.upstreams.close()  # none that leads to the usual server
    try:
        return await front.raw(request(front, more="Connection: close\r\n"))
    finally:
        front.reach.ports[front.pod.id, OPEN] = port
        server.close()
        front.serving.gateway.upstreams.close()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"y" * 60_000 + b"\r\n"] * 100],
        [b"HTTP/1.1 200 OK\r\nX: ", *[b"y" * 2**16] * 100],
        [b"HTTP/1.1 100 Continue\r\n\r\n"] * 1000,
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"] * 1000,
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\rX: y\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n"],
        [],
    ],
    ids=["headers", "header", "continue", "unasked", "framings", "return", "half", "nothing"],
)
async def test_what_is_no_answer_is_502_and_takes_no_memory(
    front: Front, pieces: list[bytes]
) -> None:
    received = await answer_of(front, *pieces)
    assert received.startswith(b"HTTP/1.1 502 ")
    assert b"bad_answer" in received
    assert front.serving.gateway.upstreams.in_use == 0


async def test_an_answer_that_is_cut_short_ends_short(front: Front) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    assert (await answer_of(front, head, b"half")).endswith(b"\r\n\r\nhalf")


async def test_what_a_pod_sends_behind_its_answer_is_nobodys(front: Front) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    received = await answer_of(front, answer * 2, holds=True)
    assert received.count(b"HTTP/1.1") == 1


async def test_a_pod_takes_no_cookie_for_its_neighbours(front: Front) -> None:
    cookies = b"Set-Cookie: a=b; Domain=localhost; Path=/\r\nSet-Cookie: puna_share=x\r\n"
    received = await answer_of(front, b"HTTP/1.1 204 No\r\n" + cookies + b"\r\n")
    assert b"set-cookie: a=b; Path=/\r\n" in received
    assert b"puna_share" not in received
    assert b"Domain" not in received


@pytest.mark.parametrize(
    "sent",
    [
        {"Forwarded": "for=6.6.6.6"},
        {"X-Real-IP": "6.6.6.6"},
        {"X_Forwarded_For": "6.6.6.6"},
        {"X-Forwarded-Client-Cert": "6.6.6.6"},
    ],
    ids=lambda sent: next(iter(sent)),
)
async def test_who_called_is_said_by_the_gateway_alone(front: Front, sent: dict[str, str]) -> None:
    told = (await front.ask("/", port=OPEN, headers=sent)).json["headers"]
    assert "6.6.6.6" not in str(told)


async def test_a_request_keeps_its_host_whatever_is_named_as_between_neighbours(
    front: Front,
) -> None:
    sent = {"Connection": "Host, X-Forwarded-For, X-Own", "X-Own": "1"}
    told = (await front.ask("/", port=OPEN, headers=sent)).json["headers"]
    assert told["host"] == front.name(OPEN)
    assert told["x-forwarded-for"] == "127.0.0.1"
    assert "x-own" not in told


@pytest.mark.parametrize("host", ["{}.", "{}:99", "{}:99999"])
async def test_a_host_may_have_a_port_and_a_dot(front: Front, host: str) -> None:
    name = host.format(front.name(OPEN).upper())
    assert (await front.send("GET", "/", {"Host": name})).status == 200


@pytest.mark.parametrize(
    "host", ["{}:", "{}:x", "x.{}", "{}.evil.net", "{}@x", "{}%2e", "{}/", "xn--{}", "{}, {}"]
)
async def test_other_hosts_lead_to_no_pod(front: Front, host: str) -> None:
    name = host.format(front.name(OPEN), front.name(OPEN))
    reply = await front.send("GET", "/", {"Host": name})
    assert reply.status in {400, 403, 404, 421}
    assert front.web.asked == []

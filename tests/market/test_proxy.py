"""Pods' HTTP ports through the gateway: what arrives, what comes back, who may."""

import asyncio
import io
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from puna.market.actions.accounts import make_pod_key
from tests.market.instant import MEMORY
from tests.market.podweb import CLOSED, OPEN, Front, a_front

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Front]:
    """One market for all tests of this file: none of them changes it."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with a_front(Path(folder)) as opened:
            yield opened


@pytest.fixture
def front(shared: Front) -> Front:
    shared.web.begin_anew()
    return shared


async def test_a_request_arrives_as_it_was_sent(front: Front) -> None:
    reply = await front.ask("/a/b?c=%20d", key=front.key, method="PUT", data=b"rows")
    told = reply.json
    assert reply.status == 200
    assert (told["method"], told["target"], told["body"]) == ("PUT", "/a/b?c=%20d", "rows")
    assert told["headers"]["host"] == front.name()
    assert told["headers"]["content-length"] == "4"


async def test_a_pod_is_told_who_called_and_how(front: Front) -> None:
    told = (await front.ask("/", key=front.key)).json["headers"]
    assert told["x-forwarded-for"] == "127.0.0.1"
    assert told["x-forwarded-proto"] == "http"
    assert told["x-forwarded-host"] == front.name()


async def test_by_path_the_pod_is_told_what_is_before_it(front: Front) -> None:
    path = f"/p/{front.pod.id}/{CLOSED}"
    reply = await front.send("GET", f"{path}/a?b", {"Authorization": f"Bearer {front.key}"})
    assert reply.json["target"] == "/a?b"
    assert reply.json["headers"]["x-forwarded-prefix"] == path


async def test_by_path_the_missing_slash_is_added(front: Front) -> None:
    path = f"/p/{front.pod.id}/{OPEN}"
    reply = await front.send("GET", f"{path}?x=1", {})
    assert (reply.status, reply.headers["Location"]) == (303, f"{path}/?x=1")


async def test_many_requests_share_a_connection_and_a_stream(front: Front) -> None:
    replies = [await front.ask(f"/{n}", port=OPEN) for n in range(20)]
    assert [reply.json["target"] for reply in replies] == [f"/{n}" for n in range(20)]


async def test_requests_for_the_market_and_for_pods_take_turns_on_a_connection(
    front: Front,
) -> None:
    pod = f"GET /pod HTTP/1.1\r\nHost: {front.name(OPEN)}\r\n\r\n"
    market = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection(*front.address)
    for text, sign in ((market, b"ok"), (pod, b"/pod"), (market, b"ok"), (pod, b"/pod")):
        writer.write(text.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert sign in await reader.readexactly(length)
    writer.write(last.encode())
    assert b"200 OK" in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_a_market_request_sent_along_behind_a_pods_is_answered(front: Front) -> None:
    pod = f"GET /pod HTTP/1.1\r\nHost: {front.name(OPEN)}\r\n\r\n"
    market = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    received = await front.raw((pod + market).encode())
    assert received.index(b"/pod") < received.index(b'"status":"ok"')


async def test_a_large_body_goes_up_and_down(front: Front) -> None:
    body = bytes(range(256)) * 5000
    reply = await front.ask("/", key=front.key, method="POST", data=io.BytesIO(body))
    assert reply.json["body"].encode("latin-1") == body


async def test_a_body_in_chunks_goes_up(front: Front) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for part in (b"one", b"two" * 100_000, b"three"):
            yield part

    reply = await front.ask("/", key=front.key, method="POST", data=parts())
    assert len(reply.json["body"]) == 3 + 300_000 + 5
    assert reply.json["headers"]["transfer-encoding"] == "chunked"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_body_behind_an_upgrade_is_no_second_request(front: Front, method: str) -> None:
    """The next who asks the pod would be given the answer to it."""
    second = f"GET /smuggled HTTP/1.1\r\nHost: {front.name(OPEN)}\r\n\r\n"
    received = await front.raw(
        f"{method} / HTTP/1.1\r\nHost: {front.name(OPEN)}\r\nConnection: Upgrade, close\r\n"
        f"Upgrade: websocket\r\nContent-Length: {len(second)}\r\n\r\n{second}".encode()
    )
    told = json.loads(received.partition(b"\r\n\r\n")[2])
    assert (told["body"], "upgrade" in told["headers"]) == (second, False)
    assert front.web.asked == ["/"]


async def test_a_client_that_asks_first_is_told_to_go_on(front: Front) -> None:
    head = f"POST / HTTP/1.1\r\nHost: {front.name(OPEN)}\r\nContent-Length: 2\r\n"
    reader, writer = await asyncio.open_connection(*front.address)
    writer.write(f"{head}Expect: 100-continue\r\nConnection: close\r\n\r\n".encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"hi")
    assert b'"body": "hi"' in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_an_answer_streams_while_it_is_made(front: Front) -> None:
    headers = {"Host": front.name(OPEN)}
    async with front.serving.session.get(f"{front.serving.url}/stream", headers=headers) as reply:
        assert await reply.content.readexactly(3) == b"one"
        front.web.gate.set()
        assert await reply.content.read() == b"two"


async def test_a_pod_learns_that_its_client_has_gone(front: Front) -> None:
    headers = {"Host": front.name(OPEN)}
    async with front.serving.session.get(f"{front.serving.url}/stream", headers=headers) as reply:
        assert await reply.content.readexactly(3) == b"one"
        reply.close()
    async with asyncio.timeout(60):
        await front.web.gone.wait()


@pytest.mark.parametrize("status", [204, 304, 404, 500, 299])
async def test_the_pods_status_is_the_clients(front: Front, status: int) -> None:
    assert (await front.ask(f"/say?status={status}", port=OPEN)).status == status


async def test_head_has_the_length_and_no_body(front: Front) -> None:
    reply = await front.ask("/anything", port=OPEN, method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["Content-Length"]) > 0


async def test_an_old_client_gets_an_answer_that_ends_with_its_connection(front: Front) -> None:
    front.web.gate.set()
    received = await front.raw(f"GET /stream HTTP/1.0\r\nHost: {front.name(OPEN)}\r\n\r\n".encode())
    assert received.endswith(b"\r\n\r\nonetwo")
    assert b"chunked" not in received


async def test_websockets_pass_both_ways(front: Front) -> None:
    url = f"{front.serving.url}/socket"
    headers = {"Host": front.name(), "Authorization": f"Bearer {front.key}"}
    async with front.serving.session.ws_connect(url, headers=headers, protocols=["chat"]) as line:
        assert line.protocol == "chat"
        await line.send_str("hello")
        assert await line.receive_str() == "hello!"
        await line.send_bytes(b"x" * 1_000_000)
        assert await line.receive_bytes() == b"x" * 1_000_000
    async with asyncio.timeout(60):
        await front.web.gone.wait()


async def test_a_websocket_needs_a_key_that_may_write(front: Front) -> None:
    url = f"{front.serving.url}/socket"
    for key, status in ((front.reading_key, 403), (front.stranger, 404), ("", 401)):
        headers = {"Host": front.name(), "Authorization": f"Bearer {key}"}
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await front.serving.session.ws_connect(url, headers=headers)
        assert caught.value.status == status


# Who may call


@pytest.mark.parametrize(
    "header",
    [
        {"Authorization": "Bearer {}"},
        {"Authorization": "{}"},
        {"Puna-Key": "{}"},
        {"X-Api-Key": "{}"},
    ],
    ids=["bearer", "bare", "ours", "of Anthropic's clients"],
)
async def test_a_key_lets_in_and_goes_no_further(front: Front, header: dict[str, str]) -> None:
    sent = {name: value.format(front.key) for name, value in header.items()}
    reply = await front.ask("/", headers=sent)
    assert reply.status == 200
    assert front.key not in reply.body.decode()


async def test_the_pods_own_authorization_reaches_it_beside_ours(front: Front) -> None:
    sent = {"Puna-Key": front.key, "Authorization": "Bearer of-the-pod"}
    told = (await front.ask("/", headers=sent)).json["headers"]
    assert told["authorization"] == "Bearer of-the-pod"
    assert "puna-key" not in told


async def test_no_key_of_the_market_reaches_an_open_port_either(front: Front) -> None:
    sent = {"Authorization": f"Bearer {front.key}", "X-Other": f"key={front.key}"}
    told = (await front.ask("/", port=OPEN, headers=sent)).json["headers"]
    assert "authorization" not in told
    assert "x-other" not in told


async def test_a_key_in_the_address_is_refused(front: Front) -> None:
    reply = await front.ask(f"/?api_key={front.key}", port=OPEN)
    assert reply.status == 400
    assert front.web.asked == []


async def test_a_closed_port_needs_a_key(front: Front) -> None:
    reply = await front.ask("/")
    assert (reply.status, reply.json["code"]) == (401, "key_needed")
    assert "Puna-Key" in reply.json["hint"]
    assert front.web.asked == []


async def test_without_a_key_no_one_learns_which_pods_there_are(front: Front) -> None:
    there = await front.send("GET", "/", {"Host": front.name()})
    nowhere = await front.send("GET", "/", {"Host": front.name(pod="nosuchpod00000")})
    assert there.status == nowhere.status == 401
    assert there.json["error"].replace(front.pod.id, "") == nowhere.json["error"].replace(
        "nosuchpod00000", ""
    )


async def test_another_accounts_key_finds_no_pod(front: Front) -> None:
    reply = await front.ask("/", key=front.stranger)
    assert (reply.status, reply.json["code"]) == (404, "no_such_pod")


@pytest.mark.parametrize(("lies_in", "status"), [("", 200), ("x" * 14, 403)])
async def test_the_key_in_a_pod_leads_to_that_pod_alone(
    front: Front, lies_in: str, status: int
) -> None:
    world, account = front.serving.world, front.caller.account.id
    async with front.serving.database.transaction() as tx:
        key = await make_pod_key(tx, world, account, lies_in or front.pod.id)
    assert (await front.ask("/", key=key)).status == status


async def test_a_key_that_is_none_lets_nobody_in(front: Front) -> None:
    assert (await front.ask("/", key=f"rpa_{'0' * 64}")).status == 401


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 403)])
async def test_a_reading_key_reads(front: Front, method: str, status: int) -> None:
    assert (await front.ask("/", key=front.reading_key, method=method)).status == status


async def test_ports_that_were_not_named_are_none(front: Front) -> None:
    for port in (22, 9999):
        reply = await front.ask("/", port=port, key=front.key)
        assert reply.status == 404
        assert "80, 8888" in reply.json["error"]


# Tricks


SMUGGLED = [
    b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    b"POST / HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"GET / HTTP/1.1\r\nHost: %b\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: %b\r\nX: a\nY: b\r\n\r\n",
    b"GET http://localhost/ HTTP/1.1\r\nHost: %b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: %b@localhost\r\n\r\n",
]


@pytest.mark.parametrize("text", SMUGGLED)
async def test_smuggled_requests_reach_no_pod(front: Front, text: bytes) -> None:
    received = await front.raw(text % front.name(OPEN).encode(), patience_s=0.2)
    assert not received.startswith(b"HTTP/1.1 2")
    assert front.web.asked == []


async def test_a_body_that_holds_a_request_is_a_body(front: Front) -> None:
    inner = f"GET /inner HTTP/1.1\r\nHost: {front.name(OPEN)}\r\n\r\n"
    head = f"POST /outer HTTP/1.1\r\nHost: {front.name(OPEN)}\r\nContent-Length: {len(inner)}"
    await front.raw(f"{head}\r\nConnection: close\r\n\r\n{inner}".encode())
    assert front.web.asked == ["/outer"]


async def test_a_refused_requests_body_is_never_taken_for_a_request(front: Front) -> None:
    inner = f"GET /inner HTTP/1.1\r\nHost: {front.name(OPEN)}\r\n\r\n"
    head = f"POST / HTTP/1.1\r\nHost: {front.name()}\r\nContent-Length: {len(inner)}\r\n\r\n"
    received = await front.raw((head + inner).encode())  # it closes the connection
    assert received.startswith(b"HTTP/1.1 401")
    assert front.web.asked == []


async def test_dots_in_a_path_lead_to_no_other_pod(front: Front) -> None:
    path = f"/p/{front.pod.id}/{OPEN}/../../nosuchpod00000/80/x"
    received = await front.raw(
        f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    )
    assert b'"target": "/../../nosuchpod00000/80/x"' in received


async def test_only_a_websocket_is_an_upgrade(front: Front) -> None:
    sent = {"Connection": "Upgrade", "Upgrade": "h2c", "HTTP2-Settings": "AAA"}
    told = (await front.ask("/", port=OPEN, headers=sent)).json["headers"]
    assert "upgrade" not in told


async def test_what_a_client_says_of_itself_is_believed_from_this_machine_alone(
    front: Front,
) -> None:
    sent = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "x"}
    told = (await front.ask("/", port=OPEN, headers=sent)).json["headers"]
    assert told["x-forwarded-for"] == "9.9.9.9, 127.0.0.1"  # a proxy on this machine may say so
    assert told["x-forwarded-proto"] == "https"
    assert told["x-forwarded-host"] == front.name(OPEN)


@pytest.mark.parametrize("text", [b"x" * 100_000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000])
async def test_a_head_without_end_is_refused(front: Front, text: bytes) -> None:
    assert (await front.raw(text)).startswith(b"HTTP/1.1 4")

"""What stands before every route: names, origins, sizes, times, and how much a key may ask."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from fastapi import APIRouter, Request
from starlette.types import Message, Receive, Scope, Send

from puna.errors import PunaError
from puna.market.http.auth import Renter
from puna.market.http.guard import Guard, rules_of
from puna.market.http.limits import Limits, TooMany
from puna.market.settings import load_market_settings
from puna.units import Size, Span
from tests.market.serving import MarketServing, Reply, market_serving
from tests.worlds import FakeWorld, becomes

WHO = "/test/who"
router = APIRouter()
held = asyncio.Event()
holding: list[int] = []


@router.api_route(WHO, methods=["GET", "POST"])
async def who(caller: Renter) -> str:
    return caller.account.email


@router.post("/agent/v1/test")
@router.post("/test/take")
async def take(request: Request) -> int:
    return len(await request.body())


@router.get("/test/hold/{secret}")
async def hold(caller: Renter, secret: str) -> None:
    del caller, secret
    holding.append(1)
    await held.wait()


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    global held  # noqa: PLW0603 - an event belongs to one loop, and each test has its own
    held = asyncio.Event()
    holding.clear()
    async with market_serving(
        tmp_path,
        extra=router,
        rate_limit=5,
        most_connections=2,
        body_limit=Size(1000),
        access_log=True,
        origins=("https://console.example.org",),
        domain="pods.example.org",
        hosts=("market.example.org",),
    ) as market:
        yield market


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:99", 200),
        ("market.example.org", 200),
        ("MARKET.example.org:443", 200),
        ("evil.example.net", 403),
        ("market.example.org.evil.net", 403),
        ("market.example.org/x", 403),
        ("127.0.0.1@evil.net", 403),
    ],
)
async def test_only_names_of_the_market_lead_to_it(
    serving: MarketServing, host: str, status: int
) -> None:
    assert (await serving.ask("GET", "/health", host=host)).status == status


async def test_two_hosts_are_refused(serving: MarketServing) -> None:
    answer = await raw(
        serving, b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.net\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://console.example.org", 200),
        ("https://console.example.org.evil.net", 403),
        ("http://localhost", 403),
        ("null", 403),
    ],
)
async def test_only_pages_that_may_call(serving: MarketServing, origin: str, status: int) -> None:
    reply = await serving.ask("GET", "/health", origin=origin)
    assert reply.status == status
    assert (reply.headers.get("Access-Control-Allow-Origin") == origin) is (status == 200)


async def test_a_page_may_ask_before(serving: MarketServing) -> None:
    asked = {"origin": "https://console.example.org", "access_control_request_method": "POST"}
    reply = await serving.ask("OPTIONS", "/v2/pods", None, **asked)
    assert reply.status == 204
    assert "Authorization" in reply.headers["Access-Control-Allow-Headers"]


async def test_a_body_that_is_too_large_is_refused_by_its_claim(serving: MarketServing) -> None:
    reply = await serving.ask("POST", "/test/take", "x" * 1000)
    assert (reply.status, reply.json["code"]) == (413, "body_too_large")
    assert (await serving.ask("POST", "/test/take", "x" * 900)).json == 902


async def test_agents_may_measure_their_line(serving: MarketServing) -> None:
    assert (await serving.ask("POST", "/agent/v1/test", "x" * 900_000)).json == 900_002
    head = b"POST /agent/v1/test HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n"
    assert (await raw(serving, head)).startswith(b"HTTP/1.1 413")


async def test_and_where_it_claims_nothing(serving: MarketServing) -> None:
    piece = b"400\r\n" + b"x" * 1024 + b"\r\n"
    head = b"POST /test/take HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await raw(serving, head + piece * 3)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"body_too_large" in answer


async def raw(serving: MarketServing, message: bytes) -> bytes:
    """Send bytes and return what comes first."""
    place = urlsplit(serving.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(message)
    answer = await reader.read(2000)
    writer.close()
    await writer.wait_closed()
    return answer


async def asked(serving: MarketServing, key: str, times: int) -> list[Reply]:
    return [await serving.ask("GET", WHO, key=key) for _ in range(times)]


async def test_a_key_that_asks_too_often_waits(serving: MarketServing) -> None:
    ann, bob = await serving.key("ann@example.org"), await serving.key("bob@example.org")
    await asked(serving, ann, 1)
    statuses = [reply.status for reply in await asked(serving, ann, 6)]
    assert statuses == [200] * 5 + [429]
    assert [reply.status for reply in await asked(serving, bob, 3)] == [200] * 3
    await serving.world.advance(Span.of(seconds=61))
    assert [reply.status for reply in await asked(serving, ann, 3)] == [200] * 3


async def test_what_is_left_is_told_as_runpod_tells_it(serving: MarketServing) -> None:
    ann = await serving.key("ann@example.org")
    first, second = await asked(serving, ann, 2)
    assert first.headers["RateLimit-Policy"] == '"minute";q=5;w=60'
    assert second.headers["RateLimit"] == '"minute";r=4;t=12'
    (*_, last) = await asked(serving, ann, 5)
    assert (last.status, last.headers["Retry-After"]) == (429, "12")


async def test_made_up_keys_are_limited_by_their_address(serving: MarketServing) -> None:
    replies = [await serving.ask("GET", WHO, key=f"rpa_{number}") for number in range(7)]
    assert [reply.status for reply in replies] == [401] * 5 + [429] * 2


async def test_a_key_holds_so_many_requests_open(serving: MarketServing) -> None:
    ann = await serving.key("ann@example.org")
    await asked(serving, ann, 1)
    open_ = [asyncio.create_task(serving.ask("GET", "/test/hold/1", key=ann)) for _ in range(2)]
    await becomes(lambda: len(holding) == 2)
    assert (await serving.ask("GET", WHO, key=ann)).status == 429
    held.set()
    assert [each.status for each in await asyncio.gather(*open_)] == [200, 200]
    assert (await serving.ask("GET", WHO, key=ann)).status == 200


async def test_every_answer_has_a_number(serving: MarketServing) -> None:
    paths = ("/health", "/v2/nothing", WHO)
    numbers = {(await serving.ask("GET", path)).headers["X-Request-Id"] for path in paths}
    assert len(numbers) == 3


async def test_the_log_says_what_was_asked_and_no_secret(
    serving: MarketServing, tmp_path: Path
) -> None:
    ann = await serving.key("ann@example.org")
    held.set()
    await serving.ask("GET", "/test/hold/a-name?token=s3cret", key=ann)
    await serving.ask("GET", "/nothing/s3cret", key="rpa_wrong")
    log = tmp_path / "access.log"
    await becomes(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
    first, second = log.read_text().splitlines()
    assert " GET /test/hold/{secret} 200 " in first
    assert first.endswith(f"key={ann[:8]}")
    assert " GET (other) 404 " in second
    assert not [word for word in ("s3cret", "a-name", ann, "wrong") if word in log.read_text()]


async def test_requests_are_counted(serving: MarketServing) -> None:
    await serving.ask("GET", "/health")
    await serving.ask("PROPFIND", "/health")
    counted = serving.market.tally.requests
    await becomes(lambda: sum(counted.values()) == 2)
    assert counted["GET", "/health", 200] == 1
    assert {method for method, _, _ in counted} == {"GET", "OTHER"}


def test_limits_forget_what_is_over() -> None:
    limits = Limits(FakeWorld(), per_minute=0, at_once=1)
    limits.trust("key")
    name = limits.name_of("key", "1.2.3.4")
    assert name != limits.name_of("other", "1.2.3.4") == limits.name_of("", "1.2.3.4")
    assert limits.begin(name) is None
    with pytest.raises(TooMany):
        limits.begin(name)
    limits.end(name)
    limits.begin(name)


def test_a_market_of_everybody_has_any_name_until_it_has_one() -> None:
    nameless = load_market_settings({"PUNA_MARKET_ADDRESS": "0.0.0.0:1"})
    assert not rules_of(nameless).checks_host
    named = load_market_settings(
        {"PUNA_MARKET_ADDRESS": "0.0.0.0:1", "PUNA_MARKET_PUBLIC_ADDRESS": "https://a.example.org"}
    )
    assert rules_of(named).checks_host
    assert rules_of(named).allows_host("a.example.org")
    assert not rules_of(named).allows_host("b.example.org")


def test_a_refusal_speaks_the_dialect_of_its_path() -> None:
    error: PunaError = TooMany("enough", wait_s=3)
    assert error.status == 429
    assert json.dumps(error.message) == '"enough"'


async def test_a_body_that_drips_in_ends_in_time(serving: MarketServing) -> None:
    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, send
        while (await receive())["type"] != "http.disconnect":
            pass

    async def drips() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost")]
    scope = {"type": "http", "method": "POST", "path": "/v2/pods", "headers": headers}
    guard = Guard(reads, serving.market, body_within=Span.of(ms=100))
    await guard({**scope, "query_string": b"", "scheme": "http"}, drips, send)
    assert sent[0]["status"] == 408
    assert b"did not come within 100ms" in sent[1]["body"]

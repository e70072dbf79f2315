"""A pod's logs as server-sent events: the last lines, what comes, and what was missed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from puna.market.db import pods as db
from puna.market.domain.loglines import Line, Source, apart
from puna.market.gateway.tunnels import HostAway, Stream
from puna.market.http.auth import caller_of
from puna.market.http.container_log import container_log
from puna.market.http.rest_v2.logs import Asked, Follower, event, events
from puna.units import Span
from puna.wire.tunnel import Ask, Kind, LogLine, frame
from tests.market.lots import CARD
from tests.market.serving import MarketServing, market_serving
from tests.worlds import becomes, settle

BODY = {"name": "n", "image": "img:1", "gpu": {"id": CARD}, "cloud": "COMMUNITY"}
AT = datetime(2026, 11, 24, 2, 0, 41, 120_000, tzinfo=UTC)


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as market:
        yield market


async def a_pod(serving: MarketServing) -> tuple[str, str]:
    """Return a key and the path of the logs of a pod."""
    key = await serving.key("ann@example.org", "5")
    await serving.host()
    reply = await serving.ask("POST", "/v2/pods", BODY, key=key)
    return key, f"/v2/pods/{reply.json['id']}/logs"


async def stop(serving: MarketServing, key: str, path: str) -> None:
    """Stop the pod, after which its stream has an end."""
    await serving.tick()
    action = path.replace("/logs", "/action")
    reply = await serving.ask("POST", action, {"action": "stop"}, key=key)
    assert reply.status == 200


async def say(serving: MarketServing, path: str, *texts: str) -> None:
    async with serving.database.transaction() as tx:
        for text in texts:
            await db.say(tx, path.split("/")[3], text, serving.world.now())


def told(body: bytes) -> list[dict[str, Any]]:
    """Return the payloads of events, each of which has its own moment as its id."""
    blocks = [each for each in body.decode().split("\n\n") if each and not each.startswith(":")]
    found = []
    for block in blocks:
        number, payload = block.split("\n")
        found.append(json.loads(payload.removeprefix("data: ")))
        assert number == f"id: {found[-1]['ts']}"
    return found


def texts(body: bytes) -> list[str]:
    return [each["line"] for each in told(body)]


async def test_a_stopped_pods_log_is_told_to_its_end(serving: MarketServing) -> None:
    key, path = await a_pod(serving)
    await stop(serving, key, path)
    reply = await serving.ask("GET", path, key=key)
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    lines = texts(reply.body)
    assert lines[0] == "rented by ann@example.org"
    assert lines[-1] == "stop asked for by ann@example.org"
    assert {each["source"] for each in told(reply.body)} == {"system"}


async def test_only_the_last_lines_are_told_if_so_asked(serving: MarketServing) -> None:
    key, path = await a_pod(serving)
    await stop(serving, key, path)
    everything = texts((await serving.ask("GET", path, key=key)).body)
    for tail in (0, 1, 2, 5000):
        reply = await serving.ask("GET", f"{path}?tail={tail}&source=system", key=key)
        assert texts(reply.body) == everything[len(everything) - min(tail, len(everything)) :]


async def test_whoever_was_cut_off_misses_nothing_and_gets_nothing_twice(
    serving: MarketServing,
) -> None:
    key, path = await a_pod(serving)
    await say(serving, path, *(f"line {number}" for number in range(20)))
    await stop(serving, key, path)
    everything = told((await serving.ask("GET", path, key=key)).body)
    for place in (0, 5, len(everything) - 1):
        rest = await serving.ask("GET", path, key=key, Last_Event_ID=everything[place]["ts"])
        assert told(rest.body) == everything[place + 1 :]


async def test_since_a_moment_includes_it_and_an_id_wins(serving: MarketServing) -> None:
    key, path = await a_pod(serving)
    await stop(serving, key, path)
    everything = told((await serving.ask("GET", path, key=key)).body)
    since = f"{path}?since={quote(everything[2]['ts'])}"
    assert told((await serving.ask("GET", since, key=key)).body) == everything[2:]
    last = await serving.ask("GET", since, key=key, Last_Event_ID=everything[-1]["ts"])
    assert told(last.body) == []


async def test_what_happens_is_told_while_it_happens(serving: MarketServing) -> None:
    key, path = await a_pod(serving)
    before = serving.world.sleepers
    reading = asyncio.create_task(serving.ask("GET", f"{path}?tail=0", key=key))
    await becomes(lambda: serving.world.sleepers > before)
    await say(serving, path, "pulling: 40%")
    await stop(serving, key, path)
    await serving.world.advance(Span.of(seconds=1))
    lines = texts((await reading).body)
    assert lines[0] == "pulling: 40%"
    assert lines[-1] == "stop asked for by ann@example.org"


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("tail=5001", "$.tail: maximum: got 5001, want 5000"),
        ("tail=-1", "$.tail: minimum: got -1, want 0"),
        ("tail=x", "$.tail: got string, want integer"),
        ("source=all", "value must be one of 'container', 'system'"),
        ("since=yesterday", "$.since: "),
        ("since=2026-11-24T02:00:00", "$.since: "),
    ],
)
async def test_what_cannot_be_asked_for_is_422(
    serving: MarketServing, query: str, problem: str
) -> None:
    key, path = await a_pod(serving)
    reply = await serving.ask("GET", f"{path}?{query}", key=key)
    assert reply.status == 422
    assert problem in reply.json["errors"][0]


class Silent:
    """The half of a stream on which the gateway says nothing."""

    def write(self, data: bytes, /) -> None:
        raise AssertionError(data)

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    async def drain(self) -> None:
        pass


@dataclass
class Container:
    """A container whose lines a test writes, and the questions that its host was asked."""

    lines: list[LogLine]
    asked: list[Ask] = field(default_factory=list)
    breaks: int = 0
    """How often the host cannot be reached at first."""

    async def ask(self, pod: str, ask: Ask) -> Stream:
        assert pod == "p"
        self.asked.append(ask)
        if self.breaks:
            self.breaks -= 1
            raise HostAway("the host is away")
        reader = asyncio.StreamReader()
        for line in self.lines:
            if line.at >= ask.since:
                reader.feed_data(frame(Kind.LINE, line))
        reader.feed_eof()
        return Stream(reader, Silent())


def wrote(second: int, text: str) -> LogLine:
    return LogLine(at=f"2026-11-24T02:00:{second:02}.123456789Z", text=text)


async def test_what_a_container_wrote_is_read_to_its_end() -> None:
    container = Container([wrote(1, "a"), wrote(2, "b")])
    async with container_log(container.ask, "p", None) as log:
        found = await log.old(7)
    assert [(each.text, each.source) for each in found] == [
        ("a", Source.CONTAINER),
        ("b", Source.CONTAINER),
    ]
    assert found[0].stamp == "2026-11-24T02:00:01.123456Z"
    assert (container.asked[0].tail, container.asked[0].follow) == (7, False)


async def test_it_is_followed_from_the_last_line_and_none_comes_twice() -> None:
    container = Container([wrote(1, "a"), wrote(2, "b")])
    async with container_log(container.ask, "p", None) as log:
        await log.old(7)
        container.lines.append(wrote(3, "c"))
        log.follow()
        await asyncio.wait_for(log.news.wait(), 60)
        assert [each.text for each in log.take()] == ["c"]
    assert container.asked[1].follow
    assert container.asked[1].since == wrote(2, "").at


async def test_a_host_that_is_away_is_asked_again() -> None:
    container = Container([wrote(1, "a")], breaks=2)
    async with container_log(container.ask, "p", None) as log:
        assert await log.old(7) == []
        log.follow()
        await becomes(lambda: len(container.asked) == 2)
        await settle()
        log.follow()
        await asyncio.wait_for(log.news.wait(), 60)
        assert [each.text for each in log.take()] == ["a"]


async def test_a_broken_line_ends_the_reading_and_nothing_else() -> None:
    async def broken(pod: str, ask: Ask) -> Stream:
        del pod, ask
        reader = asyncio.StreamReader()
        reader.feed_data(frame(Kind.LINE, wrote(1, "a")) + frame(Kind.LINE, b"{}") + b"x")
        reader.feed_eof()
        return Stream(reader, Silent())

    async with container_log(broken, "p", None) as log:
        assert [each.text for each in await log.old(7)] == ["a"]


async def test_both_logs_are_told_in_one_order(serving: MarketServing) -> None:
    key, path = await a_pod(serving)
    await serving.tick()
    pod = path.split("/")[3]
    now = serving.world.now()
    container = Container([LogLine(at=now.isoformat(), text="hello")])

    async def ask(_: str, question: Ask) -> Stream:
        return await container.ask("p", question)

    caller = await caller_of(serving.market, key)
    follower = Follower(pod=pod, caller=caller, asked=Asked(tail=2))
    async with aclosing(events(serving.market, follower, ask)) as stream:
        first, second = [told(await anext(stream))[0] for _ in range(2)]
    assert first["source"] == "system"
    assert (second["source"], second["line"]) == ("container", "hello")


async def test_only_the_containers_log_is_told_if_so_asked(serving: MarketServing) -> None:
    key, path = await a_pod(serving)
    await serving.tick()
    container = Container([wrote(1, "a")])

    async def ask(_: str, question: Ask) -> Stream:
        return await container.ask("p", question)

    caller = await caller_of(serving.market, key)
    asked = Asked(source=["container"])
    follower = Follower(pod=path.split("/")[3], caller=caller, asked=asked)
    async with aclosing(events(serving.market, follower, ask)) as stream:
        assert texts(await anext(stream)) == ["a"]


def test_lines_of_one_moment_are_told_apart_in_their_order() -> None:
    later = AT + timedelta(microseconds=1)
    found = apart(Source.SYSTEM, [(AT, "a"), (AT, "b"), (later, "c"), (AT, "late")])
    assert [each.text for each in found] == ["a", "b", "c", "late"]
    assert [(each.at - AT).microseconds for each in found] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("more", "stamp"),
    [(0, "2026-11-24T02:00:41.120Z"), (7, "2026-11-24T02:00:41.120007Z")],
)
def test_a_moment_has_no_more_digits_than_it_needs(more: int, stamp: str) -> None:
    assert Line(AT + timedelta(microseconds=more), Source.SYSTEM, "x").stamp == stamp


def test_an_event_is_as_runpod_writes_it() -> None:
    line = Line(AT, Source.SYSTEM, 'say "hi"\nand go')
    assert event(line) == (
        b"id: 2026-11-24T02:00:41.120Z\n"
        b'data: {"source":"system","line":"say \\"hi\\"\\nand go","ts":"2026-11-24T02:00:41.120Z"}'
        b"\n\n"
    )

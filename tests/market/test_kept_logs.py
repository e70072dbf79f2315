"""What containers wrote last is kept after their end, bounded, and told by their own host alone."""

from pathlib import Path

import pytest

from puna.agent.containers import Design, House, Name, create_body
from puna.agent.converge import Remove
from puna.agent.deadman import MarketClock
from puna.agent.engine import Engine
from puna.agent.farewell import farewell, last_lines
from puna.agent.hands import Estate, Hands
from puna.agent.link import MarketLink
from puna.agent.volumes import Volumes
from puna.market.actions.accounts import identify
from puna.market.actions.hosting import UnknownHost
from puna.market.actions.logs import keep_log, kept_log
from puna.market.actions.renting import NoSuchPod
from puna.market.db.pods import Pod
from puna.market.domain.pods import Action
from puna.wire.tunnel import MOST_KEPT, Ended, LogLine
from tests.fakes.container_engine import ContainerEngine
from tests.market.serving import MarketServing, market_serving
from tests.market.stage import FakeHost, Stage
from tests.worlds import FakeWorld


def line(second: int, text: str) -> LogLine:
    return LogLine(at=f"2026-08-01T12:00:{second:02}.123456789Z", text=text)


async def rented(market: Stage) -> tuple[FakeHost, Pod]:
    host = await market.host()
    pod = await market.rent(await market.account("ada@example.org", "10"))
    await market.tick(times=2)
    return host, pod


async def keep(market: Stage, host: FakeHost, told: Ended) -> int:
    async with market.database.transaction() as tx:
        return await keep_log(tx, market.world, host.key, told)


async def kept(market: Stage, pod: Pod) -> list[str]:
    async with market.database.transaction() as tx:
        return [each.text for each in await kept_log(tx, pod.id)]


async def test_lines_are_kept_in_the_order_of_their_containers(market: Stage) -> None:
    host, pod = await rented(market)
    for run, crashes, text in ((2, 0, "third"), (1, 0, "first"), (1, 1, "second")):
        told = Ended(pod=pod.id, run=run, crashes=crashes, lines=[line(run, text)])
        assert await keep(market, host, told) == 1
    assert await kept(market, pod) == ["first", "second", "third"]


async def test_what_is_told_twice_is_kept_once(market: Stage) -> None:
    host, pod = await rented(market)
    told = Ended(pod=pod.id, run=1, lines=[line(1, "a"), line(2, "b")])
    await keep(market, host, told)
    await keep(market, host, told)
    assert await kept(market, pod) == ["a", "b"]


async def test_only_the_last_containers_are_kept(market: Stage) -> None:
    host, pod = await rented(market)
    for run in range(1, 7):
        await keep(market, host, Ended(pod=pod.id, run=run, lines=[line(run, f"run {run}")]))
    assert await kept(market, pod) == ["run 4", "run 5", "run 6"]


async def test_moments_are_told_apart_and_lines_without_one_are_left_out(market: Stage) -> None:
    host, pod = await rented(market)
    lines = [line(1, "a"), line(1, "b"), LogLine(at="", text="rest"), LogLine(at="noon", text="x")]
    assert await keep(market, host, Ended(pod=pod.id, run=1, lines=lines)) == 2
    async with market.database.transaction() as tx:
        found = await kept_log(tx, pod.id)
    assert [each.text for each in found] == ["a", "b"]
    assert found[0].at < found[1].at


async def test_a_host_says_nothing_of_pods_that_are_not_its_own(market: Stage) -> None:
    _, pod = await rented(market)
    liar = await market.host("liar")
    for name in (pod.id, "nosuchpod00000"):
        with pytest.raises(NoSuchPod):
            await keep(market, liar, Ended(pod=name, run=1, lines=[line(1, "lies")]))
    liar.key = "host_wrong"
    with pytest.raises(UnknownHost):
        await keep(market, liar, Ended(pod=pod.id, run=1))
    assert await kept(market, pod) == []


async def test_a_long_line_is_cut(market: Stage) -> None:
    host, pod = await rented(market)
    await keep(market, host, Ended(pod=pod.id, run=1, lines=[line(1, "x" * 10_000)]))
    assert [len(each) for each in await kept(market, pod)] == [4000]


async def test_a_renter_reads_what_a_stopped_pods_container_wrote(tmp_path: Path) -> None:
    async with market_serving(tmp_path) as serving:
        host = await serving.host()
        key = await serving.key("ada@example.org", "10")
        async with serving.database.transaction() as tx:
            caller = await identify(tx, serving.world, key)
        pod = await serving.rent(caller)
        await serving.tick(times=2)
        told = Ended(pod=pod.id, run=1, lines=[line(1, "last words")]).model_dump(mode="json")
        reply = await serving.ask("POST", "/agent/v1/log", told, key=host.key)
        assert (reply.status, reply.json) == (200, {"kept": 1})
        await serving.act(caller, pod, Action.STOP)
        path = f"/v2/pods/{pod.id}/logs?source=container"
        assert b"last words" in (await serving.ask("GET", path, key=key)).body
        other = f"/v2/pods/{pod.id}/logs?source=system"
        assert b"last words" not in (await serving.ask("GET", other, key=key)).body


async def test_too_many_lines_are_refused(tmp_path: Path) -> None:
    async with market_serving(tmp_path) as serving:
        host = await serving.host()
        told = {"pod": "p", "run": 1, "lines": [{"at": "", "text": ""}] * (MOST_KEPT + 1)}
        assert (await serving.ask("POST", "/agent/v1/log", told, key=host.key)).status == 422


async def test_an_agent_tells_the_last_lines_before_a_container_goes(tmp_path: Path) -> None:
    async with market_serving(tmp_path) as serving:
        host, pod = await rented_over_http(serving)
        there, socket = ContainerEngine(FakeWorld()), tmp_path / "engine.sock"
        there.images.add("img:1")
        async with (
            there.served(socket),
            Engine(socket) as engine,
            MarketLink(serving.url, host.key) as link,
        ):
            body = create_body(Name(pod.id), Design(image="img:1"), House())
            made = await engine.create("puna-x-1-0", body)
            await engine.start(made)
            await engine.signal(made, "SIGUSR1")
            assert [each.text for each in await last_lines(engine, made)] == ["signal SIGUSR1"]
            await farewell(engine, link)(made)
            await farewell(engine, link)("no such container")
        assert await kept(serving, pod) == ["signal SIGUSR1"]


async def test_a_container_is_looked_at_before_it_goes(tmp_path: Path) -> None:
    there, socket = ContainerEngine(world := FakeWorld()), tmp_path / "engine.sock"
    seen: list[bool] = []
    there.images.add("img:1")
    async with there.served(socket), Engine(socket) as engine:
        volumes = Volumes(engine, "h1", tmp_path, has_images=False)
        hands = Hands(MarketClock(world), engine, Estate(house=House()), volumes)

        async def look(container: str) -> None:
            seen.append([each.container.id for each in await engine.containers()] == [container])

        hands.farewell = look
        made = await engine.create(
            "puna-x-1-0", create_body(Name("p1"), Design(image="img:1"), House())
        )
        await hands.do(Remove("p1", made), None)
        assert await engine.containers() == []
    assert seen == [True]


async def test_a_market_that_is_away_keeps_no_container(tmp_path: Path) -> None:
    there, socket = ContainerEngine(FakeWorld()), tmp_path / "engine.sock"
    there.images.add("img:1")
    async with (
        there.served(socket),
        Engine(socket) as engine,
        MarketLink("http://127.0.0.1:1", "host_x") as link,
    ):
        body = create_body(Name("abcdefghij1234"), Design(image="img:1"), House())
        made = await engine.create("puna-x-1-0", body)
        await engine.start(made)
        await farewell(engine, link)(made)


async def rented_over_http(serving: MarketServing) -> tuple[FakeHost, Pod]:
    host = await serving.host()
    pod = await serving.rent(await serving.account("ada@example.org", "10"))
    await serving.tick(times=2)
    return host, pod

"""An agent and a real market over HTTP: a pod is ordered, shown, stopped; the market goes away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi import APIRouter, Response

from puna.agent.agent import Agent, Surroundings
from puna.agent.deadman import MarketClock
from puna.agent.engine import Engine
from puna.agent.link import MarketGone, MarketLink, MarketRefused, NotAHost
from puna.agent.notebook import Notebook
from puna.agent.usage import Usage
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod, pay_until
from puna.market.domain.pods import Action, Status
from puna.wire.agent import Join, Orders, Report
from tests.agent.hosts import IMAGE, Host
from tests.fakes.container_engine import ContainerEngine
from tests.market.serving import ActualWorld, MarketServing, market_serving
from tests.market.stage import MACHINE, TERMS, FakeHost
from tests.worlds import FakeWorld


async def until(is_so: Callable[[], Awaitable[bool]], within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not await is_so():  # noqa: ASYNC110 - what others do, in their own time
            await asyncio.sleep(0.02)


@dataclass
class Together:
    """A market, one host of it, and the agent that runs there."""

    market: MarketServing
    joined: FakeHost
    host: Host
    folder: Path
    usage: dict[str, Usage] = field(default_factory=dict)
    """What the agent knows of its pods' use."""

    @asynccontextmanager
    async def agent(self, market: str = "") -> AsyncIterator[Agent]:
        """Run an agent until the end of the block; it is killed, not told."""
        world = ActualWorld()
        notebook = Notebook(self.folder)
        async with MarketLink(market or self.market.url, self.joined.key) as link:
            keeper = self.host.new_keeper(notebook.kept())
            around = Surroundings(
                machine=lambda: MACHINE, terms=lambda: TERMS, usage=lambda: self.usage
            )
            agent = Agent(keeper, link, MarketClock(world), notebook, around)
            running = asyncio.ensure_future(agent.run())
            try:
                yield agent
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def becomes(self, pod: Pod, status: Status) -> None:
        async def is_so() -> bool:
            self.market.market.nudge()
            return await self.market.status(pod) is status

        await until(is_so)

    async def has(self, pod: str, *, running: int) -> bool:
        return len(self.host.there.running(pod)) == running

    async def was_used_at(self, pod: Pod, moment: datetime) -> bool:
        return (await self.market.look(pod)).active == moment

    async def is_gone(self, pod: Pod) -> bool:
        return (await self.market.look(pod)).state.is_gone

    async def has_turned(self, agent: Agent, times: int) -> bool:
        return agent.turns >= times

    async def has_trouble(self, agent: Agent) -> bool:
        return bool(agent.contact.trouble)

    async def waits_for_orders(self, agent: Agent) -> bool:
        return agent.is_waiting

    async def was_heard(self, agent: Agent) -> bool:
        return agent.contact.heard is not None


@pytest.fixture
async def together(tmp_path: Path) -> AsyncIterator[Together]:
    there, socket = ContainerEngine(ActualWorld()), tmp_path / "engine.sock"
    there.registry.add(IMAGE)
    async with (
        market_serving(tmp_path, in_real_time=True, runs_loops=True) as market,
        there.served(socket),
        Engine(socket) as engine,
    ):
        joined = await market.host()
        market.hosts.clear()
        host = Host(FakeWorld(), there, engine, tmp_path)
        host.world = ActualWorld()
        yield Together(market, joined, host, tmp_path / "agent")


async def rented(together: Together) -> tuple[Caller, Pod]:
    caller = await together.market.account("ann@example.org", "5")
    return caller, await together.market.rent(caller, image=IMAGE, cards=1, processors=1)


async def test_a_pod_runs_stops_and_goes(together: Together) -> None:
    caller, pod = await rented(together)
    async with together.agent():
        await together.becomes(pod, Status.RUNNING)
        assert f"pulling {IMAGE}" in await together.market.log(pod)
        await together.market.act(caller, pod, Action.STOP)
        together.market.market.nudge()
        await until(lambda: together.has(pod.id, running=0))
        await together.market.act(caller, pod, Action.TERMINATE)
        await until(lambda: together.is_gone(pod))
    assert together.host.there.of(pod.id) == []


async def test_an_agent_that_is_killed_and_started_again_finds_its_pod(together: Together) -> None:
    _, pod = await rented(together)
    async with together.agent():
        await together.becomes(pod, Status.RUNNING)
    [made] = together.host.there.of(pod.id)
    async with together.agent() as agent:
        await until(lambda: together.has_turned(agent, 3))
        assert together.host.there.of(pod.id) == [made]
    lines = await together.market.log(pod)
    assert lines.count("started") == 1


async def test_an_agent_with_no_other_news_tells_of_use(together: Together) -> None:
    """Else a pod that somebody uses all the time would count as idle."""
    _, pod = await rented(together)
    market = together.market
    async with together.agent() as agent:
        await together.becomes(pod, Status.RUNNING)
        await until(lambda: together.waits_for_orders(agent))
        used = market.world.now()
        together.usage[pod.id] = Usage(active=used)
        async with market.database.transaction() as tx:
            await pay_until(tx, await market.look_in(tx, pod), used + timedelta(hours=1))
        market.market.nudge()
        await until(lambda: together.was_used_at(pod, used))


async def test_a_market_that_is_away_is_asked_again(together: Together) -> None:
    _, pod = await rented(together)
    async with together.agent(market="http://127.0.0.1:9") as agent:
        await until(lambda: together.has_trouble(agent))
        assert together.host.there.containers == {}
    async with together.agent():
        await together.becomes(pod, Status.RUNNING)


async def test_a_host_that_the_market_does_not_know_keeps_what_it_has(together: Together) -> None:
    _, pod = await rented(together)
    async with together.agent():
        await together.becomes(pod, Status.RUNNING)
    together.joined.key = "host_nobody"
    async with together.agent() as agent:
        await until(lambda: together.has_trouble(agent))
        assert agent.contact.is_unknown
        assert len(together.host.there.running(pod.id)) == 1


async def test_no_number_of_a_report_is_used_twice(together: Together) -> None:
    async with together.agent() as agent:
        await until(lambda: together.has_turned(agent, 1))
        await until(lambda: together.was_heard(agent))
    first = agent._sequence
    async with together.agent() as agent:
        await until(lambda: together.was_heard(agent))
        assert agent._sequence > first


async def test_a_market_refuses_in_its_own_words(together: Together) -> None:
    async with MarketLink(together.market.url) as link:
        join = Join(token="none", name="box", machine=MACHINE, terms=TERMS)
        with pytest.raises(NotAHost, match="unknown, used or over"):
            await link.join(join)
    report = Report(sequence=1, now=ActualWorld().now(), machine=MACHINE, terms=TERMS)
    wrong = MACHINE.model_copy(update={"cards": 0})
    async with MarketLink(together.market.url, together.joined.key) as link:
        with pytest.raises(MarketRefused, match="cannot be"):
            await link.report(report.model_copy(update={"machine": wrong}))
        assert isinstance(await link.report(report), Orders)
    async with MarketLink("http://127.0.0.1:9", together.joined.key) as link:
        with pytest.raises(MarketGone, match="does not answer"):
            await link.report(report)


async def test_an_answer_without_an_end_is_not_kept(tmp_path: Path) -> None:
    endless = APIRouter()

    @endless.post("/agent/v1/earnings")
    async def earnings() -> Response:
        return Response(bytes(17 * 2**20))

    async with (
        market_serving(tmp_path, extra=endless) as market,
        MarketLink(market.url, "host_x") as link,
    ):
        with pytest.raises(MarketGone, match="has no end"):
            await link.earnings()

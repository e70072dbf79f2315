"""An agent that is killed at any call and started again does no harm. `KILLS` names the seeds.

A failing seed is a one-line repro: `await live_through(SEED, folder)`.
"""

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import pytest

from puna.agent.engine import Engine
from puna.agent.problems import EngineGone
from puna.wire.agent import PodOrder
from tests.agent.hosts import Host, a_host, an_order

SEEDS = range(12)
TURNS = 12
WANTS = ("run", "run", "stop", "terminate")


class Life:
    """One run: what is ordered and when the agent dies is drawn from the seed."""

    def __init__(self, host: Host, dice: random.Random) -> None:
        self.host = host
        self.dice = dice
        self.orders = {pod: an_order(pod) for pod in ("p1", "p2")}

    def change_mind(self) -> None:
        pod = self.dice.choice(list(self.orders))
        before = self.orders[pod]
        want = self.dice.choice(WANTS)
        begins = want == "run" and before.want != "run"
        volume = {"volume": 10**9, "volume_path": "/workspace"} if pod == "p2" else {}
        self.orders[pod] = an_order(pod, want=want, run=before.run + begins, **volume)

    async def turn(self) -> None:
        """Take a turn in which the agent may be killed; then another agent goes on."""
        self.host.there.dies_at = None
        self.host.order(*self.orders.values())
        if self.dice.random() < 0.6:
            calls = self.host.there.calls.total() + self.dice.randrange(1, 12)
            self.host.there.dies_at = (calls, self.dice.random() < 0.5)
        working = asyncio.ensure_future(self.host.turn())
        dying = asyncio.ensure_future(self.host.there.died.wait())
        await asyncio.wait({working, dying}, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if not working.done():
            await self.kill(working)
        await asyncio.gather(working, dying, return_exceptions=True)
        self.check()

    async def kill(self, working: asyncio.Future[None]) -> None:
        working.cancel()
        self.host.there.died.clear()
        self.host.there.dies_at = None
        with suppress(asyncio.CancelledError):
            await working
        await self.host.engine.close()
        self.host.engine = Engine(self.host.engine.socket)
        self.host.restart()

    def check(self) -> None:
        """What must hold at every moment."""
        for pod in self.orders:
            assert len(self.host.there.running(pod)) <= 1
        for made in self.host.there.containers.values():
            assert made.body["Labels"]["cloud.puna.pod"] in self.orders

    async def end(self) -> None:
        """Left alone, everything comes to be as ordered."""
        self.host.there.dies_at = None
        self.host.order(*self.orders.values())
        await self.host.turns(12, apart_s=20)
        for pod, order in self.orders.items():
            self.check_order(pod, order)
        calls = {
            name: self.host.there.calls[name] for name in ("create", "start", "stop", "remove")
        }
        await self.host.turns(2)
        assert calls == {name: self.host.there.calls[name] for name in calls}

    def check_order(self, pod: str, order: PodOrder) -> None:
        there = self.host.there
        assert bool(there.running(pod)) == (order.want == "run")
        assert len(there.of(pod)) == (1 if order.want == "run" else 0)
        if order.want == "terminate":
            assert f"puna-{pod}" not in there.volumes


async def live_through(seed: int, folder: Path) -> None:
    dice = random.Random(seed)  # noqa: S311 - chance that repeats
    async with a_host(folder) as host:
        life = Life(host, dice)
        for _ in range(TURNS):
            life.change_mind()
            with suppress(EngineGone):
                await life.turn()
            await host.pass_time(dice.choice([1, 15, 60]))
        await life.end()
        await host.engine.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_killing_the_agent_anywhere_is_harmless(seed: int, tmp_path: Path) -> None:
    await live_through(seed, tmp_path)

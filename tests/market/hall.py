"""A market whose pods are nodes: what is rented starts by itself, and a model answers in it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from puna.units import Money
from tests.api.stage import Stage as NodeStage, staged
from tests.fakes.console import Ran, a_terminal, puna
from tests.fakes.reach import FakeReach
from tests.market.instant import MEMORY
from tests.market.podweb import a_dialled_tunnel
from tests.market.serving import MarketServing, market_serving
from tests.market.stage import FakeHost

_PORT = 11434


@dataclass
class Hall:
    """A market, its hosts, the nodes in their pods, and a renter with a folder of her own."""

    market: MarketServing
    nodes: list[NodeStage]
    key: str
    home: Path
    reach: FakeReach = field(default_factory=FakeReach)
    answers: bool = True
    """Whether something answers in the pods that run."""

    @property
    def environ(self) -> Mapping[str, str]:
        return {
            "PUNA_HOME": str(self.home),
            "PUNA_CLOUD_ADDRESS": self.market.url,
            "PUNA_CLOUD_KEY": self.key,
            "PUNA_ENGINE": "scripted",
        }

    async def type(self, *words: object, typed: str = "", **environ: str) -> Ran:
        """Run a command of puna's as the renter would."""
        terminal = a_terminal(typed, keys=bool(typed))
        given = {**self.environ, **environ}
        return await asyncio.to_thread(puna, *map(str, words), environ=given, terminal=terminal)

    async def pods(self) -> list[Mapping[str, object]]:
        """Return the pods that the renter has."""
        found = (await self.market.ask("GET", "/v2/pods", key=self.key)).json["pods"]
        assert isinstance(found, list)
        return found

    async def spent(self) -> Money:
        """Return what the renter has paid."""
        account = (await self.market.ask("GET", "/v2/puna/account", key=self.key)).json
        return Money(Money.parse("25") - Money.parse(account["balance"]))

    async def go_on(self) -> None:
        """Let time pass for market and hosts, and let what runs answer, until it is cancelled."""
        while True:
            await self.market.tick(seconds=1)
            self._open_doors(await self.pods())
            await asyncio.sleep(0.02)  # the renter's requests have their turn

    def _open_doors(self, pods: list[Mapping[str, object]]) -> None:
        ports = {
            (str(pod["id"]), _PORT): node.port
            for pod, node in zip(pods, self.nodes * len(pods), strict=False)
            if pod["status"] == "RUNNING" and self.answers
        }
        self.reach.ports = ports


@asynccontextmanager
async def a_hall(home: Path, *, hosts: int = 2, **terms: object) -> AsyncIterator[Hall]:
    """Serve a market with hosts of one card each, until the block ends."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))
        market = await stack.enter_async_context(market_serving(Path(folder)))
        nodes = [
            await stack.enter_async_context(staged(home / f"node{number}")) for number in range(2)
        ]
        hall = Hall(market, nodes, await market.key("ann@example.org", "25"), home / "renter")
        joined: list[FakeHost] = [
            await market.host(f"box{number}", cards=1, **terms) for number in range(hosts)
        ]
        for host in joined:
            await stack.enter_async_context(a_dialled_tunnel(market, host, hall.reach))
        going = asyncio.create_task(hall.go_on())
        try:
            yield hall
        finally:
            going.cancel()
            await asyncio.wait({going})
            if not going.cancelled():
                going.result()

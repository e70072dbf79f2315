"""A market that is asked in GraphQL."""

import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio

from puna.market.actions.accounts import make_key
from tests.market.instant import MEMORY
from tests.market.serving import MarketServing, Reply, market_serving
from tests.market.stage import FakeHost


@dataclass
class Speaking:
    """A market, one of its hosts, and a renter with ten dollars."""

    market: MarketServing
    host: FakeHost
    key: str
    agent: str = "a test"

    async def reply(self, query: str, key: str | None = None, /, **variables: object) -> Reply:
        """Ask, with this renter's key or another, and return the whole reply."""
        body = {"query": query, "variables": variables}
        key = self.key if key is None else key
        return await self.market.ask("POST", "/graphql", body, key=key, User_Agent=self.agent)

    async def ask(self, query: str, **variables: object) -> Any:  # noqa: ANN401 - what was asked for
        """Ask, and return the data of an answer without errors."""
        answer = (await self.reply(query, None, **variables)).json
        assert "errors" not in answer, answer
        return answer["data"]

    async def error(self, query: str, **variables: object) -> dict[str, Any]:
        """Ask what fails, and return its first error."""
        reply = await self.reply(query, None, **variables)
        assert reply.status == 200
        error: dict[str, Any] = reply.json["errors"][0]
        return error

    async def rent(self, **changes: object) -> str:
        """Rent a pod with a card and return its id."""
        rented = await self.ask(RENT, input=WANTED | changes)
        return str(rented["podFindAndDeployOnDemand"]["id"])

    async def owner_key(self) -> str:
        """Return a key of the account that lends the host."""
        async with self.market.database.transaction() as tx:
            return (await make_key(tx, self.market.world, self.host.owner)).secret


WANTED = {"name": "mine", "imageName": "img:1", "gpuTypeId": "NVIDIA GeForce RTX 4090"}
RENT = """mutation ($input: PodFindAndDeployOnDemandInput!) {
  podFindAndDeployOnDemand(input: $input) { id desiredStatus costPerHr } }"""


@pytest_asyncio.fixture
async def graphql() -> AsyncIterator[Speaking]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with market_serving(Path(folder)) as market:
            host = await market.host(country="PL")
            await market.report(host)
            yield Speaking(market, host, await market.key("renter@example.org", "10"))

"""The key that lies in a pod: over HTTP and GraphQL it ends its own pod, and reads nothing else."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from puna.market.db.pods import Pod
from puna.market.domain.pods import Status
from tests.market.serving import MarketServing, market_serving


@dataclass
class Inside:
    """A shell in a pod, and another pod of the same account."""

    market: MarketServing
    pod: Pod
    other: Pod
    key: str

    async def ask(self, method: str, path: str, body: object = None) -> int:
        path = path.format(pod=self.pod.id, other=self.other.id)
        return (await self.market.ask(method, path, body, key=self.key)).status

    async def graphql(self, text: str) -> tuple[int, str]:
        text = text.replace("POD", self.pod.id).replace("OTHER", self.other.id)
        reply = await self.market.ask("POST", "/graphql", {"query": text}, key=self.key)
        return reply.status, reply.body.decode()


@pytest_asyncio.fixture
async def inside(tmp_path: Path) -> AsyncIterator[Inside]:
    async with market_serving(tmp_path) as market:
        ann = await market.account("ann@example.org", "5")
        host = await market.host()
        pod, other = [await market.rent(ann) for _ in range(2)]
        await market.tick(times=2)
        (order,) = [each for each in host.orders.pods if each.pod == pod.id]
        yield Inside(market, pod, other, order.env["RUNPOD_API_KEY"])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v2/pods", None),
        ("GET", "/v2/pods/{other}", None),
        ("GET", "/v2/pods/{pod}x", None),
        ("DELETE", "/v2/pods/{other}", None),
        ("POST", "/v2/pods/{other}/action", {"action": "stop"}),
        ("POST", "/v2/pods/{pod}/action", {"action": "restart"}),
        ("PATCH", "/v2/pods/{pod}", {"name": "other"}),
        ("GET", "/v2/templates", None),
        ("GET", "/v2/registries", None),
        ("GET", "/v2/account/ssh-keys", None),
        ("PUT", "/v2/account/ssh-keys", {"keys": []}),
    ],
)
async def test_it_does_nothing_else(inside: Inside, method: str, path: str, body: object) -> None:
    assert await inside.ask(method, path, body) == 403


async def test_it_looks_at_its_pod_and_stops_it(inside: Inside) -> None:
    assert await inside.ask("GET", "/v2/pods/{pod}") == 200
    assert await inside.ask("POST", "/v2/pods/{pod}/action", {"action": "stop"}) == 200
    assert await inside.market.status(inside.pod) is Status.EXITED
    assert await inside.market.status(inside.other) is Status.RUNNING


async def test_it_terminates_its_pod(inside: Inside) -> None:
    assert await inside.ask("DELETE", "/v2/pods/{pod}") == 204
    assert await inside.market.status(inside.pod) is Status.TERMINATED


async def test_in_graphql_it_stops_its_pod(inside: Inside) -> None:
    status, _ = await inside.graphql('mutation { podStop(input: {podId: "POD"}) { id } }')
    assert status == 200
    assert await inside.market.status(inside.pod) is Status.EXITED


@pytest.mark.parametrize(
    "text",
    [
        "query { myself { id email pubKey } }",
        "query { myself { pods { id env } } }",
        'mutation { podStop(input: {podId: "OTHER"}) { id } }',
        'mutation { podStop(input: {podId: "POD"}) { id } podTerminate(input: {podId: "OTHER"}) }',
        'mutation { ...all } fragment all on Mutation { podTerminate(input: {podId: "OTHER"}) }',
    ],
)
async def test_in_graphql_it_does_nothing_else(inside: Inside, text: str) -> None:
    _, body = await inside.graphql(text)
    assert "may only stop and terminate the pod" in body
    assert await inside.market.status(inside.other) is Status.RUNNING
    assert "@example.org" not in body

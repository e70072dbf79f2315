"""RunPod's MCP server, unmodified, between an assistant and a market.

`make npm` installs it; without it, or without node, these tests say so and are skipped. It speaks
version 2 of the REST API, and GraphQL without a key for what RunPod shows to everybody: there the
key travels in the address.
"""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.market.instant import MEMORY
from tests.market.lots import CARD
from tests.market.serving import MarketServing, market_serving

SERVER = Path(__file__).parent / "npm/node_modules/@runpod/mcp-server/dist/stdio.mjs"

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine"),
    pytest.mark.skipif(not SERVER.exists(), reason="the packages are installed by `make npm`"),
]


@dataclass
class Assistant:
    """Whoever calls the server's tools, and the market behind them."""

    market: MarketServing
    process: asyncio.subprocess.Process
    numbers: list[int] = field(default_factory=list)

    async def __call__(self, tool: str, **words: object) -> Any:  # noqa: ANN401 - whatever it gives
        """Call a tool and return what it gives."""
        told = await self.ask("tools/call", {"name": tool, "arguments": words})
        return json.loads(told["content"][0]["text"])

    async def ask(self, method: str, params: object) -> Any:  # noqa: ANN401 - whatever it says
        """Send a request of the protocol and return its result."""
        assert self.process.stdin
        assert self.process.stdout
        self.numbers.append(len(self.numbers))
        message = {"jsonrpc": "2.0", "id": self.numbers[-1], "method": method, "params": params}
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        return json.loads(await self.process.stdout.readline())["result"]


@pytest_asyncio.fixture
async def assistant() -> AsyncIterator[Assistant]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with market_serving(Path(folder)) as market:
            await market.report(await market.host(country="PL", cuda="12.8"))
            process = await begin(market, await market.key("renter@example.org", "10"))
            one = Assistant(market, process)
            who = {"name": "a test", "version": "1"}
            hello = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": who}
            await one.ask("initialize", hello)
            yield one
            process.terminate()
            await process.wait()


async def begin(market: MarketServing, key: str) -> asyncio.subprocess.Process:
    graphql = f"{market.url}/graphql"
    return await asyncio.create_subprocess_exec(
        "node",
        str(SERVER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=2**22,  # the list of its tools is one line
        env=os.environ
        | {
            "RUNPOD_API_KEY": key,
            "RUNPOD_API_BASE_URL": market.url,
            "RUNPOD_AUTHED_GRAPHQL_URL": graphql,
            "RUNPOD_PUBLIC_GRAPHQL_URL": f"{graphql}?api_key={key}",
        },
    )


async def test_an_assistant_sees_what_can_be_had(assistant: Assistant) -> None:
    (card,) = (await assistant("get-capacity"))["items"]
    assert (card["id"], card["stockStatus"], card["pricePerHr"]) == (CARD, "Low", 0.36)
    assert card["cudaVersions"] == {"12.8": "Low"}
    (probed,) = (await assistant("get-capacity", cudaVersions=["11.8"]))["items"]
    assert probed["id"] == CARD
    assert "vllm" in {each["id"] for each in (await assistant("list-hub-repos"))["items"]}
    assert (await assistant("list-public-endpoints"))["items"] == []


async def test_an_assistant_rents_stops_starts_and_ends_a_pod(assistant: Assistant) -> None:
    wanted = {"name": "mine", "image": "img:1", "gpu": {"id": CARD}, "cloud": "COMMUNITY"}
    pod = (await assistant("create-pod", body=wanted))["id"]
    await assistant.market.tick(times=2)
    assert (await assistant("get-pod", id=pod))["status"] == "RUNNING"
    await assistant("pod-action", id=pod, body={"action": "stop"})
    assert (await assistant("list-pods"))["pods"][0]["status"] == "EXITED"
    await assistant.market.tick()
    await assistant("pod-action", id=pod, body={"action": "start"})
    assert (await assistant("update-pod", id=pod, body={"name": "other"}))["name"] == "other"
    await assistant("delete-pod", id=pod)
    assert (await assistant("list-pods"))["pods"] == []


async def test_an_assistant_keeps_templates_and_credentials(assistant: Assistant) -> None:
    made = await assistant("create-template", body={"name": "mine", "image": "img:1"})
    assert (await assistant("list-templates"))["templates"][0]["id"] == made["id"]
    words = {"name": "hub", "username": "u", "password": "p"}
    kept = await assistant("create-registry", body=words)
    assert (await assistant("list-registries"))["registries"] == [kept]


async def test_an_assistant_reads_catalogue_logs_and_bills(assistant: Assistant) -> None:
    wanted = {"name": "mine", "image": "img:1", "gpu": {"id": CARD}, "cloud": "COMMUNITY"}
    pod = (await assistant("create-pod", body=wanted))["id"]
    assert (await assistant("list-gpu-types"))["gpus"][0]["id"] == CARD
    assert (await assistant("list-data-centers"))["dataCenters"][0]["id"] == "EU-PL-1"
    assert "puna" in {
        each["id"] for each in (await assistant("list-public-templates"))["templates"]
    }
    lines = (await assistant("stream-pod-logs", podId=pod, maxWaitMs=1000))["items"]
    assert lines[0]["line"] == "rented by renter@example.org"
    assert (await assistant("list-billing"))["metadata"]["query"]["bucketSize"] == "day"


async def test_an_assistant_is_told_what_a_market_has_not(assistant: Assistant) -> None:
    assert (await assistant("list-endpoints"))["items"] == []
    assert (await assistant("list-network-volumes"))["networkVolumes"] == []
    volume = {"name": "mine", "size": 10, "dataCenter": "EU-PL-1"}
    assert (await assistant("create-network-volume", body=volume))["code"] == "not_offered"

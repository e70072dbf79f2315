"""RunPod's command line in Go, unmodified, against a market; for who has a `runpodctl` 2.7 to try.

No registry of packages has it, so nothing here installs it: without it on the path these tests say
so and are skipped.
"""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.market.instant import MEMORY
from tests.market.lots import CARD
from tests.market.serving import MarketServing, market_serving

PROGRAM = shutil.which("runpodctl")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43 + " me@home"

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no runpodctl on this machine")


@dataclass
class Ctl:
    """The program as one renter uses it, and the market that it talks to."""

    market: MarketServing
    key: str
    home: Path

    async def text(self, *words: str, fails: bool = False) -> str:
        """Run it and return what it prints."""
        process = await asyncio.create_subprocess_exec(
            str(PROGRAM),
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ
            | {
                "HOME": str(self.home),
                "RUNPOD_API_KEY": self.key,
                "RUNPOD_API_URL": f"{self.market.url}/v1",
                "RUNPOD_GRAPHQL_URL": f"{self.market.url}/graphql",
            },
        )
        printed, complaint = await process.communicate()
        assert (process.returncode != 0) is fails, (printed, complaint)
        return (complaint if fails else printed).decode()

    async def __call__(self, *words: str) -> Any:  # noqa: ANN401 - whatever it prints
        """Run it and return the JSON that it prints."""
        return json.loads(await self.text(*words))

    async def pod(self, *words: str) -> str:
        """Rent a pod with a card."""
        cloud = ("--cloud-type", "COMMUNITY", "--gpu-id", CARD)
        made = await self("pod", "create", "--name", "mine", "--image", "img:1", *cloud, *words)
        return str(made["id"])


@pytest_asyncio.fixture
async def ctl(tmp_path: Path) -> AsyncIterator[Ctl]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with market_serving(Path(folder)) as market:
            await market.report(await market.host(country="PL", public_ip="203.0.113.7"))
            yield Ctl(market, await market.key("renter@example.org", "10"), tmp_path)


async def test_it_knows_its_user_and_its_doctor_finds_nothing(ctl: Ctl) -> None:
    user = await ctl("user")
    assert (user["email"], user["clientBalance"]) == ("renter@example.org", 10)
    said = await ctl.text("doctor")
    assert '"healthy": true' in said


async def test_a_wrong_key_is_refused(ctl: Ctl) -> None:
    ctl.key = "rpa_wrong"
    assert "401" in await ctl.text("user", fails=True)


async def test_it_lists_cards_and_places(ctl: Ctl) -> None:
    (card,) = await ctl("gpu", "list")
    assert (card["gpuId"], card["available"], card["stockStatus"]) == (CARD, True, "Low")
    (place,) = await ctl("datacenter", "list")
    assert (place["id"], place["gpuAvailability"][0]["gpuId"]) == ("EU-PL-1", CARD)
    assert f"1x {CARD}" in await ctl.text("get", "cloud")


async def test_it_rents_shows_stops_starts_and_removes_a_pod(ctl: Ctl) -> None:
    pod = await ctl.pod("--ports", "8888/http,22/tcp", "--env", '{"A":"b \\"c\\""}')
    await ctl.market.tick(times=2)
    assert pod in await ctl.text("get", "pod")
    assert "stopped" in await ctl.text("stop", "pod", pod)
    await ctl.market.tick()
    assert "started with $0.360" in await ctl.text("start", "pod", pod)
    assert "removed" in await ctl.text("remove", "pod", pod)
    assert pod not in await ctl.text("get", "pod")


async def test_a_time_to_stop_is_kept(ctl: Ctl) -> None:
    pod = await ctl.pod("--stop-after", "2026-08-01T12:05:00Z")
    await ctl.market.tick(times=2)
    assert "RUNNING" in await ctl.text("get", "pod", pod)
    await ctl.market.tick(times=5)
    assert "EXITED" in await ctl.text("get", "pod", pod)


async def test_its_newer_commands_do_the_same_and_more(ctl: Ctl) -> None:
    pod = await ctl.pod()
    await ctl.market.tick(times=2)
    (shown,) = await ctl("pod", "list")
    assert (shown["id"], shown["gpuId"], shown["costPerHr"]) == (pod, CARD, 0.36)
    assert (await ctl("pod", "get", pod))["uptimeSeconds"] == 60
    assert (await ctl("pod", "restart", pod))["desiredStatus"] == "RUNNING"
    assert (await ctl("pod", "update", pod, "--image", "img:2"))["imageName"] == "img:2"
    assert (await ctl("pod", "stop", pod))["desiredStatus"] == "EXITED"
    await ctl.market.tick()
    assert (await ctl("pod", "start", pod))["desiredStatus"] == "RUNNING"
    assert (await ctl("pod", "delete", pod))["deleted"] is True
    assert await ctl("pod", "list", "-a") == []


async def test_it_rents_a_pod_without_a_card(ctl: Ctl) -> None:
    words = ("--compute-type", "CPU", "--image", "img:1", "--cloud-type", "COMMUNITY")
    made = await ctl("pod", "create", "--name", "small", *words)
    shown = await ctl("pod", "get", made["id"])
    assert (shown["gpuCount"], shown["vcpuCount"]) == (0, 2)


async def test_it_makes_a_template_whose_ports_have_names(ctl: Ctl) -> None:
    words = ("--name", "mine", "--image", "img:1", "--ports", "80/http")
    made = await ctl("template", "create", *words, "--port-labels", "80=Page")
    assert made["portsConfig"] == [{"name": "Page", "port": "80"}]
    pod = await ctl.pod("--template-id", made["id"])
    assert (await ctl("pod", "get", pod))["ports"] == ["80/http"]


async def test_it_keeps_a_credential(ctl: Ctl) -> None:
    made = await ctl("registry", "create", "--name", "hub", "--username", "u", "--password", "p")
    assert await ctl("registry", "list") == [made]
    await ctl.text("registry", "delete", made["id"])
    assert await ctl("registry", "list") == []


async def test_it_shows_what_was_spent(ctl: Ctl) -> None:
    pod = await ctl.pod()
    await ctl.market.tick(times=4)
    window = ("--start-time", "2026-08-01T00:00:00Z", "--end-time", "2026-08-02T00:00:00Z")
    (spent,) = await ctl("billing", "pods", *window, "--grouping", "podId")
    assert spent["podId"] == pod
    assert spent["amount"] > 0


async def test_what_cannot_be_had_is_said_in_a_line(ctl: Ctl) -> None:
    words = ("pod", "create", "--image", "img:1", "--gpu-id", CARD)
    said = await ctl.text(*words, "--cloud-type", "SECURE", fails=True)
    assert "There are no longer any instances available" in said
    said = await ctl.text(*words, "--network-volume-id", "v", fails=True)
    assert "this market has no network volumes" in said


async def test_it_finds_a_shell(ctl: Ctl) -> None:
    pod = await ctl.pod("--ports", "22/tcp")
    ctl.market.hosts[0].opens[pod] = {22: 40022}
    await ctl.market.tick(times=2)
    found = await ctl("ssh", "info", pod)
    assert (found["ip"], found["port"]) == ("203.0.113.7", 40022)


async def test_it_keeps_keys_for_ssh(ctl: Ctl) -> None:
    assert await ctl("ssh", "add-key", "--key", KEY) == {"added": True}
    (kept,) = (await ctl("ssh", "list-keys"))["keys"]
    assert (kept["name"], kept["type"]) == ("me@home", "ssh-ed25519")
    assert await ctl("ssh", "remove-key", "--name", "me@home") == {"removed": True}
    assert await ctl("ssh", "list-keys") == {"keys": None}


async def test_it_finds_templates(ctl: Ctl) -> None:
    assert {"puna", "ollama", "vllm"} <= {each["id"] for each in await ctl("template", "list")}
    found = await ctl("template", "get", "ollama")
    assert found["portsConfig"] == [{"name": "Ollama", "port": "11434"}]


async def test_what_a_market_has_not_is_said_by_name(ctl: Ctl) -> None:
    words = ("--template-id", "ollama", "--gpu-id", CARD)
    assert "no serverless endpoints" in await ctl.text("serverless", "create", *words, fails=True)
    assert "ollama" in {each["id"] for each in await ctl("hub", "list")}
    assert "no hub repos found" in await ctl.text("hub", "search", "zzz")
    assert await ctl("model", "list") == []
    assert await ctl("serverless", "list") == []
    assert await ctl("network-volume", "list") == []

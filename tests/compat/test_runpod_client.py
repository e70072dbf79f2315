"""RunPod's Python client and its command line, unmodified, against a market.

They ask for older versions of what puna uses, so they live in an environment of their own, which
`make runpod` makes; without it these tests say so and are skipped. The client runs in one process
for all of them, since it takes seconds to begin.
"""

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.market.instant import MEMORY
from tests.market.lots import CARD
from tests.market.serving import MarketServing, market_serving

FOLDER = Path(__file__).parent / "runpod"
BIN = FOLDER / ".venv" / "bin"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43 + " me@home"

pytestmark = pytest.mark.skipif(
    not (FOLDER / ".venv" / "done").exists(),
    reason="RunPod's Python client is installed by `make runpod`",
)


class ClientError(Exception):
    """What the client raised: the name of the class, and its words."""


@dataclass
class Sdk:
    """The client as one renter uses it, and the market that it talks to."""

    process: subprocess.Popen[str]
    market: MarketServing
    key: str

    async def __call__(self, call: str, *args: object, **words: object) -> Any:  # noqa: ANN401 - whatever it gives
        """Call a function of the package. Raises `ClientError`."""
        order = {
            "url": self.market.url,
            "key": self.key,
            "call": call,
            "args": args,
            "words": words,
        }
        told = json.loads(await asyncio.to_thread(self._exchange, json.dumps(order)))
        if "raises" in told:
            raise ClientError(f"{told['raises']}: {told['says']}")
        return told["gives"]

    def _exchange(self, line: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    async def pod(self, **words: object) -> str:
        """Rent a pod with a card."""
        return str((await self("create_pod", "mine", "img:1", CARD, **words))["id"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of whoever uses the client."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[subprocess.Popen[str]]:
    command = [str(BIN / "python"), str(FOLDER / "driver.py")]
    where = os.environ | {"HOME": str(home)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=where) as process:
        yield process
        assert process.stdin
        process.stdin.close()


@pytest_asyncio.fixture
async def sdk(client: subprocess.Popen[str]) -> AsyncIterator[Sdk]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with market_serving(Path(folder)) as market:
            await market.report(await market.host(country="PL", public_ip="203.0.113.7"))
            yield Sdk(client, market, await market.key("renter@example.org", "10"))


async def test_the_account_is_known_and_a_wrong_key_is_not(sdk: Sdk) -> None:
    user = await sdk("get_user")
    assert user["id"].startswith("user_")
    assert (user["pubKey"], user["networkVolumes"]) == ("", [])
    sdk.key = "rpa_wrong"
    with pytest.raises(ClientError, match="AuthenticationError"):
        await sdk("get_user")


async def test_keys_for_ssh_are_saved(sdk: Sdk) -> None:
    saved = await sdk("update_user_settings", f"{KEY}\n\n{KEY.replace('me@home', 'me@work')}")
    assert saved["pubKey"].count("ssh-ed25519") == 2
    assert (await sdk("get_user"))["pubKey"] == saved["pubKey"]


async def test_cards_are_listed_and_looked_up(sdk: Sdk) -> None:
    listed = {"id": CARD, "displayName": "RTX 4090", "memoryInGb": 24}
    assert await sdk("get_gpus") == [listed]
    card = await sdk("get_gpu", CARD, 2)
    assert (card["maxGpuCount"], card["communityPrice"], card["securePrice"]) == (2, 0.36, None)
    assert card["lowestPrice"] == {"minimumBidPrice": 0.1, "uninterruptablePrice": 0.36}
    with pytest.raises(ClientError, match="ValueError: No GPU found"):
        await sdk("get_gpu", "NVIDIA B200")


async def test_a_pod_lives_and_ends(sdk: Sdk) -> None:
    env = {"A": "b"}
    made = await sdk("create_pod", "mine", "img:1", CARD, ports="8888/http, 22/tcp", env=env)
    assert (made["imageName"], made["env"]) == ("img:1", ["A=b"])
    assert made["machine"]["podHostId"].startswith(made["id"])
    await sdk.market.tick(times=2)
    (shown,) = await sdk("get_pods")
    assert shown == await sdk("get_pod", made["id"])
    assert (shown["desiredStatus"], shown["uptimeSeconds"]) == ("RUNNING", 60)
    assert await sdk("stop_pod", made["id"]) == {"id": made["id"], "desiredStatus": "EXITED"}
    await sdk.market.tick()
    assert (await sdk("resume_pod", made["id"], 1))["desiredStatus"] == "RUNNING"
    assert await sdk("terminate_pod", made["id"]) is None
    assert await sdk("get_pods") == []
    assert await sdk("get_pod", made["id"]) is None


async def test_a_pod_without_a_card_has_the_size_of_its_instance(sdk: Sdk) -> None:
    made = await sdk("create_pod", "small", "img:1", instance_id="cpu3c-4-8")
    shown = await sdk("get_pod", made["id"])
    assert (shown["gpuCount"], shown["vcpuCount"], shown["memoryInGb"]) == (0, 4, 8)
    assert (shown["imageName"], shown["containerDiskInGb"]) == ("img:1", 10)


async def test_a_pod_is_made_from_a_template(sdk: Sdk) -> None:
    made = await sdk(
        "create_template",
        "mine",
        "img:2",
        docker_start_cmd="serve --now",
        container_disk_in_gb=15,
        ports="80/http",
        env={"A": "b"},
    )
    assert (made["dockerArgs"], made["env"]) == ("serve --now", [{"key": "A", "value": "b"}])
    pod = await sdk("create_pod", "mine", "", CARD, template_id=made["id"], env={"C": "d"})
    shown = await sdk("get_pod", pod["id"])
    assert (shown["imageName"], shown["containerDiskInGb"]) == ("img:2", 15)
    assert (shown["dockerArgs"], shown["ports"]) == ("serve --now", "80/http")
    assert shown["env"] == ["A=b", "C=d"]


async def test_a_credential_is_kept_renewed_and_forgotten(sdk: Sdk) -> None:
    made = await sdk("create_container_registry_auth", "hub", "me", "secret")
    renewed = await sdk("update_container_registry_auth", made["id"], "me", "other")
    assert renewed == made
    assert await sdk("delete_container_registry_auth", made["id"]) is True
    with pytest.raises(ClientError, match="QueryError: there is no registry credential"):
        await sdk("delete_container_registry_auth", made["id"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"gpu_count": 8}, "QueryError: There are no longer any instances available"),
        ({"cloud_type": "SECURE"}, "QueryError: There are no longer any instances available"),
        ({"country_code": "DE"}, "QueryError: There are no longer any instances available"),
        (
            {"data_center_id": "x", "network_volume_id": "v"},
            "QueryError: this market has no network",
        ),
        ({"env": {"A": 'a "quoted" value'}}, "QueryError: Syntax Error"),
        ({"container_disk_in_gb": 100_000}, "QueryError: There are no longer any instances"),
    ],
)
async def test_what_cannot_be_had_is_said_in_a_line(
    sdk: Sdk, words: dict[str, object], says: str
) -> None:
    with pytest.raises(ClientError, match=says):
        await sdk.pod(**words)
    assert await sdk("get_pods") == []


async def test_a_renter_without_money_is_told_so(sdk: Sdk) -> None:
    sdk.key = await sdk.market.key("poor@example.org")
    with pytest.raises(ClientError, match="QueryError: an hour of this pod costs"):
        await sdk.pod()


async def test_endpoints_are_none_and_cannot_be_made(sdk: Sdk) -> None:
    assert await sdk("get_endpoints") == []
    with pytest.raises(ClientError, match="QueryError: this market has no serverless endpoints"):
        await sdk("create_endpoint", "e", "ollama", flashboot=True)
    with pytest.raises(ClientError, match="QueryError: this market has no serverless endpoints"):
        await sdk("update_endpoint_template", "e", "ollama")


async def test_a_shell_is_found_at_the_public_address(sdk: Sdk) -> None:
    pod = await sdk.pod(ports="22/tcp")
    sdk.market.hosts[0].opens[pod] = {22: 40022}
    await sdk.market.tick(times=2)
    assert await sdk("get_pod_ssh_ip_port", pod, timeout=30) == ["203.0.113.7", 40022]


async def runpod(sdk: Sdk, home: Path, *words: str) -> str:
    """Run the command line as a process of somebody whose home is `home`; return what it prints."""
    process = await asyncio.create_subprocess_exec(
        str(BIN / "runpod"),
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"HOME": str(home), "RUNPOD_API_BASE_URL": sdk.market.url},
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed
    return printed.decode()


async def test_the_command_line_keeps_its_key_for_the_next_time(sdk: Sdk, home: Path) -> None:
    assert "Credentials set" in await sdk("command_line", "config", sdk.key)
    pod = await sdk.pod()
    assert pod in await runpod(sdk, home, "pod", "list")


async def test_the_command_line_makes_a_key_for_ssh(sdk: Sdk) -> None:
    added = await sdk("command_line", "ssh", "add-key", types="y\nmine\n")
    assert "has been added" in added
    assert "mine" in await sdk("command_line", "ssh", "list-keys")
    assert (await sdk("get_user"))["pubKey"].endswith(" mine")


async def test_the_command_line_rents_its_default_pod(sdk: Sdk) -> None:
    with_3090 = await sdk.market.host("second", card="NVIDIA GeForce RTX 3090")
    await sdk.market.report(with_3090)
    said = await sdk("command_line", "pod", "create", "first", types="y\n")
    (pod,) = await sdk("get_pods")
    assert f"Pod {pod['id']} has been created." in said
    assert (pod["imageName"], pod["ports"]) == ("runpod/base:0.0.0", "22/tcp")

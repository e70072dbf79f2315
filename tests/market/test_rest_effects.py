"""What a body asks for, as the host that runs the pod is told."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest_asyncio

from puna.wire.agent import PodOrder
from tests.market.lots import CARD
from tests.market.serving import MarketServing, market_serving

V2 = {"name": "n", "image": "img:1", "gpu": {"id": CARD}, "cloud": "COMMUNITY"}
V1 = {"imageName": "img:1", "gpuTypeIds": [CARD], "cloudType": "COMMUNITY"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB ann@home"
REGISTRY = {"name": "ghcr", "username": "ann", "password": "sesame"}


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as market:
        yield market


async def ordered(serving: MarketServing, key: str, path: str, body: object) -> PodOrder:
    """Rent a pod, and return what its host is told of it."""
    host = await serving.host()
    reply = await serving.ask("POST", path, body, key=key)
    assert reply.status == 201, reply.body
    await serving.tick()
    (order,) = host.orders.pods
    return order


async def test_start_ssh_gives_the_accounts_keys(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    await serving.ask("PUT", "/v2/account/ssh-keys", {"keys": [KEY]}, key=key)
    order = await ordered(serving, key, "/v2/pods", {**V2, "startSsh": True})
    assert order.env["PUBLIC_KEY"] == KEY


async def test_without_it_there_are_none(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    await serving.ask("PUT", "/v2/account/ssh-keys", {"keys": [KEY]}, key=key)
    order = await ordered(serving, key, "/v2/pods", V2)
    assert "PUBLIC_KEY" not in order.env
    assert "JUPYTER_PASSWORD" not in order.env


async def test_start_jupyter_gives_a_password_that_is_told(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    order = await ordered(serving, key, "/v2/pods", {**V2, "startJupyter": True})
    (pod,) = (await serving.ask("GET", "/v2/pods", key=key)).json["pods"]
    assert len(pod["env"]["JUPYTER_PASSWORD"]) > 10
    assert order.env["JUPYTER_PASSWORD"] == pod["env"]["JUPYTER_PASSWORD"]


async def test_a_password_that_was_sent_stays(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    body = {**V2, "startJupyter": True, "env": {"JUPYTER_PASSWORD": "mine"}}
    assert (await ordered(serving, key, "/v2/pods", body)).env["JUPYTER_PASSWORD"] == "mine"


async def test_a_registry_is_the_credential_that_the_host_pulls_with(
    serving: MarketServing,
) -> None:
    key = await serving.key("ann@example.org", "5")
    registry = (await serving.ask("POST", "/v2/registries", REGISTRY, key=key)).json["id"]
    order = await ordered(serving, key, "/v2/pods", {**V2, "registry": registry})
    assert order.credential is not None
    assert (order.credential.username, order.credential.password) == ("ann", "sesame")


async def test_what_a_container_is_made_of_arrives(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    volume = {"size": 10, "path": "/keep"}
    body = {**V2, "args": "run it", "disk": 7, "ports": ["80/http"], "env": {"A": "1"}}
    order = await ordered(serving, key, "/v2/pods", {**body, "mounts": {"persistent": volume}})
    assert (order.image, order.args, order.ports) == ("img:1", "run it", ["80/http"])
    assert (order.disk, order.volume, order.volume_path) == (7 * 10**9, 10 * 10**9, "/keep")
    assert order.env["A"] == "1"
    assert order.cards == 1


async def test_a_command_arrives_word_by_word(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    body = {**V2, "entrypoint": ["/bin/sh"], "cmd": ["-c", "a && b"]}
    order = await ordered(serving, key, "/v2/pods", body)
    assert (order.entrypoint, order.args) == (["/bin/sh"], "-c 'a && b'")
    shown = (await serving.ask("GET", f"/v2/pods/{order.pod}", key=key)).json
    assert (shown["entrypoint"], shown["cmd"]) == (["/bin/sh"], ["-c", "a && b"])
    cleared: dict[str, list[str]] = {"entrypoint": [], "cmd": []}
    changed = (await serving.ask("PATCH", f"/v2/pods/{order.pod}", cleared, key=key)).json
    assert (changed["entrypoint"], changed["cmd"], changed["args"]) == ([], [], "")


async def test_a_card_comes_with_the_memory_and_processors_that_are_asked_for(
    serving: MarketServing,
) -> None:
    key = await serving.key("ann@example.org", "5")
    gpu = {"id": CARD, "count": 2, "minRamPerGpu": 20, "minVcpuCountPerGpu": 1}
    order = await ordered(serving, key, "/v2/pods", {**V2, "gpu": gpu})
    shown = (await serving.ask("GET", f"/v2/pods/{order.pod}", key=key)).json["gpu"]
    assert (shown["count"], shown["memory"], shown["vcpuCount"]) == (2, 40, 4)


async def test_times_and_the_runtime_of_ours_arrive(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    puna = {"terminateAfter": "1d", "idleStop": "30m"}
    begun = serving.world.now()
    order = await ordered(serving, key, "/v2/pods", {**V2, "puna": puna})
    assert order.terminate_at == begun + timedelta(days=1)
    assert (order.idle_stop_s, order.runtime) == (1800, "runc")


async def test_version_1_sends_its_command_and_entrypoint(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    body = {**V1, "dockerEntrypoint": ["tini", "--"], "dockerStartCmd": ["sh", "-c", "a b"]}
    order = await ordered(serving, key, "/v1/pods", body)
    assert (order.entrypoint, order.args) == (["tini", "--"], "sh -c 'a b'")
    assert order.volume == 20 * 10**9


async def test_a_pod_may_stop_itself_by_the_key_that_it_is_given(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    order = await ordered(serving, key, "/v2/pods", V2)
    assert order.env["RUNPOD_POD_ID"] == order.pod
    own, path = order.env["RUNPOD_API_KEY"], f"/v2/pods/{order.pod}"
    assert (await serving.ask("POST", "/v2/pods", V2, key=own)).status == 403
    assert (await serving.ask("GET", path, key=own)).status == 200
    stopped = await serving.ask("POST", f"{path}/action", {"action": "stop"}, key=own)
    assert (stopped.status, stopped.json["status"]) == (200, "EXITED")
    assert (await serving.ask("DELETE", path, key=own)).status == 204


async def test_a_pods_key_opens_no_other_pod(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    order = await ordered(serving, key, "/v2/pods", V2)
    other = (await serving.ask("POST", "/v2/pods", V2, key=key)).json["id"]
    own = order.env["RUNPOD_API_KEY"]
    reply = await serving.ask("DELETE", f"/v2/pods/{other}", key=own)
    assert reply.status in {403, 404}
    assert (await serving.ask("GET", f"/v2/pods/{other}", key=key)).status == 200

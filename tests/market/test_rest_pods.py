"""Pods in RunPod's version 2, as its clients see them on the wire."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from puna.market.actions.accounts import KeyWish
from puna.wire.agent import CardUse, UseReport
from tests.market.lots import CARD
from tests.market.serving import MarketServing, Reply, market_serving

BODY = {"name": "n", "image": "img:1", "gpu": {"id": CARD}, "cloud": "COMMUNITY"}


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as market:
        yield market


async def renting(serving: MarketServing, **changes: object) -> tuple[str, Reply]:
    """Return the key of a new account with money, and the reply to its first `POST /v2/pods`."""
    key = await serving.key("ann@example.org", "5")
    await serving.host()
    body = {name: each for name, each in {**BODY, **changes}.items() if each is not None}
    return key, await serving.ask("POST", "/v2/pods", body, key=key)


async def shown(serving: MarketServing, key: str, pod: Mapping[str, Any]) -> dict[str, Any]:
    found = await serving.ask("GET", f"/v2/pods/{pod['id']}", key=key)
    assert found.status == 200
    return dict(found.json)


async def test_a_new_pod_is_told_in_full(serving: MarketServing) -> None:
    _, reply = await renting(serving, env={"A": "b"}, ports=["8888/http", "22/tcp"])
    assert reply.status == 201
    told = reply.json
    assert told.pop("id").isalnum()
    puna = told.pop("puna")
    assert told == {
        "name": "n",
        "status": "STARTING",
        "actions": ["stop", "terminate"],
        "image": "img:1",
        "args": "",
        "entrypoint": [],
        "cmd": [],
        "disk": 20,
        "env": {"A": "b"},
        "ports": ["8888/http", "22/tcp"],
        "registry": None,
        "mounts": {},
        "gpu": {"id": CARD, "count": 1, "vcpuCount": 2, "memory": 8},
        "cloud": "COMMUNITY",
        "dataCenterId": told["dataCenterId"],
        "cudaVersion": None,
        "ssh": {"proxy": None, "direct": None},
        "template": None,
        "cost": 0.36,
        "locked": False,
        "globalNetworking": {"enabled": False},
        "runtime": None,
        "createdAt": told["createdAt"],
        "startedAt": None,
    }
    assert puna["tenure"] == "on_demand"
    assert puna["price"] == "0.36"
    assert puna["spent"] == "0.00"


async def test_a_pod_that_runs_tells_of_its_ports_and_what_it_spent(
    serving: MarketServing,
) -> None:
    key, reply = await renting(serving, ports=["8888/http"])
    await serving.tick(times=4)
    told = await shown(serving, key, reply.json)
    assert (told["status"], told["actions"]) == ("RUNNING", ["stop", "restart", "terminate"])
    assert told["runtime"]["uptime"] >= 120
    assert told["runtime"]["ports"] == [{"private": 8888, "type": "http"}]
    assert told["ssh"]["proxy"]["username"] == told["id"]
    assert float(told["puna"]["spent"]) > 0
    assert told["puna"]["urls"]["8888"].endswith(f"/p/{told['id']}/8888/")


async def test_a_pod_that_runs_tells_what_it_uses(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    host = await serving.host()
    reply = await serving.ask("POST", "/v2/pods", BODY, key=key)
    await serving.tick(times=2)
    use = UseReport(processor=40, memory=25, cards=[CardUse(busy=90, memory=50)])
    report = host.shown[reply.json["id"]].model_copy(update={"use": use})
    await serving.report(host, pods=[report])
    runtime = (await shown(serving, key, reply.json))["runtime"]
    assert (runtime["cpu"], runtime["memory"]) == ({"util": 40}, {"util": 25})
    assert runtime["gpus"] == [{"util": 90, "memoryUtil": 50}]


async def test_port_22_of_a_public_machine_is_reached_directly(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    host = await serving.host(public_ip="203.0.113.7")
    reply = await serving.ask("POST", "/v2/pods", {**BODY, "ports": ["22/tcp"]}, key=key)
    host.opens[reply.json["id"]] = {22: 17740}
    await serving.tick(times=2)
    told = await shown(serving, key, reply.json)
    assert told["ssh"]["direct"]["command"] == "ssh root@203.0.113.7 -p 17740"
    assert told["runtime"]["ports"] == [
        {"private": 22, "public": 17740, "type": "tcp", "ip": "203.0.113.7"}
    ]


async def test_each_mistake_of_a_body_is_named(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    reply = await serving.ask("POST", "/v2/pods", {"imageName": "a"}, key=key)
    assert reply.status == 422
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json["title"] == "Unprocessable Entity"
    assert reply.json["detail"] == "Request validation failed."
    assert sorted(reply.json["errors"]) == [
        "$: additional properties 'imageName' not allowed",
        "$: missing property 'name'",
    ]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"templateId": "nothere"}, 404, "there is no template nothere"),
        ({"gpu": {"id": "Another Card"}}, 400, "no longer any instances available"),
        ({"cloud": "SECURE"}, 400, "no longer any instances available"),
        ({"globalNetworking": True}, 400, "no global networking"),
        ({"registry": "nothere"}, 404, "no registry credential nothere"),
        ({"env": {"A": "{{ RUNPOD_SECRET_x }}"}}, 404, 'no secret "x"'),
        ({"puna": {"access": {"1": "open"}}}, 400, "no HTTP port"),
    ],
)
async def test_what_contradicts_itself_or_is_not_there_is_refused(
    serving: MarketServing, body: dict[str, object], status: int, told: str
) -> None:
    _, reply = await renting(serving, **body)
    assert (reply.status, reply.json["status"]) == (status, status)
    assert told in reply.json["detail"]


async def test_no_money_for_an_hour_is_402(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "0.1")
    await serving.host()
    reply = await serving.ask("POST", "/v2/pods", BODY, key=key)
    assert (reply.status, reply.json["title"]) == (402, "Payment Required")


async def test_a_template_fills_in_what_a_body_leaves_out(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    await serving.host()
    sent = {
        "name": "t",
        "image": "img:7",
        "args": "serve",
        "disk": 30,
        "env": {"A": "1", "B": "2"},
        "ports": ["80/http"],
        "mounts": {"persistent": {"size": 10, "path": "/keep"}},
        "startJupyter": False,
    }
    made = await serving.ask("POST", "/v2/templates", sent, key=key)
    body = {**BODY, "templateId": made.json["id"], "env": {"B": "3"}, "disk": 5}
    del body["image"]
    told = (await serving.ask("POST", "/v2/pods", body, key=key)).json
    assert (told["image"], told["args"], told["disk"]) == ("img:7", "serve", 5)
    assert told["env"] == {"A": "1", "B": "3"}
    assert told["mounts"] == {"persistent": {"size": 10, "path": "/keep"}}
    assert told["template"] == made.json["id"]


async def test_a_pod_without_a_card_has_memory_by_its_kind(serving: MarketServing) -> None:
    _, reply = await renting(serving, gpu=None, cpu={"id": "cpu3g", "vcpuCount": 4})
    assert reply.status == 201
    assert "gpu" not in reply.json
    assert reply.json["cpu"] == {"id": "cpu3g", "vcpuCount": 4, "memory": 16}


async def test_the_life_of_a_pod(serving: MarketServing) -> None:
    key, reply = await renting(serving)
    path = f"/v2/pods/{reply.json['id']}"
    await serving.tick()
    stopped = await serving.ask("POST", f"{path}/action", {"action": "stop"}, key=key)
    assert (stopped.status, stopped.json["status"]) == (200, "EXITED")
    assert stopped.json["actions"] == ["start", "terminate"]
    assert stopped.json["cost"] == 0
    again = await serving.ask("POST", f"{path}/action", {"action": "stop"}, key=key)
    assert (again.status, again.json["title"]) == (409, "Conflict")
    started = await serving.ask("POST", f"{path}/action", {"action": "start"}, key=key)
    assert started.json["status"] in {"PROVISIONING", "STARTING"}
    gone = await serving.ask("POST", f"{path}/action", {"action": "terminate"}, key=key)
    assert (gone.status, gone.body) == (204, b"")
    assert (await serving.ask("GET", "/v2/pods", key=key)).json == {"pods": []}


async def test_an_action_that_does_not_exist_names_those_that_do(serving: MarketServing) -> None:
    key, reply = await renting(serving)
    path = f"/v2/pods/{reply.json['id']}/action"
    wrong = await serving.ask("POST", path, {"action": "reset"}, key=key)
    assert wrong.status == 422
    assert wrong.json["errors"] == [
        "$.action: value must be one of 'start', 'stop', 'restart', 'terminate'"
    ]


async def test_a_deleted_pod_is_gone_without_a_body(serving: MarketServing) -> None:
    key, reply = await renting(serving)
    path = f"/v2/pods/{reply.json['id']}"
    gone = await serving.ask("DELETE", path, key=key)
    assert (gone.status, gone.body) == (204, b"")
    await serving.tick(times=2)
    assert (await serving.ask("GET", path, key=key)).status == 404
    assert (await serving.ask("DELETE", path, key=key)).status == 404


async def test_limits_and_cursors_are_taken_and_the_list_is_whole(serving: MarketServing) -> None:
    key, _ = await renting(serving)
    await serving.ask("POST", "/v2/pods", BODY, key=key)
    reply = await serving.ask("GET", "/v2/pods?limit=1&cursor=x&includeClusterPods=true", key=key)
    assert len(reply.json["pods"]) == 2


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"name": "mine"}),
        ("DELETE", "", None),
        ("POST", "/action", {"action": "stop"}),
        ("GET", "/logs", None),
    ],
)
async def test_another_accounts_pod_is_not_there(
    serving: MarketServing, method: str, tail: str, body: object
) -> None:
    _, reply = await renting(serving)
    eve = await serving.key("eve@example.org", "5")
    path = f"/v2/pods/{reply.json['id']}{tail}"
    assert (await serving.ask(method, path, body, key=eve)).status == 404


async def test_a_key_that_reads_cannot_rent(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5", KeyWish(may_write=False))
    assert (await serving.ask("POST", "/v2/pods", BODY, key=key)).status == 403
    assert (await serving.ask("GET", "/v2/pods", key=key)).status == 200


@pytest.mark.parametrize("path", ["/v2/pods", "/v2/pods/x", "/v2/account/ssh-keys"])
async def test_nobody_without_a_key_is_answered(serving: MarketServing, path: str) -> None:
    assert (await serving.ask("GET", path)).status == 401


async def test_a_name_and_a_lock_change_in_place(serving: MarketServing) -> None:
    key, reply = await renting(serving)
    await serving.tick()
    path = f"/v2/pods/{reply.json['id']}"
    told = await serving.ask("PATCH", path, {"name": "other", "locked": True}, key=key)
    assert (told.json["name"], told.json["locked"]) == ("other", True)
    assert (told.json["status"], told.json["actions"]) == ("RUNNING", ["restart"])
    assert (await serving.ask("DELETE", path, key=key)).status == 409


async def test_a_pod_that_goes_is_not_there_to_go_again(serving: MarketServing) -> None:
    """Its host has not let go: a second request is answered as one after that is."""
    key, reply = await renting(serving)
    await serving.tick()
    path = f"/v2/pods/{reply.json['id']}"
    assert (await serving.ask("DELETE", path, key=key)).status == 204
    ways: tuple[tuple[str, str, object], ...] = (
        ("DELETE", path, None),
        ("POST", f"{path}/action", {"action": "terminate"}),
        ("DELETE", path.replace("/v2/", "/v1/"), None),
    )
    for method, way, body in ways:
        assert (await serving.ask(method, way, body, key=key)).status == 404
    assert (await shown(serving, key, reply.json))["status"] == "TERMINATED"
    await serving.tick()
    assert [(await serving.ask(*way, key=key)).status for way in ways] == [404] * 3


async def test_what_a_container_is_made_of_resets_it(serving: MarketServing) -> None:
    key, reply = await renting(serving, env={"A": "1"}, ports=["80/http"])
    await serving.tick()
    path = f"/v2/pods/{reply.json['id']}"
    change = {"image": "img:2", "env": {}, "ports": [], "args": "run"}
    told = (await serving.ask("PATCH", path, change, key=key)).json
    assert told["status"] == "STARTING"
    assert (told["image"], told["env"], told["ports"], told["args"]) == ("img:2", {}, [], "run")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"gpu": {"id": CARD}}, 422),
        ({"mounts": {"persistent": {"size": 20}}}, 400),
        ({"mounts": {"network": [{"volumeId": "v", "path": "/w"}]}}, 404),
        ({"globalNetworking": True}, 400),
        ({"templateId": "nothere"}, 404),
        ({"env": {"A=": "1"}}, 400),
        ({}, 200),
    ],
)
async def test_what_cannot_be_changed_is_refused(
    serving: MarketServing, change: dict[str, object], status: int
) -> None:
    key, reply = await renting(serving)
    path = f"/v2/pods/{reply.json['id']}"
    assert (await serving.ask("PATCH", path, change, key=key)).status == status


async def test_a_volume_grows_and_never_shrinks(serving: MarketServing) -> None:
    key, reply = await renting(serving, mounts={"persistent": {"size": 20, "path": "/w"}})
    path = f"/v2/pods/{reply.json['id']}"
    more = await serving.ask("PATCH", path, {"mounts": {"persistent": {"size": 30}}}, key=key)
    assert more.json["mounts"] == {"persistent": {"size": 30, "path": "/w"}}
    less = await serving.ask("PATCH", path, {"mounts": {"persistent": {"size": 10}}}, key=key)
    assert (less.status, "only grows" in less.json["detail"]) == (400, True)


async def test_who_may_call_a_port_is_changed_without_a_reset(serving: MarketServing) -> None:
    key, reply = await renting(serving, ports=["80/http"])
    await serving.tick()
    path = f"/v2/pods/{reply.json['id']}"
    assert reply.json["puna"]["access"] == {"80": "closed"}
    change = {"puna": {"access": {"80": "open"}}}
    told = (await serving.ask("PATCH", path, change, key=key)).json
    assert (told["status"], told["puna"]["access"]) == ("RUNNING", {"80": "open"})

"""Templates, registries and keys in RunPod's version 2, and what this market has not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from puna.market.actions.accounts import KeyWish
from tests.market.lots import CARD
from tests.market.serving import MarketServing, market_serving

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB ann@home"
REGISTRY = {"name": "ghcr", "username": "ann", "password": "secret"}


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as market:
        yield market


async def test_the_life_of_a_template(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org")
    made = await serving.ask("POST", "/v2/templates", {"name": "t", "image": "i"}, key=key)
    assert made.status == 201
    path = f"/v2/templates/{made.json['id']}"
    assert (await serving.ask("GET", path, key=key)).json == made.json
    changed = await serving.ask("PATCH", path, {"disk": 9}, key=key)
    assert changed.json == {**made.json, "disk": 9}
    listed = await serving.ask("GET", "/v2/templates?limit=5", key=key)
    assert listed.json == {"templates": [changed.json]}
    gone = await serving.ask("DELETE", path, key=key)
    assert (gone.status, gone.body) == (204, b"")
    assert (await serving.ask("GET", path, key=key)).status == 404


async def test_a_public_template_is_read_by_all_and_changed_by_its_owner(
    serving: MarketServing,
) -> None:
    ann, eve = await serving.key("ann@example.org"), await serving.key("eve@example.org")
    body = {"name": "t", "image": "i", "public": True}
    made = await serving.ask("POST", "/v2/templates", body, key=ann)
    path = f"/v2/templates/{made.json['id']}"
    assert (await serving.ask("GET", path, key=eve)).status == 200
    assert (await serving.ask("PATCH", path, {"name": "x"}, key=eve)).status == 404
    assert (await serving.ask("DELETE", path, key=eve)).status == 404
    assert (await serving.ask("GET", "/v2/templates", key=eve)).json == {"templates": []}


async def test_an_official_template_is_read_and_not_changed(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org")
    assert (await serving.ask("GET", "/v2/templates/ollama", key=key)).json["name"] == "Ollama"
    changed = await serving.ask("PATCH", "/v2/templates/ollama", {"name": "x"}, key=key)
    assert changed.status == 404


async def test_a_template_or_credential_that_a_pod_uses_stays(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    await serving.host()
    registry = await serving.ask("POST", "/v2/registries", REGISTRY, key=key)
    body = {"name": "t", "image": "i", "registry": registry.json["id"]}
    template = await serving.ask("POST", "/v2/templates", body, key=key)
    wish = {"name": "n", "templateId": template.json["id"], "gpu": {"id": CARD}}
    pod = await serving.ask("POST", "/v2/pods", {**wish, "cloud": "COMMUNITY"}, key=key)
    assert pod.json["registry"] == registry.json["id"]
    for path in (f"templates/{template.json['id']}", f"registries/{registry.json['id']}"):
        refused = await serving.ask("DELETE", f"/v2/{path}", key=key)
        assert (refused.status, "in use" in refused.json["detail"]) == (400, True)


async def test_the_life_of_a_credential_and_its_password_is_never_told(
    serving: MarketServing,
) -> None:
    key = await serving.key("ann@example.org")
    made = await serving.ask("POST", "/v2/registries", REGISTRY, key=key)
    assert (made.status, made.json) == (201, {"id": made.json["id"], "name": "ghcr"})
    path = f"/v2/registries/{made.json['id']}"
    assert (await serving.ask("GET", path, key=key)).json == made.json
    assert (await serving.ask("GET", "/v2/registries", key=key)).json == {"registries": [made.json]}
    again = await serving.ask("POST", "/v2/registries", REGISTRY, key=key)
    assert again.status == 409
    eve = await serving.key("eve@example.org")
    assert (await serving.ask("DELETE", path, key=eve)).status == 404
    assert (await serving.ask("DELETE", path, key=key)).status == 204
    assert (await serving.ask("PATCH", path, {"name": "x"}, key=key)).status == 405


async def test_ssh_keys_are_replaced_all_at_once(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org")
    assert (await serving.ask("GET", "/v2/account/ssh-keys", key=key)).json == {"keys": []}
    put = await serving.ask("PUT", "/v2/account/ssh-keys", {"keys": [KEY]}, key=key)
    assert (put.status, put.json) == (200, {"keys": [KEY]})
    assert (await serving.ask("GET", "/v2/account/ssh-keys", key=key)).json == {"keys": [KEY]}


@pytest.mark.parametrize("body", [{}, {"keys": ["hello"]}, {"keys": "x"}, {"keys": [], "a": 1}])
async def test_what_is_no_list_of_keys_is_422(serving: MarketServing, body: object) -> None:
    key = await serving.key("ann@example.org")
    reply = await serving.ask("PUT", "/v2/account/ssh-keys", body, key=key)
    assert reply.status == 422
    assert reply.json["errors"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/network-volumes/x"),
        ("DELETE", "/v2/network-volumes/x"),
        ("PATCH", "/v2/serverless/x"),
        ("GET", "/v2/serverless/x/workers/y/logs"),
        ("GET", "/v2/clusters/x/pods"),
    ],
)
async def test_of_what_the_market_has_not_none_is_found(
    serving: MarketServing, method: str, path: str
) -> None:
    key = await serving.key("ann@example.org")
    reply = await serving.ask(method, path, {} if method == "PATCH" else None, key=key)
    assert (reply.status, reply.json["title"]) == (404, "Not Found")
    assert reply.json["detail"].startswith("there is no x: this market has no")
    assert reply.json["hint"]
    assert (await serving.ask(method, path)).status == 401


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("network-volumes", "networkVolumes"),
        ("global-volumes", "globalVolumes"),
        ("serverless", "endpoints"),
        ("clusters", "clusters"),
        ("registries/delegations", "delegations"),
    ],
)
async def test_what_the_market_has_not_is_an_empty_list_and_501_says_what_to_do(
    serving: MarketServing, path: str, named: str
) -> None:
    key = await serving.key("ann@example.org")
    listed = await serving.ask("GET", f"/v2/{path}", key=key)
    assert (listed.status, listed.json[named]) == (200, [])
    if named.endswith("Volumes"):  # RunPod's Python SDK reads these in pages
        assert listed.json["pagination"]["hasNextPage"] is False
    made = await serving.ask("POST", f"/v2/{path}", {}, key=key)
    assert (made.status, made.json["title"]) == (501, "Not Implemented")
    assert "this market has no" in made.json["detail"]
    assert made.json["hint"]
    assert (await serving.ask("POST", f"/v2/{path}", {})).status == 401


async def test_a_key_that_reads_changes_nothing(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", wish=KeyWish(may_write=False))
    assert (await serving.ask("POST", "/v2/registries", REGISTRY, key=key)).status == 403
    assert (await serving.ask("POST", "/v2/templates", {"name": "t"}, key=key)).status == 403
    put = await serving.ask("PUT", "/v2/account/ssh-keys", {"keys": []}, key=key)
    assert put.status == 403


@pytest.mark.parametrize("path", ["/v2/pods", "/v2/templates"])
async def test_a_credential_is_named_by_its_id(serving: MarketServing, path: str) -> None:
    key = await serving.key("ann@example.org", "5")
    await serving.host()
    made = (await serving.ask("POST", "/v2/registries", REGISTRY, key=key)).json
    card = {"gpu": {"id": CARD}, "cloud": "COMMUNITY"} if path.endswith("pods") else {}
    body = {"name": "t", "image": "i", "registry": made["name"], **card}
    refused = await serving.ask("POST", path, body, key=key)
    assert (refused.status, refused.json["hint"]) == (404, f"its id is {made['id']}")
    kept = await serving.ask("POST", path, {**body, "registry": made["id"]}, key=key)
    assert kept.json["registry"] == made["id"]


@pytest.mark.parametrize("path", ["/v2/pods/%00", "/v2/templates/a%20b", "/v2/registries/%F0%9F"])
async def test_what_can_be_no_id_is_not_there(serving: MarketServing, path: str) -> None:
    key = await serving.key("ann@example.org")
    assert (await serving.ask("GET", path, key=key)).status == 404


@pytest.mark.parametrize(
    ("version", "path"), [("v1", "/v1/pods/{pod}/stop"), ("v2", "/v2/pods/{pod}/action")]
)
async def test_each_version_describes_itself_and_nothing_else(
    serving: MarketServing, version: str, path: str
) -> None:
    told = (await serving.ask("GET", f"/{version}/openapi.json")).json
    assert path in told["paths"]
    assert all(each.startswith(f"/{version}/") for each in told["paths"])
    assert told["security"] == [{"bearer": []}]


@pytest.mark.parametrize(
    ("path", "with_key"), [("/v2/pods", 422), ("/v1/pods", 400), ("/v2/templates", 422)]
)
async def test_the_key_comes_before_what_is_wrong_with_the_body(
    serving: MarketServing, path: str, with_key: int
) -> None:
    key = await serving.key("ann@example.org")
    sent = {"Content-Type": "application/json"}
    async with serving.session.post(serving.url + path, data=b"{no", headers=sent) as reply:
        assert reply.status == 401
    sent["Authorization"] = f"Bearer {key}"
    async with serving.session.post(serving.url + path, data=b"{no", headers=sent) as reply:
        assert reply.status == with_key
        assert "the body is not JSON" in await reply.text()

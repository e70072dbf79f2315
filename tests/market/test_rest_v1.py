"""RunPod's version 1, as `runpodctl` and scripts see it on the wire."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from puna.market.actions.accounts import KeyWish
from tests.market.lots import CARD
from tests.market.serving import MarketServing, Reply, market_serving

BODY = {"name": "n", "imageName": "img:1", "gpuTypeIds": [CARD], "cloudType": "COMMUNITY"}
REGISTRY = {"name": "ghcr", "username": "ann", "password": "secret"}


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as market:
        yield market


async def renting(serving: MarketServing, **changes: object) -> tuple[str, Reply]:
    """Return the key of a new account with money, and the reply to its first `POST /v1/pods`."""
    key = await serving.key("ann@example.org", "5")
    await serving.host()
    return key, await serving.ask("POST", "/v1/pods", {**BODY, **changes}, key=key)


async def test_the_life_of_a_pod(serving: MarketServing) -> None:
    key, made = await renting(serving, unknown=1)
    assert (made.status, made.json["desiredStatus"]) == (201, "RUNNING")
    path = f"/v1/pods/{made.json['id']}"
    await serving.tick()
    assert (await serving.ask("GET", path, key=key)).json["uptimeSeconds"] >= 0
    for verb, intent in (
        ("restart", "RUNNING"),
        ("reset", "RUNNING"),
        ("stop", "EXITED"),
        ("start", "RUNNING"),
    ):
        told = await serving.ask("POST", f"{path}/{verb}", key=key)
        assert (told.status, told.json["desiredStatus"]) == (200, intent)
        await serving.tick()
    gone = await serving.ask("DELETE", path, key=key)
    assert (gone.status, gone.body) == (204, b"")
    assert (await serving.ask("GET", "/v1/pods", key=key)).json == []


async def test_both_ways_to_change_a_pod(serving: MarketServing) -> None:
    key, made = await renting(serving)
    path = f"/v1/pods/{made.json['id']}"
    told = await serving.ask("PATCH", path, {"name": "a", "locked": True, "x": 1}, key=key)
    assert (told.status, told.json["name"], told.json["locked"]) == (200, "a", True)
    told = await serving.ask("PUT", path, {"name": "c"}, key=key)
    assert told.json["name"] == "c"
    told = await serving.ask("POST", f"{path}/update", {"locked": False, "name": "b"}, key=key)
    assert (told.json["name"], told.json["locked"]) == ("b", False)


async def test_a_list_is_bare_and_filtered(serving: MarketServing) -> None:
    key, made = await renting(serving)
    for query, count in (
        ("", 1),
        ("?computeType=CPU", 0),
        (f"?id=x,{made.json['id']}", 1),
        ("?name=n&name=m&desiredStatus=RUNNING", 1),
    ):
        listed = await serving.ask("GET", f"/v1/pods{query}", key=key)
        assert len(listed.json) == count


async def test_what_a_query_includes_is_there(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    await serving.host()
    sent = {"name": "t", "imageName": "img:7", "volumeInGb": 0}
    template = (await serving.ask("POST", "/v1/templates", sent, key=key)).json
    body = {**BODY, "imageName": None, "templateId": template["id"]}
    made = await serving.ask("POST", "/v1/pods", body, key=key)
    path = f"/v1/pods/{made.json['id']}"
    assert made.json["machine"] == {}
    told = await serving.ask("GET", f"{path}?includeMachine=true&includeTemplate=true", key=key)
    assert told.json["machine"]["gpuTypeId"] == CARD
    assert told.json["template"] == template


async def test_a_spot_pod_bids_what_the_owner_takes(serving: MarketServing) -> None:
    _, made = await renting(serving, interruptible=True)
    assert (made.status, made.json["interruptible"]) == (201, True)
    assert (made.json["costPerHr"], made.json["puna"]["bid"]) == (0.1, "0.10")


async def test_without_an_owner_who_takes_bids_there_is_no_spot_pod(
    serving: MarketServing,
) -> None:
    key = await serving.key("ann@example.org", "5")
    await serving.host(least_bid=None)
    made = await serving.ask("POST", "/v1/pods", {**BODY, "interruptible": True}, key=key)
    assert made.status == 400
    assert "no longer any instances available" in made.json["error"]


async def test_errors_have_all_three_keys(serving: MarketServing) -> None:
    key, _ = await renting(serving)
    told = await serving.ask("GET", "/v1/pods/nothere", key=key)
    assert told.status == 404
    message = told.json["message"]
    assert told.json == {"error": message, "message": message, "status": 404}


async def test_a_bad_value_is_400_and_named(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    told = await serving.ask("POST", "/v1/pods", {**BODY, "cloudType": "ALL"}, key=key)
    assert (told.status, told.json["status"]) == (400, 400)
    assert "cloudType: value must be one of 'SECURE', 'COMMUNITY'" in told.json["message"]


@pytest.mark.parametrize(
    ("method", "tail"),
    [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/stop"), ("POST", "/reset")],
)
async def test_another_accounts_pod_is_not_there(
    serving: MarketServing, method: str, tail: str
) -> None:
    _, made = await renting(serving)
    eve = await serving.key("eve@example.org")
    body = {"name": "mine"} if method == "PATCH" else None
    told = await serving.ask(method, f"/v1/pods/{made.json['id']}{tail}", body, key=eve)
    assert told.status == 404


async def test_keys_are_looked_at(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5", KeyWish(may_write=False))
    assert (await serving.ask("GET", "/v1/pods")).status == 401
    assert (await serving.ask("GET", "/v1/pods", key=key)).status == 200
    assert (await serving.ask("POST", "/v1/pods", BODY, key=key)).status == 403


async def test_the_life_of_a_template(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org")
    sent = {"name": "t", "imageName": "i", "dockerStartCmd": ["a", "b c"], "x": 1}
    made = await serving.ask("POST", "/v1/templates", sent, key=key)
    assert (made.status, made.json["dockerStartCmd"]) == (200, ["a", "b c"])
    path = f"/v1/templates/{made.json['id']}"
    changed = await serving.ask("POST", f"{path}/update", {"readme": "hello"}, key=key)
    assert changed.json == {**made.json, "readme": "hello"}
    assert (await serving.ask("GET", path, key=key)).json == changed.json
    assert (await serving.ask("GET", "/v1/templates", key=key)).json == [changed.json]
    gone = await serving.ask("DELETE", path, key=key)
    assert (gone.status, gone.body) == (204, b"")


async def test_templates_of_others_are_listed_if_asked_for(serving: MarketServing) -> None:
    ann, eve = await serving.key("ann@example.org"), await serving.key("eve@example.org")
    sent = {"name": "shown", "imageName": "i", "isPublic": True}
    await serving.ask("POST", "/v1/templates", sent, key=ann)
    public = await serving.ask("GET", "/v1/templates?includePublicTemplates=true", key=eve)
    assert [each["name"] for each in public.json] == ["shown"]
    own = await serving.ask("GET", "/v1/templates?includePublicTemplates=true", key=ann)
    assert len(own.json) == 1
    official = await serving.ask("GET", "/v1/templates?includeRunpodTemplates=true", key=eve)
    assert {"ollama", "vllm"} <= {each["id"] for each in official.json}


async def test_the_life_of_a_credential(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org")
    root = "/v1/containerregistryauth"
    made = await serving.ask("POST", root, REGISTRY, key=key)
    assert (made.status, made.json) == (200, {"id": made.json["id"], "name": "ghcr"})
    path = f"{root}/{made.json['id']}"
    assert (await serving.ask("GET", path, key=key)).json == made.json
    assert (await serving.ask("GET", root, key=key)).json == [made.json]
    assert (await serving.ask("DELETE", path, key=key)).status == 204


@pytest.mark.parametrize(
    "path", ["endpoints", "networkvolumes", "billing/endpoints", "billing/networkvolumes"]
)
async def test_what_the_market_has_not_is_an_empty_list(serving: MarketServing, path: str) -> None:
    key = await serving.key("ann@example.org")
    told = await serving.ask("GET", f"/v1/{path}", key=key)
    assert (told.status, told.json) == (200, [])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "endpoints", 501),
        ("GET", "endpoints/x", 404),
        ("POST", "endpoints/x/update", 404),
        ("POST", "networkvolumes", 501),
        ("DELETE", "networkvolumes/x", 404),
    ],
)
async def test_and_nothing_of_it_is_found_or_can_be_made(
    serving: MarketServing, method: str, path: str, status: int
) -> None:
    key = await serving.key("ann@example.org")
    told = await serving.ask(method, f"/v1/{path}", key=key)
    assert (told.status, "this market has no" in told.json["error"]) == (status, True)

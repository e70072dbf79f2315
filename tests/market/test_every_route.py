"""Every route of the market, as its description lists them, asked by those who may not.

A route that is added is asked as well, without anybody remembering it.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import pytest_asyncio

from puna.market.actions.accounts import KeyWish
from tests.market.lots import CARD
from tests.market.serving import MarketServing, Reply, market_serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPEN = {"get /health"}
"""What anybody may ask. The agents' routes have keys of another kind."""
UNLISTED = [
    *(f"{method} /v2/{root}" for method in ("get", "post") for root in ("serverless", "clusters")),
    "get /v2/network-volumes/x",
    "post /v1/networkvolumes",
]
SECRETS = ("s3cret-word", "s3cret-pass")
POD = {"name": "n", "image": "i", "gpu": {"id": CARD}, "cloud": "COMMUNITY", "ports": ["80/http"]}


@dataclass
class Ann:
    """An account with one of everything, and the market that keeps it."""

    market: MarketServing
    key: str
    ids: Mapping[str, str]
    """By the name of the part of a path."""
    told: dict[str, Mapping[str, object]] = field(default_factory=dict)
    """The routes as they are described."""

    async def routes(self) -> list[tuple[str, str]]:
        """Return method and path of every route, with what is Ann's in it."""
        if not self.told:
            self.told |= (await self.market.ask("GET", "/openapi.json")).json["paths"]
        paths = self.told
        named = [f"{method} {path}" for path, each in paths.items() for method in each]
        renters = (each for each in (*named, *UNLISTED) if " /agent/" not in each)
        asked = [each for each in renters if each not in OPEN]
        return [(method.upper(), self._filled(path)) for method, path in map(str.split, asked)]

    def _filled(self, path: str) -> str:
        return re.sub(r"\{([a-z_]+)\}", lambda found: self.ids.get(found[1], "x"), path)

    async def ask(self, method: str, path: str, key: str) -> Reply:
        """Ask with a body that says nothing, or all that it has to."""
        bodies = {"/action": {"action": "stop"}, "/shares": {"port": 80}}
        body = next((each for tail, each in bodies.items() if path.endswith(tail)), {})
        sent = body if method in {"POST", "PUT", "PATCH"} else None
        return await self.market.ask(method, path, sent, key=key)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ann(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ann]:
    """One market for all: whoever may not ask leaves nothing behind."""
    async with market_serving(tmp_path_factory.mktemp("market")) as market:
        key = await market.key("ann@example.org", "50")
        host = await market.host()
        pod = await _made(market, key, "/v2/pods", POD)
        await market.tick(times=3)
        ids = {
            "pod": pod,
            "host": host.id,
            "template": await _made(market, key, "/v2/templates", {"name": "t", "image": "i"}),
            "registry": await _made(
                market,
                key,
                "/v2/registries",
                {"name": "r", "username": "u", "password": SECRETS[1]},
            ),
            "key": await _made(market, key, "/v2/puna/keys", {"name": "other"}),
            "share": await _made(market, key, f"/v2/puna/pods/{pod}/shares", {"port": 80}),
        }
        budget = {"scope": "account", "period": "ever", "limit": "40"}
        ids["budget"] = (await market.ask("PUT", "/v2/puna/budgets", budget, key=key)).json["id"]
        lines = (await market.ask("GET", "/v2/puna/bill", key=key)).json["lines"]
        ids["line"] = lines[0]["id"]
        query = f'mutation {{ secretCreate(input: {{name: "s", value: "{SECRETS[0]}"}}) {{ id }} }}'
        await market.ask("POST", "/graphql", {"query": query}, key=key)
        yield Ann(market, key, ids)


async def _made(market: MarketServing, key: str, path: str, body: object) -> str:
    reply = await market.ask("POST", path, body, key=key)
    assert reply.status == 201, reply.body
    return str(reply.json["id"])


@pytest.mark.parametrize("kind", ["none", "unknown", "revoked", "over", "pod"])
async def test_no_route_answers_a_key_that_is_not_good(ann: Ann, kind: str) -> None:
    key = await _bad_key(ann, kind)
    for method, path in await ann.routes():
        status = (await ann.ask(method, path, key)).status
        if kind != "pod" or path != "/graphql":
            assert status == (403 if kind == "pod" else 401), (method, path, status)


async def _bad_key(ann: Ann, kind: str) -> str:
    if kind == "none":
        return ""
    if kind == "unknown":
        return "rpa_" + "0" * 64
    if kind == "pod":
        await ann.market.tick()
        other = await _made(ann.market, ann.key, "/v2/pods", POD)
        await ann.market.tick(times=3)
        (order,) = [each for each in ann.market.hosts[0].orders.pods if each.pod == other]
        return str(order.env["RUNPOD_API_KEY"])
    if kind == "over":
        key = await ann.market.key("o@example.org", wish=KeyWish(lives=timedelta(seconds=30)))
        await ann.market.world.advance(ann.market.tariff.tick)
        return key
    body = {"name": "revoked"}
    made = (await ann.market.ask("POST", "/v2/puna/keys", body, key=ann.key)).json
    await ann.market.ask("DELETE", f"/v2/puna/keys/{made['id']}", key=ann.key)
    return str(made["key"])


async def test_a_key_that_reads_changes_nothing_anywhere(ann: Ann) -> None:
    body = {"name": "reader", "readOnly": True}
    key = (await ann.market.ask("POST", "/v2/puna/keys", body, key=ann.key)).json["key"]
    for method, path in await ann.routes():
        if method == "GET" or path == "/graphql":
            continue
        reply = await ann.ask(method, path, key)
        assert reply.status == 403, (method, path, reply.body)
    query = 'mutation { secretCreate(input: {name: "x", value: "y"}) { id } }'
    told = await ann.market.ask("POST", "/graphql", {"query": query}, key=key)
    assert told.json["errors"][0]["extensions"]["code"] == "read_only_key"


async def test_what_is_anns_is_not_there_for_eve(ann: Ann) -> None:
    eve = await ann.market.key("eve@example.org", "50")
    for method, path in await ann.routes():
        if not any(each in path for each in ann.ids.values()):
            continue
        reply = await ann.ask(method, path, eve)
        wanted = 403 if path.startswith("/operator") else 404
        assert reply.status == wanted, (method, path, reply.status, reply.body)
    pod = await ann.market.ask("GET", f"/v2/pods/{ann.ids['pod']}", key=ann.key)
    assert (pod.json["status"], pod.json["name"]) == ("RUNNING", "n")


QUERIES = (
    'query { pod(input: {podId: "POD"}) { id } }',
    'query { myself { pod(input: {podId: "POD"}) { id } } }',
    'query { podTemplate(id: "TEMPLATE") { id } }',
    'mutation { podStop(input: {podId: "POD"}) { id } }',
    'mutation { podTerminate(input: {podId: "POD"}) }',
    'mutation { podEditJob(input: {podId: "POD", imageName: "x"}) { id } }',
    'mutation { saveTemplate(input: {id: "TEMPLATE", name: "mine"}) { id } }',
    'mutation { deleteTemplate(id: "TEMPLATE") }',
    'mutation { deleteRegistryAuth(registryAuthId: "REGISTRY") }',
    'mutation { secretDelete(id: "s") }',
    'mutation { secretValueUpdate(input: {id: "s", value: "x"}) { id } }',
)


async def test_in_graphql_neither(ann: Ann) -> None:
    eve = await ann.market.key("mallory@example.org", "50")
    for query in QUERIES:
        asked = query
        for name, each in ann.ids.items():
            asked = asked.replace(name.upper(), each)
        reply = await ann.market.ask("POST", "/graphql", {"query": asked}, key=eve)
        found = [each for each in (reply.json.get("data") or {}).values() if each]
        assert "errors" in reply.json or found in ([], [{"pod": None}]), reply.body
    assert (await ann.market.ask("GET", f"/v2/pods/{ann.ids['pod']}", key=ann.key)).status == 200


async def test_nobody_but_the_operator_operates(ann: Ann) -> None:
    for method, path in await ann.routes():
        if path.startswith("/operator") or path == "/metrics":
            assert (await ann.ask(method, path, ann.key)).status == 403, (method, path)


async def test_no_answer_has_a_secret_in_it(ann: Ann) -> None:
    """Neither what was entrusted to the market, nor a key of anybody's."""
    keys = (ann.key, ann.market.admin_key, ann.market.hosts[0].key)
    for asking in (ann.key, ann.market.admin_key):
        for method, path in await ann.routes():
            if method != "GET" or path.endswith("/logs"):
                continue
            text = (await ann.ask(method, path, asking)).body.decode()
            found = [each for each in (*SECRETS, *keys) if each in text]
            assert not found, (path, text)

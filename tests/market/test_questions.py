"""Questions to a market that change nothing, asked of one that all of them share: what it refuses,
and what it filters."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.market.serving import MarketServing, market_serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud() -> AsyncIterator[MarketServing]:
    with tempfile.TemporaryDirectory() as folder:
        async with market_serving(Path(folder)) as serving:
            await serving.host(country="PL", cuda="12.8")
            yield serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def key(cloud: MarketServing) -> str:
    return await cloud.key("ann@example.org", "50")


async def get(cloud: MarketServing, key: str, path: str) -> Any:  # noqa: ANN401 - whatever the market says
    reply = await cloud.ask("GET", f"/v2{path}", key=key)
    assert reply.status == 200, reply.body
    return reply.json


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/offers?tenure=lease", 400, '"lease" is no tenure; there are on_demand and spot'),
        ("/offers?cloud=SKY", 400, '"SKY" is not known; there are SECURE, COMMUNITY'),
        ("/offers?minCudaVersion=new", 400, '"new" is not a version of CUDA'),
        ("/offers?bid=much", 400, '"much" is not an amount of dollars'),
        ("/offers?colour=red", 422, "additional properties 'colour' not allowed"),
        ("/offers?limit=5000", 422, "limit"),
        ("/bill?start=soon", 400, '"soon" is not a time'),
        ("/bill/none", 404, "the bill has no line none"),
        ("/spend?by=colour", 400, 'nothing is summed by "colour"'),
        ("/pods/none/events", 404, "there is no pod none"),
        ("/nothing", 404, "not found"),
    ],
)
async def test_what_makes_no_sense_gets_one_line(
    cloud: MarketServing, key: str, path: str, status: int, says: str
) -> None:
    reply = await cloud.ask("GET", f"/v2/puna{path}", key=key)
    assert reply.status == status
    assert says in str(reply.json)


@pytest.mark.parametrize("path", ["/account", "/offers", "/bill", "/spend", "/budgets", "/keys"])
async def test_nobody_looks_without_a_key(cloud: MarketServing, path: str) -> None:
    assert (await cloud.ask("GET", f"/v2/puna{path}")).status == 401


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"scope": "planet"}, 400, '"planet" is not known; there are account, key, project, pod'),
        ({"period": "week"}, 400, '"week" is not known; there are day, ever'),
        ({"limit": "-1"}, 400, "below zero"),
        ({"limit": "a lot"}, 400, "not an amount of dollars"),
        ({"scope": "pod", "owner": "x"}, 404, "there is no pod x"),
        ({"colour": "red"}, 422, "additional properties 'colour' not allowed"),
    ],
)
async def test_limits_that_make_no_sense_are_refused(
    cloud: MarketServing, key: str, change: dict[str, str], status: int, says: str
) -> None:
    body = {"scope": "account", "period": "day", "limit": "1"} | change
    reply = await cloud.ask("PUT", "/v2/puna/budgets", body, key=key)
    assert (reply.status, says in str(reply.json)) == (status, True)


@pytest.mark.parametrize("life", ["soon", "0d", "d", "-1d"])
async def test_a_life_that_makes_no_sense_is_refused(
    cloud: MarketServing, key: str, life: str
) -> None:
    body = {"name": "x", "expiresAfter": life}
    assert (await cloud.ask("POST", "/v2/puna/keys", body, key=key)).status == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/catalog/gpus?include=AVAILABILITY", 400),
        ("/catalog/gpus?cloud=SKY", 422),
        ("/catalog/gpus?anything=else", 200),
        ("/catalog/gpus/NVIDIA%20A1", 404),
        ("/catalog/cpus/cpu9x", 404),
        ("/catalog/datacenters/EU-DE-9", 404),
        ("/catalog/nothing", 404),
        ("/billing/planets", 404),
        ("/billing?lastN=3&startTime=-3d", 400),
        ("/billing?bucketSize=minute", 422),
        ("/billing?lastN=0", 422),
        ("/billing?startTime=9999-12-31T23:59:59Z", 400),
        ("/billing?startTime=0001-01-01T00:00:00Z", 400),
        ("/puna/bill?start=-99999999999999d", 200),
        ("/puna/bill?pod=%00", 400),
        ("/puna/offers?bid=1e999999999", 400),
    ],
)
async def test_questions_get_runpods_answers(
    cloud: MarketServing, key: str, path: str, status: int
) -> None:
    assert (await cloud.ask("GET", f"/v2{path}", key=key)).status == status


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("cloud=SECURE", 0),
        ("cloud=COMMUNITY", 1),
        ("countryCodes=de,PL", 1),
        ("countryCodes=DE", 0),
        ("minCudaVersion=12.4", 1),
        ("minCudaVersion=13.0", 0),
        ("cudaVersions=12.8,12.9", 1),
        ("cudaVersions=12.1", 0),
    ],
)
async def test_cards_are_filtered(cloud: MarketServing, key: str, query: str, count: int) -> None:
    assert len((await get(cloud, key, f"/catalog/gpus?{query}"))["gpus"]) == count


@pytest.mark.parametrize("what", ["serverless", "endpoints", "network-volumes", "clusters"])
async def test_what_is_not_there_costs_nothing(cloud: MarketServing, key: str, what: str) -> None:
    found = await get(cloud, key, f"/billing/{what}")
    assert (found["records"], found["metadata"]["totals"]["totalAmount"]) == ([], 0)

"""`/v2/catalog` and `/v2/billing`: RunPod's shapes, over what this market has."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from puna.market.actions.accounts import identify
from puna.market.db.accounts import Caller
from tests.market.lots import CARD
from tests.market.serving import MarketServing, market_serving


@pytest_asyncio.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as serving:
        yield serving


@pytest_asyncio.fixture
async def key(cloud: MarketServing) -> str:
    return await cloud.key("ann@example.org", "50")


async def caller(cloud: MarketServing, key: str) -> Caller:
    async with cloud.database.transaction() as tx:
        return await identify(tx, cloud.world, key)


async def get(cloud: MarketServing, key: str, path: str) -> Any:  # noqa: ANN401 - whatever the market says
    reply = await cloud.ask("GET", f"/v2{path}", key=key)
    assert reply.status == 200, reply.body
    return reply.json


async def test_a_card_has_runpods_fields(cloud: MarketServing, key: str) -> None:
    await cloud.host(country="PL", cuda="12.8")
    (card,) = (await get(cloud, key, "/catalog/gpus"))["gpus"]
    assert card == {
        "id": CARD,
        "name": "RTX 4090",
        "pool": "ADA_24",
        "manufacturer": "NVIDIA",
        "memory": 24,
        "secure": False,
        "community": True,
        "price": {"secure": 0.0, "community": 0.36},
        "maxCount": {"secure": 0, "community": 2},
    }


async def test_availability_is_told_where_it_is_asked_for(cloud: MarketServing, key: str) -> None:
    await cloud.host(country="PL", cuda="12.8")
    path = f"/catalog/gpus/{CARD}?include=AVAILABILITY&product=POD".replace(" ", "%20")
    card = await get(cloud, key, path)
    assert card["availability"] == "LOW"
    assert card["dataCenters"] == [{"id": "EU-PL-1", "name": "EU-PL-1", "availability": "LOW"}]
    assert card["cudaVersions"] == [{"version": "12.8", "available": True}]
    assert (await get(cloud, key, path + "&count=4"))["availability"] == "NONE"
    assert (await get(cloud, key, path.replace("POD", "CLUSTER")))["availability"] == "NONE"


async def test_what_is_closed_has_no_price(cloud: MarketServing, key: str) -> None:
    now = cloud.world.now()
    await cloud.host("paused", is_paused=True)
    await cloud.host("night", opens="23:00", closes="01:00")
    assert 1 < now.hour < 23
    (card,) = (await get(cloud, key, "/catalog/gpus"))["gpus"]
    assert card["price"] == {"secure": 0.0, "community": 0.0}
    await cloud.host("day", opens="11:00", closes="13:00", price=500_000)
    (card,) = (await get(cloud, key, "/catalog/gpus"))["gpus"]
    assert card["price"]["community"] == 0.5


async def test_machines_without_cards_are_kinds_of_cpus(cloud: MarketServing, key: str) -> None:
    await cloud.host(card="", cards=0, card_memory=0, price=20_000, country="PL")
    found = await get(cloud, key, "/catalog/cpus?include=AVAILABILITY&product=POD&vcpuCount=16")
    named = {each["id"]: each for each in found["cpus"]}
    assert named["cpu3g"]["ramGbPerVcpu"] == 4
    assert named["cpu3g"]["price"] == {"securePerVcpu": 0.02, "serverlessPerVcpu": 0.0}
    assert (named["cpu3g"]["vcpu"], named["cpu3g"]["availability"]) == (
        {"min": 2, "max": 16},
        "LOW",
    )
    assert await get(cloud, key, "/catalog/cpus/cpu5c") == {
        "id": "cpu5c",
        "name": "Compute-Optimized",
        "group": "cpu5",
        "vcpu": {"min": 2, "max": 16},
        "ramGbPerVcpu": 2,
        "price": {"securePerVcpu": 0.02, "serverlessPerVcpu": 0.0},
    }


async def test_processors_beside_a_card_are_let_too(cloud: MarketServing, key: str) -> None:
    await cloud.host(country="PL")
    path = "/catalog/cpus/cpu3c?include=AVAILABILITY&product=POD"
    found = await get(cloud, key, path)
    assert (found["availability"], found["price"]["securePerVcpu"]) == ("LOW", 0.36)
    assert found["dataCenters"] == [{"id": "EU-PL-1", "name": "EU-PL-1", "availability": "LOW"}]
    assert (await get(cloud, key, path + "&vcpuCount=32"))["availability"] == "NONE"
    cpu = {"name": "n", "image": "i", "cpu": {"id": "cpu3c", "vcpuCount": 2}, "cloud": "COMMUNITY"}
    assert (await cloud.ask("POST", "/v2/pods", cpu, key=key)).status == 201


async def test_places_are_where_machines_stand(cloud: MarketServing, key: str) -> None:
    await cloud.host("pl", country="PL")
    await cloud.host("jp", country="JP", card="", cards=0, card_memory=0)
    path = "/catalog/datacenters?include=GPU_AVAILABILITY,CPU_AVAILABILITY&regions=EUROPE"
    (place,) = (await get(cloud, key, path))["dataCenters"]
    assert (place["id"], place["region"], place["globalNetwork"]) == ("EU-PL-1", "EUROPE", False)
    assert place["gpuAvailability"] == [{"id": CARD, "name": "RTX 4090", "availability": "LOW"}]
    assert {each["availability"] for each in place["cpuAvailability"]} == {"LOW"}
    assert (await get(cloud, key, "/catalog/datacenters/AP-JP-1"))["region"] == "ASIA"
    assert (await get(cloud, key, "/catalog/datacenters?compliance=GDPR"))["dataCenters"] == []


async def test_bills_have_a_record_for_each_pod_and_bucket(cloud: MarketServing, key: str) -> None:
    ann = await caller(cloud, key)
    await cloud.host()
    pods = [await cloud.rent(ann), await cloud.rent(ann)]
    await cloud.tick(3600, times=2)
    paid = sum(each.line.amount for each in await cloud.bill(ann))
    found = await get(cloud, key, "/billing/pods?lastN=1")
    assert {each["podId"] for each in found["records"]} == {pod.id for pod in pods}
    assert found["metadata"]["recordCount"] == found["metadata"]["uniquePodCount"] == 2
    assert found["metadata"]["totals"]["totalAmount"] == paid / 10**6
    record = found["records"][0]
    assert (record["startTime"], record["endTime"]) == (
        "2026-08-01T00:00:00Z",
        "2026-08-02T00:00:00Z",
    )
    assert record["totalAmount"] == pytest.approx(record["gpuAmount"] + record["diskAmount"])
    assert record["cpuAmount"] == 0


@pytest.mark.parametrize("bucket", ["hour", "day", "week", "month", "year"])
async def test_the_whole_bill_is_the_same_in_every_bucket(
    cloud: MarketServing, key: str, bucket: str
) -> None:
    ann = await caller(cloud, key)
    await cloud.host()
    await cloud.rent(ann)
    await cloud.tick(1800, times=3)
    paid = sum(each.line.amount for each in await cloud.bill(ann))
    found = await get(cloud, key, f"/billing?bucketSize={bucket}&startTime=-1d")
    totals = found["metadata"]["totals"]
    assert totals["totalAmount"] == paid / 10**6
    assert totals["podGpuAmount"] + totals["podDiskAmount"] == pytest.approx(paid / 10**6)
    assert found["metadata"]["query"]["bucketSize"] == bucket


async def test_bills_of_network_volumes_go_by_their_old_name_too(
    cloud: MarketServing, key: str
) -> None:
    found = await get(cloud, key, "/billing/networkvolumes?lastN=1")
    assert found == await get(cloud, key, "/billing/network-volumes?lastN=1")
    nothing = await cloud.ask("GET", "/v2/billing/nothing", key=key)
    assert (nothing.status, nothing.json["code"]) == (404, "nothing_billed")


async def test_runpods_own_template_goes_by_its_id(cloud: MarketServing, key: str) -> None:
    told = (await cloud.ask("GET", "/v1/templates/runpod-torch-v21", key=key)).json
    assert "pytorch" in told["imageName"]
    assert told["readme"]
    assert told["ports"] == ["8888/http", "22/tcp"]


async def test_one_pods_bill_is_found_by_its_id(cloud: MarketServing, key: str) -> None:
    ann = await caller(cloud, key)
    await cloud.host()
    pods = [await cloud.rent(ann), await cloud.rent(ann)]
    await cloud.tick(times=2)
    found = await get(cloud, key, f"/billing/pods?podId={pods[0].id}")
    assert [each["podId"] for each in found["records"]] == [pods[0].id]
    assert found["metadata"]["query"]["filter"] == {"podId": pods[0].id}

"""`/v1/billing/pods`, which `runpodctl billing pods` prints."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.market.lots import CARD
from tests.market.serving import MarketServing, market_serving

BODY = {"name": "n", "imageName": "img", "gpuTypeIds": [CARD], "cloudType": "COMMUNITY"}


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as market:
        yield market


async def spent(serving: MarketServing) -> tuple[str, str]:
    """Return a key and its pod, which has run for some minutes."""
    key = await serving.key("ann@example.org", "5")
    await serving.host()
    made = await serving.ask("POST", "/v1/pods", {**BODY, "volumeInGb": 0}, key=key)
    await serving.tick(times=7)
    return key, made.json["id"]


async def test_a_bill_has_a_record_for_each_card(serving: MarketServing) -> None:
    key, pod = await spent(serving)
    (record,) = (await serving.ask("GET", "/v1/billing/pods", key=key)).json
    assert record["gpuTypeId"] == CARD
    assert "podId" not in record
    assert record["timeBilledMs"] >= 300_000
    assert record["diskSpaceBilledGb"] == 50
    told = (await serving.ask("GET", f"/v2/pods/{pod}", key=key)).json
    assert f"{record['amount']:.6f}" == f"{float(told['puna']['spent']):.6f}"


async def test_or_for_each_pod(serving: MarketServing) -> None:
    key, pod = await spent(serving)
    asked = "/v1/billing/pods?grouping=podId&bucketSize=hour&startTime=-1h"
    records = (await serving.ask("GET", asked, key=key)).json
    assert {each["podId"] for each in records} == {pod}
    assert all(each["time"].endswith("00:00Z") for each in records)


async def test_disk_is_billed_by_what_there_was_of_it(serving: MarketServing) -> None:
    """20 GB of disk and 100 of volume while it runs, the volume alone after that."""
    key = await serving.key("ann@example.org", "5")
    await serving.host()
    body = {**BODY, "containerDiskInGb": 20, "volumeInGb": 100}
    pod = (await serving.ask("POST", "/v1/pods", body, key=key)).json["id"]
    await serving.tick(times=7)
    asked = "/v1/billing/pods?grouping=podId&bucketSize=year"
    (record,) = (await serving.ask("GET", asked, key=key)).json
    assert record["diskSpaceBilledGb"] == 120
    await serving.ask("POST", f"/v1/pods/{pod}/stop", key=key)
    await serving.tick(300, times=4)
    (record,) = (await serving.ask("GET", asked, key=key)).json
    assert 100 < record["diskSpaceBilledGb"] < 120


@pytest.mark.parametrize("query", ["podId=other", "gpuTypeId=Other", "endTime=-20d"])
async def test_only_what_was_asked_for_is_billed(serving: MarketServing, query: str) -> None:
    key, _ = await spent(serving)
    assert (await serving.ask("GET", f"/v1/billing/pods?{query}", key=key)).json == []


@pytest.mark.parametrize(
    "query", ["bucketSize=minute", "grouping=name", "startTime=soon", "startTime=now&endTime=-1d"]
)
async def test_what_cannot_be_billed_is_400(serving: MarketServing, query: str) -> None:
    key = await serving.key("ann@example.org")
    reply = await serving.ask("GET", f"/v1/billing/pods?{query}", key=key)
    assert (reply.status, reply.json["status"]) == (400, 400)


async def test_another_account_sees_nothing_of_it(serving: MarketServing) -> None:
    await spent(serving)
    eve = await serving.key("eve@example.org")
    assert (await serving.ask("GET", "/v1/billing/pods", key=eve)).json == []

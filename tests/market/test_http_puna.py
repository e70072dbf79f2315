"""`/v2/puna`: what a renter sees of offers, bills, limits and keys, over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest_asyncio

from puna.market.actions.accounts import identify
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod
from puna.market.domain.pods import Action
from puna.units import Money
from tests.market.lots import CARD
from tests.market.serving import MarketServing, market_serving


@pytest_asyncio.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as serving:
        yield serving


async def ann(cloud: MarketServing, credit: str = "50") -> tuple[str, Caller]:
    """Ann's key, and Ann."""
    key = await cloud.key("ann@example.org", credit)
    async with cloud.database.transaction() as tx:
        return key, await identify(tx, cloud.world, key)


async def get(cloud: MarketServing, key: str, path: str, **query: object) -> Any:  # noqa: ANN401 - whatever the market says
    reply = await cloud.ask("GET", f"/v2/puna{path}?{urlencode(query)}", key=key)
    assert reply.status == 200, reply.body
    return reply.json


async def a_running_pod(cloud: MarketServing, caller: Caller, **changes: object) -> Pod:
    pod = await cloud.rent(caller, **changes)
    await cloud.tick(times=2)
    return pod


async def test_an_account_is_told_its_money(cloud: MarketServing) -> None:
    key, caller = await ann(cloud)
    await cloud.host()
    await a_running_pod(cloud, caller)
    found = await get(cloud, key, "/account")
    assert (found["email"], found["isAdmin"], found["mayWrite"]) == ("ann@example.org", False, True)
    assert (found["anHour"], found["pods"], found["running"]) == ("0.36274", 1, 1)
    assert 137 * 3600 < found["runwaySeconds"] < 138 * 3600


async def test_offers_have_both_prices_and_refusals_their_reasons(cloud: MarketServing) -> None:
    key, _ = await ann(cloud)
    await cloud.host(country="PL")
    await cloud.host("de", country="DE", price=1)
    found = await get(cloud, key, "/offers", countries="pl", cards=CARD, volumeGb=73)
    (offer,) = found["offers"]
    assert (offer["name"], offer["onDemand"], offer["spot"]) == ("RTX 4090", "0.36", "0.10")
    assert (offer["free"], offer["dataCenterId"], offer["anHour"]) == (2, "EU-PL-1", "0.37274")
    assert [each["why"] for each in found["refused"]] == ["another country"]


async def test_pages_of_offers_end(cloud: MarketServing) -> None:
    key, _ = await ann(cloud)
    for name in ("a", "b", "c"):
        await cloud.host(name)
    first = await get(cloud, key, "/offers", limit=2)
    second = await get(cloud, key, "/offers", limit=2, after=first["after"])
    assert [len(first["offers"]), len(second["offers"]), second["after"]] == [2, 1, ""]


async def test_the_bill_is_the_sum_of_its_lines_in_every_view(cloud: MarketServing) -> None:
    key, caller = await ann(cloud)
    await cloud.host()
    pods = [await a_running_pod(cloud, caller), await a_running_pod(cloud, caller, volume_gb=9)]
    first = await get(cloud, key, "/bill", limit=5)
    rest = await get(cloud, key, "/bill", after=first["after"])
    total = Money(sum(Money.parse(row["amount"]) for row in first["lines"] + rest["lines"]))
    assert total == sum(each.line.amount for each in await cloud.bill(caller))
    for by, names in (
        ("pod", {pod.id for pod in pods}),
        ("key", {caller.key.id}),
        ("card", {CARD}),
    ):
        found = await get(cloud, key, "/spend", by=by)
        assert {row["id"] for row in found["rows"]} == names
        assert Money.parse(found["total"]) == total
        assert sum(Money.parse(row["amount"]) for row in found["rows"]) == total


async def test_sums_come_in_pages_and_the_total_is_of_all(cloud: MarketServing) -> None:
    key, caller = await ann(cloud)
    await cloud.host()
    pods = [await a_running_pod(cloud, caller), await a_running_pod(cloud, caller)]
    first = await get(cloud, key, "/spend", by="pod", limit=1)
    second = await get(cloud, key, "/spend", by="pod", limit=1, after=first["after"])
    assert [first["rows"][0]["id"], second["rows"][0]["id"]] == sorted(pod.id for pod in pods)
    assert first["rows"][0]["name"] == "mine"
    assert first["total"] == second["total"]


async def test_days_without_spending_are_shown(cloud: MarketServing) -> None:
    key, caller = await ann(cloud)
    await cloud.host()
    await a_running_pod(cloud, caller)
    found = await get(cloud, key, "/spend", start="-3d")
    assert [row["id"] for row in found["rows"]] == [
        "2026-07-29",
        "2026-07-30",
        "2026-07-31",
        "2026-08-01",
    ]
    assert [row["amount"] for row in found["rows"][:3]] == ["0.00"] * 3
    assert found["rows"][3]["amount"] == found["total"] != "0.00"


async def test_a_line_is_explained_by_its_entry(cloud: MarketServing) -> None:
    key, caller = await ann(cloud)
    host = await cloud.host()
    pod = await a_running_pod(cloud, caller)
    line = (await get(cloud, key, "/bill"))["lines"][0]
    found = await get(cloud, key, f"/bill/{line['id']}")
    assert found["line"] == line
    assert "charged $" in found["product"]
    assert {row["book"] for row in found["postings"]} == {
        f"escrow:{pod.id}",
        f"host:{host.owner}",
        "fee",
    }
    assert sum(Money.parse(row["amount"]) for row in found["postings"]) == 0


async def test_lines_of_another_account_are_not_told(cloud: MarketServing) -> None:
    key, caller = await ann(cloud)
    await cloud.host()
    pod = await a_running_pod(cloud, caller)
    line = (await get(cloud, key, "/bill"))["lines"][0]["id"]
    other = await cloud.key("eve@example.org", "5")
    assert (await get(cloud, other, "/bill", pod=pod.id))["lines"] == []
    for path in (f"/bill/{line}", f"/pods/{pod.id}/events"):
        assert (await cloud.ask("GET", f"/v2/puna{path}", key=other)).status == 404


async def test_limits_are_set_shown_and_removed(cloud: MarketServing) -> None:
    key, _ = await ann(cloud)
    body = {"scope": "project", "owner": "web", "period": "day", "limit": "1.50"}
    made = (await cloud.ask("PUT", "/v2/puna/budgets", body, key=key)).json
    assert (made["limit"], made["left"], made["charged"]) == ("1.50", "1.50", "0.00")
    assert (await get(cloud, key, "/budgets"))["budgets"] == [made]
    gone = await cloud.ask("DELETE", f"/v2/puna/budgets/{made['id']}", key=key)
    assert (gone.status, gone.body) == (204, b"")
    assert (await get(cloud, key, "/budgets"))["budgets"] == []


async def test_a_key_is_made_once_and_may_do_what_it_says(cloud: MarketServing) -> None:
    key, _ = await ann(cloud)
    body = {"name": "ci", "readOnly": True, "expiresAfter": "30d"}
    made = (await cloud.ask("POST", "/v2/puna/keys", body, key=key)).json
    assert made["expires"].startswith("2026-08-31")
    assert (await get(cloud, made["key"], "/account"))["mayWrite"] is False
    refused = await cloud.ask("POST", "/v2/puna/keys", body, key=made["key"])
    assert refused.status == 403
    listed = (await get(cloud, key, "/keys"))["keys"]
    assert sorted(each["name"] for each in listed) == ["ci", "key"]
    assert made["key"] not in str(listed)
    assert (await cloud.ask("DELETE", "/v2/puna/keys/ci", key=key)).status == 204
    assert (await cloud.ask("GET", "/v2/puna/account", key=made["key"])).status == 401


async def test_a_bounded_key_makes_no_keys(cloud: MarketServing) -> None:
    key, _ = await ann(cloud)
    limit = {"scope": "key", "period": "ever", "limit": "1"}
    assert (await cloud.ask("PUT", "/v2/puna/budgets", limit, key=key)).status == 200
    reply = await cloud.ask("POST", "/v2/puna/keys", {"name": "b"}, key=key)
    assert (reply.status, reply.json["code"]) == (403, "bounded_key")


async def test_projects_are_the_words_under_which_was_rented(cloud: MarketServing) -> None:
    key, caller = await ann(cloud)
    await cloud.host()
    await a_running_pod(cloud, caller)
    found = await get(cloud, key, "/projects")
    assert found["projects"] == [{"name": "", "pods": 1, "openPods": 1}]


async def test_a_pods_story_is_told_to_its_proven_end(cloud: MarketServing) -> None:
    key, caller = await ann(cloud)
    await cloud.host()
    pod = await a_running_pod(cloud, caller)
    first = await get(cloud, key, f"/pods/{pod.id}/events")
    assert first["events"][0]["text"] == "rented by ann@example.org"
    assert (first["status"], first["runs"], first["isGone"]) == ("RUNNING", True, False)
    assert first["anHour"] == "0.36274"
    await cloud.act(caller, pod, Action.TERMINATE)
    await cloud.tick(times=2)
    rest = await get(cloud, key, f"/pods/{pod.id}/events", after=first["after"])
    assert rest["events"][-1]["text"] == "nothing of it is left on its host: closed"
    assert (rest["status"], rest["isGone"], rest["anHour"]) == ("TERMINATED", True, "0.00")
    paid = sum(each.line.amount for each in await cloud.bill(caller))
    assert Money.parse(rest["spent"]) == paid > 0

"""What only this market knows of a pod is changed in place: its times, its budget, its next bid."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from puna.market.actions.extras import ExtrasChange, change_extras
from puna.market.db import bills, pods
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod
from puna.market.domain.hosts import Tenure
from puna.market.domain.pods import Action, Status
from puna.market.domain.specs import InvalidPod
from puna.units import Money
from tests.market.lots import CARD
from tests.market.serving import MarketServing, market_serving
from tests.market.stage import Stage

HOUR = timedelta(hours=1)
BODY = {"name": "n", "image": "img:1", "gpu": {"id": CARD}, "cloud": "COMMUNITY"}


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as market:
        yield market


async def change(market: Stage, caller: Caller, pod: Pod, **changes: Any) -> Pod:  # noqa: ANN401
    async with market.database.transaction() as tx:
        await change_extras(tx, market.world, caller, pod.id, ExtrasChange(**changes))
    return await market.look(pod)


async def a_running_pod(market: Stage, caller: Caller, **changes: object) -> Pod:
    await market.host()
    pod = await market.rent(caller, **changes)
    await market.tick(times=2)
    return await market.look(pod)


async def test_a_time_to_stop_is_counted_from_now_and_kept(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod = await a_running_pod(market, ann)
    after = await change(market, ann, pod, times={"stop_after": timedelta(minutes=3)})
    assert after.stop_at == market.world.now() + timedelta(minutes=3)
    assert after.state.run == pod.state.run
    await market.tick(times=5)
    assert await market.status(pod) is Status.EXITED


async def test_a_time_is_taken_away(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod = await a_running_pod(market, ann, stop_after=HOUR, terminate_after=2 * HOUR)
    assert pod.stop_at is not None
    after = await change(market, ann, pod, times={"stop_after": None})
    assert (after.stop_at, after.terminate_at) == (None, pod.terminate_at)
    after = await change(market, ann, pod, times={"terminate_after": None, "idle_stop": HOUR})
    assert (after.terminate_at, after.spec.idle_stop) == (None, HOUR)


async def test_the_same_time_again_is_counted_anew(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod = await a_running_pod(market, ann, terminate_after=HOUR)
    await market.tick()
    after = await change(market, ann, pod, times={"terminate_after": HOUR})
    assert after.terminate_at == market.world.now() + HOUR


async def test_a_stopped_pod_counts_from_its_next_start(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod = await a_running_pod(market, ann)
    await market.act(ann, pod, Action.STOP)
    await market.tick()
    assert (await change(market, ann, pod, times={"stop_after": HOUR})).stop_at is None
    await market.act(ann, pod, Action.START)
    assert (await market.look(pod)).stop_at == market.world.now() + HOUR


async def test_a_bid_changes_between_two_runs(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod = await a_running_pod(market, ann, tenure=Tenure.SPOT, bid=Money(150_000))
    with pytest.raises(Exception, match="a run keeps its price"):
        await change(market, ann, pod, bid=Money(200_000))
    await market.act(ann, pod, Action.STOP)
    await market.tick()
    after = await change(market, ann, pod, bid=Money(200_000), returns=True)
    assert (after.spec.bid, after.price, after.spec.returns) == (200_000, 200_000, True)


@pytest.mark.parametrize("changes", [{"bid": Money(1)}, {"returns": True}])
async def test_what_is_of_spot_pods_changes_no_other(
    market: Stage, changes: dict[str, object]
) -> None:
    ann = await market.account("ann@example.org", "5")
    pod = await a_running_pod(market, ann)
    with pytest.raises(InvalidPod, match="only a spot pod"):
        await change(market, ann, pod, **changes)


async def patch(serving: MarketServing, version: str, extras: object) -> tuple[int, Any]:
    """Rent a pod, change its extras in a dialect, and return how that went."""
    key = await serving.key("ann@example.org", "5")
    await serving.host()
    pod = (await serving.ask("POST", "/v2/pods", BODY, key=key)).json["id"]
    reply = await serving.ask("PATCH", f"/{version}/pods/{pod}", {"puna": extras}, key=key)
    return reply.status, reply.json


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_every_dialect_changes_them(serving: MarketServing, version: str) -> None:
    wish = {"stopAfter": "2h", "terminateAfter": "1d", "idleStop": "30m", "budget": "1.50"}
    status, told = await patch(serving, version, wish)
    assert status == 200
    assert told["puna"]["stopAt"] == "2026-08-01T14:00:00Z"
    assert told["puna"]["terminateAt"] == "2026-08-02T12:00:00Z"
    async with serving.database.reading() as tx:
        found = await pods.pod_of(tx, told["id"])
        assert found is not None
        limits = await bills.budgets_over(tx, found, serving.world.now())
    assert [each.budget.limit for each in limits] == [1_500_000]


async def test_a_budget_is_replaced_and_taken_away(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", "5")
    await serving.host()
    body = {**BODY, "puna": {"budget": "2"}}
    pod = (await serving.ask("POST", "/v2/pods", body, key=key)).json["id"]
    for sent, left in (({"budget": "3"}, ["3.00"]), ({"budget": None}, []), ({}, [])):
        reply = await serving.ask("PATCH", f"/v2/pods/{pod}", {"puna": sent}, key=key)
        assert reply.status == 200
        listed = await serving.ask("GET", "/v2/puna/budgets", key=key)
        assert [each["limit"] for each in listed.json["budgets"]] == left


@pytest.mark.parametrize(
    ("extras", "told"),
    [
        ({"tenure": "spot"}, "'tenure' is settled when a pod is rented; there can be changed:"),
        ({"project": "x"}, "'project' is settled"),
        ({"nothing": 1}, "$.puna: additional properties 'nothing' not allowed"),
    ],
)
async def test_what_never_changes_is_said(
    serving: MarketServing, extras: object, told: str
) -> None:
    status, problem = await patch(serving, "v2", extras)
    assert status == 422
    assert told in problem["errors"][0]


async def test_a_budget_that_lets_nothing_run_is_refused(serving: MarketServing) -> None:
    status, problem = await patch(serving, "v2", {"budget": 0})
    assert (status, problem["code"]) == (400, "invalid_pod")

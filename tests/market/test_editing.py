"""Name and lock change in place; whatever the container is made from resets it."""

import pytest

from puna.errors import PunaError
from puna.market.actions.editing import PodChange, edit_pod, reset_pod
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod
from puna.market.domain.pods import Action, Status
from tests.market.stage import Stage


async def edit(market: Stage, caller: Caller, pod: Pod, **changes: object) -> Pod:
    change = PodChange(**changes)  # type: ignore[arg-type]
    async with market.database.transaction() as tx:
        return await edit_pod(tx, market.world, caller, pod.id, change)


async def a_running_pod(market: Stage, caller: Caller, **changes: object) -> Pod:
    await market.host()
    pod = await market.rent(caller, **changes)
    await market.tick(times=2)
    return await market.look(pod)


async def test_a_name_and_a_lock_change_in_place(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod = await a_running_pod(market, ann)
    after = await edit(market, ann, pod, name="other", is_locked=True)
    assert (after.name, after.state.is_locked, after.state.run) == ("other", True, 1)
    assert after.state.status is Status.RUNNING


async def test_another_image_is_another_run_with_the_same_id_and_host(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod = await a_running_pod(market, ann, volume_gb=10)
    after = await edit(market, ann, pod, image="img:2", env={"A": "b"}, volume_gb=20)
    assert (after.id, after.host, after.state.run) == (pod.id, pod.host, 2)
    (order,) = market.hosts[0].orders.pods
    await market.report(market.hosts[0])
    (order,) = market.hosts[0].orders.pods
    assert (order.run, order.image, order.env["A"]) == (2, "img:2", "b")
    await market.tick()
    assert await market.status(pod) is Status.RUNNING


async def test_a_stopped_pod_has_its_new_shape_from_its_next_start(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod = await a_running_pod(market, ann)
    await market.act(ann, pod, Action.STOP)
    after = await edit(market, ann, pod, args="serve")
    assert (after.spec.args, after.state.run, after.state.status) == ("serve", 1, Status.EXITED)


async def test_values_that_are_the_same_reset_nothing(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod = await a_running_pod(market, ann)
    after = await edit(market, ann, pod, image=pod.spec.image, registry="")
    assert after.state.run == 1


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"image": " "}, "needs an image"),
        ({"name": ""}, "1 to 191"),
        ({"volume_gb": 5}, "only grows"),
        ({"disk_gb": 5_000}, "no longer any instances"),
        ({"registry": "nobody"}, "no registry credential"),
        ({"template": "nobody"}, "no template"),
        ({"env": {"A": "{{ RUNPOD_SECRET_x }}"}}, "no secret"),
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(
    market: Stage, changes: dict[str, object], complaint: str
) -> None:
    ann = await market.account("ann@example.org", "5")
    pod = await a_running_pod(market, ann, volume_gb=10)
    with pytest.raises(PunaError, match=complaint):
        await edit(market, ann, pod, **changes)
    assert await market.look(pod) == pod


async def test_a_locked_pod_is_renamed_and_not_reset(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod = await a_running_pod(market, ann)
    await edit(market, ann, pod, is_locked=True)
    assert (await edit(market, ann, pod, name="other")).name == "other"
    with pytest.raises(PunaError, match="locked"):
        await edit(market, ann, pod, image="img:2")
    assert (await edit(market, ann, pod, is_locked=False, image="img:2")).state.run == 2


async def test_a_reset_is_another_run_of_the_same(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod = await a_running_pod(market, ann)
    async with market.database.transaction() as tx:
        assert (await reset_pod(tx, market.world, ann, pod.id)).state.run == 2
    await market.act(ann, pod, Action.STOP)
    async with market.database.transaction() as tx:
        with pytest.raises(PunaError, match="cannot be reset"):
            await reset_pod(tx, market.world, ann, pod.id)


async def test_a_stranger_edits_nothing(market: Stage) -> None:
    ann, bob = [await market.account(f"{name}@example.org", "5") for name in ("ann", "bob")]
    pod = await a_running_pod(market, ann)
    with pytest.raises(PunaError, match="no pod"):
        await edit(market, bob, pod, name="mine")

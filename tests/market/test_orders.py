"""What a pod is given at its start: RunPod's words, its secrets, a key for itself alone."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from puna.market.actions import secrets
from puna.market.actions.accounts import PodsKey, UnknownKey, identify
from puna.market.actions.editing import PodChange, edit_pod
from puna.market.actions.registries import RegistryWish, create_registry
from puna.market.actions.renting import Wish, rent_pod
from puna.market.actions.secrets import SecretWish
from puna.market.db.accounts import Caller, set_public_keys
from puna.market.db.pods import Pod
from puna.market.db.tables import pods as pods_table
from puna.market.domain.hosts import Tenure
from puna.market.domain.pods import Action, Status
from puna.units import Money
from puna.wire.agent import Credential, PodOrder
from tests.market.stage import SEAL, SPEC, Stage


async def keep_secret(market: Stage, caller: Caller, value: str) -> None:
    wish = SecretWish(name="token", value=value)
    async with market.database.transaction() as tx:
        await secrets.create_secret(tx, market.world, SEAL, caller.account.id, wish)


async def ordered(market: Stage, caller: Caller, **changes: object) -> tuple[Pod, PodOrder]:
    if not market.hosts:
        await market.host(public_ip="203.0.113.7")
    pod = await market.rent(caller, **changes)
    await market.tick()
    (order,) = [each for each in market.hosts[0].orders.pods if each.pod == pod.id]
    return pod, order


async def caller_inside(market: Stage, order: PodOrder) -> Caller:
    async with market.database.reading() as tx:
        return await identify(tx, market.world, order.env["RUNPOD_API_KEY"])


async def test_a_pod_is_given_what_runpod_gives(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod, order = await ordered(market, ann, processors=3, memory_gb=9, env={"A": "b"})
    assert {name: order.env[name] for name in order.env if name != "RUNPOD_API_KEY"} == {
        "RUNPOD_POD_ID": pod.id,
        "RUNPOD_POD_HOSTNAME": pod.id,
        "RUNPOD_DC_ID": "",
        "RUNPOD_GPU_COUNT": "1",
        "RUNPOD_CPU_COUNT": "3",
        "RUNPOD_MEM_GB": "9",
        "RUNPOD_PUBLIC_IP": "203.0.113.7",
        "A": "b",
    }
    assert order.env["RUNPOD_API_KEY"].startswith("rpa_")


async def test_public_keys_and_a_password_are_given_to_who_asks(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    async with market.database.transaction() as tx:
        await set_public_keys(tx, ann.account.id, ["ssh-ed25519 A a", "ssh-ed25519 B b"])
    _, plain = await ordered(market, ann)
    pod, order = await ordered(market, ann, starts_ssh=True, starts_jupyter=True)
    assert order.env["PUBLIC_KEY"] == "ssh-ed25519 A a\nssh-ed25519 B b"
    assert order.env["JUPYTER_PASSWORD"] == order.env["JUPYTER_TOKEN"]
    assert (await market.look(pod)).spec.env["JUPYTER_PASSWORD"] == order.env["JUPYTER_TOKEN"]
    assert not {"PUBLIC_KEY", "JUPYTER_PASSWORD"} & plain.env.keys()


async def test_a_password_of_its_renters_is_left_as_it_is(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    _, order = await ordered(market, ann, starts_jupyter=True, env={"JUPYTER_PASSWORD": "mine"})
    assert (order.env["JUPYTER_PASSWORD"], order.env["JUPYTER_TOKEN"]) == ("mine", "mine")


async def test_a_secret_reaches_the_host_and_no_table(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await keep_secret(market, ann, "s3cret")
    _, order = await ordered(market, ann, env={"TOKEN": "{{ RUNPOD_SECRET_token }}"})
    assert order.env["TOKEN"] == "s3cret"
    async with market.database.reading() as tx:
        (row,) = await tx.execute(select(pods_table))
    assert "s3cret" not in str(row)
    assert order.env["RUNPOD_API_KEY"] not in str(row)


async def test_a_run_keeps_what_it_was_given_and_the_next_has_the_new(market: Stage) -> None:
    """A secret or a key that changes must make no running container another one."""
    ann = await market.account("ann@example.org", "5")
    await keep_secret(market, ann, "old")
    pod, before = await ordered(market, ann, env={"T": "{{ RUNPOD_SECRET_token }}"})
    async with market.database.transaction() as tx:
        await secrets.update_secret(tx, SEAL, ann.account.id, "token", "new")
    await market.tick()
    assert market.hosts[0].orders.pods[0].env == before.env
    await market.act(ann, pod, Action.RESTART)
    await market.tick()
    assert market.hosts[0].orders.pods[0].env["T"] == "new"


async def test_a_pod_whose_secret_is_gone_stops_and_says_so(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await keep_secret(market, ann, "old")
    pod, _ = await ordered(market, ann, env={"T": "{{ RUNPOD_SECRET_token }}"})
    async with market.database.transaction() as tx:
        await secrets.delete_secret(tx, ann.account.id, "token")
    await market.act(ann, pod, Action.RESTART)
    await market.tick()
    assert await market.status(pod) is Status.EXITED
    assert 'cannot start: there is no secret "token"' in await market.log(pod)


async def test_a_credential_travels_with_the_order(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    credential = Credential(username="ann", password="pa55")
    async with market.database.transaction() as tx:
        wish = RegistryWish("hub", credential)
        made = await create_registry(tx, market.world, SEAL, ann.account.id, wish)
    async with market.database.transaction() as tx:
        await rent_pod(tx, market.world, ann, Wish(name="p", spec=SPEC, registry=made.id))
    await market.tick()
    assert host.orders.pods[0].credential == credential


async def test_the_key_in_a_pod_stops_and_terminates_that_pod_alone(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    other, _ = await ordered(market, ann)
    pod, order = await ordered(market, ann)
    inside = await caller_inside(market, order)
    with pytest.raises(PodsKey, match=pod.id):
        await market.act(inside, other, Action.STOP)
    with pytest.raises(PodsKey):
        await market.act(inside, pod, Action.RESTART)
    with pytest.raises(PodsKey):
        await market.rent(inside)
    async with market.database.transaction() as tx:
        with pytest.raises(PodsKey):
            await edit_pod(tx, market.world, inside, pod.id, PodChange(name="other"))
    await market.act(inside, pod, Action.STOP)
    await market.act(inside, pod, Action.TERMINATE)


async def test_the_key_in_a_pod_ends_with_its_run_and_with_the_pod(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod, first = await ordered(market, ann)
    await market.act(ann, pod, Action.RESTART)
    await market.tick()
    (second,) = market.hosts[0].orders.pods
    assert second.env["RUNPOD_API_KEY"] != first.env["RUNPOD_API_KEY"]
    with pytest.raises(UnknownKey):
        await caller_inside(market, first)
    await market.act(ann, pod, Action.TERMINATE)
    await market.tick(times=2)
    with pytest.raises(UnknownKey):
        await caller_inside(market, second)


async def test_who_is_displaced_is_told_until_when_it_may_stay(market: Stage) -> None:
    ann, bob = [await market.account(f"{name}@example.org", "5") for name in ("ann", "bob")]
    bid = Money.parse("0.10")
    pod, _ = await ordered(market, bob, tenure=Tenure.SPOT, bid=bid, cards=2)
    await market.rent(ann, cards=2)
    at = market.world.now()
    await market.report(market.hosts[0])
    (order,) = market.hosts[0].orders.pods
    assert (order.pod, order.want, order.reason) == (pod.id, "stop", "outbid")
    assert (order.grace_s, order.leave_by) == (60, at + timedelta(seconds=60))


async def test_who_is_stopped_by_its_renter_has_dockers_ten_seconds(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pod, _ = await ordered(market, ann)
    await market.act(ann, pod, Action.STOP)
    await market.report(market.hosts[0])
    (order,) = market.hosts[0].orders.pods
    assert (order.grace_s, order.leave_by) == (10, None)


async def test_orders_that_are_the_same_have_the_same_version(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await ordered(market, ann)
    first = await market.report(market.hosts[0])
    market.world.jump(timedelta(seconds=1))
    second = await market.report(market.hosts[0])
    assert first.version == second.version
    assert (first.now, second.now) != (None, first.now)

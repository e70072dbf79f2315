"""What a host is told: everything that should be on it, with what each pod is given at its start.

What a run of a pod is given (secrets, public keys, its own key) is settled when the run is first
ordered, and kept sealed: changing any of it later makes no running container another one.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from puna.market.actions.accounts import make_pod_key
from puna.market.actions.registries import credentials_by_registry
from puna.market.actions.secrets import NoSuchSecret, with_secrets
from puna.market.actions.sightings import OnHost
from puna.market.db import pods as db
from puna.market.db.accounts import public_keys_of
from puna.market.db.database import Transaction
from puna.market.db.pods import Pod
from puna.market.db.sealing import Seal
from puna.market.domain.commands import command_of
from puna.market.domain.hosts import Machine, Tenure
from puna.market.domain.pods import Desired, Intent
from puna.wire.agent import Orders, PodOrder
from puna.world import World

_WANT = {Desired.RUN: "run", Desired.STOP: "stop", Desired.TERMINATE: "terminate"}
_GRACE_S = 10
"""How long a container has after SIGTERM when its renter stops it, as with Docker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """What orders carry of the market itself."""

    seal: Seal
    url: str = ""
    """Where pods reach the market's API; empty where that is not known."""
    grace: timedelta = timedelta(seconds=60)
    report_every_s: int = 10


async def orders_for(
    tx: Transaction, world: World, dispatch: Dispatch, machine: Machine, on_host: OnHost
) -> Orders:
    """Return the orders for a host. The version changes with anything in them.

    A pod for which nothing is held yet is not ordered: money comes before the container.
    """
    ready = [pod for pod in on_host.pods if not _waits_for_money(pod)]
    registries = frozenset(pod.registry for pod in ready if pod.registry)
    credentials = await credentials_by_registry(tx, dispatch.seal, registries)
    orders = []
    for pod in ready:
        env = await _env_of(tx, world, dispatch, pod, machine)
        if env is not None:
            order = _order(pod, dispatch, env)
            credential = credentials.get(pod.registry or "")
            orders.append(order.model_copy(update={"credential": credential}))
    orders += await _remains(tx, on_host)
    return Orders(
        version=_version(orders),
        pods=orders,
        report_every_s=dispatch.report_every_s,
        now=world.now(),
    )


def _waits_for_money(pod: Pod) -> bool:
    return pod.state.desired is Desired.RUN and not pod.is_paid


def _version(orders: Sequence[PodOrder]) -> str:
    text = "\n".join(order.model_dump_json() for order in orders)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


async def _remains(tx: Transaction, on_host: OnHost) -> list[PodOrder]:
    """Return orders to remove what is left of pods that are elsewhere now, volume and all."""
    here = {pod.id for pod in on_host.pods}
    return [
        PodOrder(pod=each.pod, run=0, want="terminate", reason=each.reason)
        for each in on_host.orphans
        if each.pod not in here and await db.is_elsewhere(tx, each.pod, each.host)
    ]


async def _env_of(
    tx: Transaction, world: World, dispatch: Dispatch, pod: Pod, machine: Machine
) -> Mapping[str, str] | None:
    """Return the variables of a pod's run; None where they cannot be made, and it is stopped."""
    if pod.state.desired is not Desired.RUN:
        return {}
    place = f"pod:{pod.id}"
    if pod.boot_run == pod.state.run:
        kept: dict[str, str] = json.loads(dispatch.seal.open(pod.boot, place))
        return kept
    try:
        own = await with_secrets(tx, dispatch.seal, pod.account, pod.spec.env)
    except NoSuchSecret as error:
        stop = Intent(Desired.STOP, pod.state.run)
        await db.want(tx, pod, stop, world.now(), reason=error.message)
        await db.say(tx, pod.id, f"cannot start: {error.message}", world.now())
        return None
    secret = await make_pod_key(tx, world, pod.account, pod.id)
    keys = await public_keys_of(tx, pod.account) if pod.spec.starts_ssh else ()
    env = {**_given(dispatch, pod, machine), "RUNPOD_API_KEY": secret}
    if keys:
        env["PUBLIC_KEY"] = "\n".join(keys)
    env |= own
    sealed = dispatch.seal.close(json.dumps(env), place)
    await db.keep_boot(tx, pod.id, pod.state.run, sealed)
    return env


def _given(dispatch: Dispatch, pod: Pod, machine: Machine) -> dict[str, str]:
    """Return what RunPod gives every pod. The agent adds addresses and ports, which it alone knows.

    Its clients inside the pod find this market, where it has an address that others can reach.
    """
    spec = pod.spec
    env = {
        "RUNPOD_POD_ID": pod.id,
        "RUNPOD_POD_HOSTNAME": pod.id,
        "RUNPOD_DC_ID": machine.data_center,
        "RUNPOD_GPU_COUNT": str(spec.cards),
        "RUNPOD_CPU_COUNT": str(spec.processors),
        "RUNPOD_MEM_GB": str(spec.memory_gb),
    }
    if machine.public_ip:
        env["RUNPOD_PUBLIC_IP"] = machine.public_ip
    if dispatch.url:
        env |= {
            "RUNPOD_API_BASE_URL": dispatch.url,
            "RUNPOD_API_URL": f"{dispatch.url}/v1",
            "RUNPOD_REST_API_URL": f"{dispatch.url}/v1",
            "RUNPOD_GRAPHQL_URL": f"{dispatch.url}/graphql",
        }
    return env


def _order(pod: Pod, dispatch: Dispatch, env: Mapping[str, str]) -> PodOrder:
    spec, state = pod.spec, pod.state
    is_displaced = (
        spec.tenure is Tenure.SPOT and pod.reason == db.OUTBID and state.desired is Desired.STOP
    )
    command = command_of(spec.entrypoint, spec.args)
    return PodOrder(
        pod=pod.id,
        run=state.run,
        want=_WANT[state.desired],
        reason="" if state.desired is Desired.RUN else pod.reason,
        image=spec.image,
        args=command.args,
        entrypoint=list(command.entrypoint),
        env=dict(env),
        ports=list(spec.ports),
        cards=spec.cards,
        processors=spec.processors,
        memory=spec.takes.memory,
        disk=spec.disk_gb * 10**9,
        volume=spec.volume_gb * 10**9,
        volume_path=spec.volume_path if spec.volume_gb else "",
        runtime=spec.runtime,
        grace_s=int(dispatch.grace.total_seconds()) if is_displaced else _GRACE_S,
        leave_by=pod.changed + dispatch.grace if is_displaced else None,
        idle_stop_s=db.seconds_of(spec.idle_stop),
        stop_at=pod.stop_at,
        terminate_at=pod.terminate_at,
        paid_until=pod.paid_until,
    )

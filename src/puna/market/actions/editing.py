"""Change a pod: its name and its lock in place; anything that its container is made from resets it.

A pod that runs is made anew as another run, on the same host, and keeps its volume; one that is
stopped has its new shape from its next start on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from puna.market.actions.accounts import check_may_manage
from puna.market.actions.renting import NoCapacity, Wish, check_mentions, must_have
from puna.market.db import pods as db
from puna.market.db.accounts import Caller
from puna.market.db.database import Transaction
from puna.market.db.hosts import host_of, take_turn_at_once
from puna.market.db.pods import Pod, Shape
from puna.market.domain.hosts import Room
from puna.market.domain.placement import Refusal, Why
from puna.market.domain.pods import Desired, Intent, Locked, WrongState
from puna.market.domain.specs import InvalidPod, PodSpec, check
from puna.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class PodChange:
    """What is to be changed; None leaves it as it is, and an empty value clears it."""

    name: str | None = None
    is_locked: bool | None = None
    image: str | None = None
    args: str | None = None
    entrypoint: tuple[str, ...] | None = None
    env: Mapping[str, str] | None = None
    ports: tuple[str, ...] | None = None
    access: Mapping[str, str] | None = None
    """In place: nobody's container has to know."""
    disk_gb: int | None = None
    volume_gb: int | None = None
    volume_path: str | None = None
    template: str | None = None
    registry: str | None = None

    def applied_to(self, spec: PodSpec) -> PodSpec:
        """Return the spec after the change."""
        given = {name: getattr(self, name) for name in _OF_THE_SPEC}
        after = replace(spec, **{name: each for name, each in given.items() if each is not None})
        if self.access is not None or after.ports == spec.ports:
            return after
        kept = {port: who for port, who in spec.access.items() if f"{port}/http" in after.ports}
        return replace(after, access=kept)


_OF_THE_SPEC = (
    "image",
    "args",
    "entrypoint",
    "env",
    "ports",
    "access",
    "disk_gb",
    "volume_gb",
    "volume_path",
)


async def edit_pod(
    tx: Transaction, world: World, caller: Caller, pod: str, change: PodChange
) -> Pod:
    """Change a pod.

    Raises `NoSuchPod`, `InvalidPod`, `Locked`, `WrongState`, `NoCapacity` where its host has no
    room for more disk, and `NoSuchSecret` and such.
    """
    check_may_manage(caller)
    found = await must_have(tx, pod, caller.account.id, lock=True)
    shape = Shape(
        spec=check(change.applied_to(found.spec)),
        template=found.template if change.template is None else change.template or None,
        registry=found.registry if change.registry is None else change.registry or None,
    )
    if change.name is not None:
        await db.rename(tx, pod, _checked_name(change.name))
    if change.is_locked is not None and change.is_locked != found.state.is_locked:
        await db.lock(tx, pod, is_locked=change.is_locked)
        await db.say(tx, pod, "locked" if change.is_locked else "unlocked", world.now())
    seen_so = replace(found.spec, access=shape.spec.access)
    if shape.spec.access != found.spec.access:
        await db.reshape(tx, found, replace(shape, spec=seen_so))
    now_is = Shape(spec=seen_so, template=found.template, registry=found.registry)
    if shape != now_is:
        await _reset(tx, world, await must_have(tx, pod, caller.account.id), shape)
    return await must_have(tx, pod, caller.account.id)


def _checked_name(name: str) -> str:
    if not 0 < len(name.strip()) <= _LONGEST_NAME:
        raise InvalidPod(f"a pod's name has 1 to {_LONGEST_NAME} characters")
    return name


_LONGEST_NAME = 191


async def reset_pod(tx: Transaction, world: World, caller: Caller, pod: str) -> Pod:
    """Make a pod's container anew: everything outside its volume is lost.

    Raises `NoSuchPod`, `Locked`, `WrongState` for a pod that does not run.
    """
    check_may_manage(caller)
    found = await must_have(tx, pod, caller.account.id, lock=True)
    if found.state.desired is not Desired.RUN:
        raise WrongState(f"a pod that is {found.state.status} cannot be reset")
    shape = Shape(spec=found.spec, template=found.template, registry=found.registry)
    await _reset(tx, world, found, shape)
    return await must_have(tx, pod, caller.account.id)


async def _reset(tx: Transaction, world: World, pod: Pod, shape: Shape) -> None:
    state = pod.state
    if state.desired is Desired.TERMINATE:
        raise WrongState("a pod that is terminated cannot be changed")
    if state.is_locked:
        raise Locked("the pod is locked and cannot be reset", hint="unlock it first")
    _check_volume(pod.spec, shape.spec)
    wish = Wish(name=pod.name, spec=shape.spec, template=shape.template, registry=shape.registry)
    await check_mentions(tx, pod.account, wish)
    await _make_room(tx, pod, shape.spec)
    runs = state.desired is Desired.RUN
    intent = Intent(state.desired, state.run + 1 if runs else state.run)
    if not await db.want(tx, pod, intent, world.now(), reason=pod.reason):
        raise WrongState("the pod was changed by somebody else", hint="look at it again")
    await db.reshape(tx, pod, shape)
    await db.say(tx, pod.id, "changed: made anew" if runs else "changed", world.now())


def _check_volume(before: PodSpec, after: PodSpec) -> None:
    """Refuse to make a volume smaller, or to add one. Raises `InvalidPod`."""
    if after.volume_gb < before.volume_gb:
        raise InvalidPod(f"a volume only grows: it has {before.volume_gb} GB")
    if after.volume_gb and not before.volume_gb:
        raise InvalidPod("a pod without a volume cannot be given one", hint="rent another")


async def _make_room(tx: Transaction, pod: Pod, after: PodSpec) -> None:
    """Take more of the host's disk, if more is asked for. Raises `NoCapacity`."""
    more = after.takes.disk - pod.spec.takes.disk
    if pod.host is None or more <= 0:
        return
    host = await host_of(tx, pod.host)
    room: Room = host.free
    if room.disk < more or not await take_turn_at_once(tx, host.id, host.turn):
        raise NoCapacity((Refusal(host.id, Why.TOO_SMALL),))

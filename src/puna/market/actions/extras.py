"""Change in place what only this market knows of a pod: its times, its budget, its next bid.

Its container goes on: nothing of this is in it. A length of time is counted from now; one that is
None takes the time away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from puna.market.actions.accounts import check_may_manage
from puna.market.actions.budgets import BudgetWish, set_budget, unset_budget
from puna.market.actions.renting import must_have
from puna.market.db import pods as db
from puna.market.db.accounts import Caller
from puna.market.db.database import Transaction
from puna.market.db.pods import Pod, Shape, Times
from puna.market.domain.budgets import Period, Scope
from puna.market.domain.pods import Desired, WrongState
from puna.market.domain.specs import InvalidPod, PodSpec, check
from puna.units import Money
from puna.world import World

TIMES = ("stop_after", "terminate_after", "idle_stop")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtrasChange:
    """What is to be changed; what is None or not in a mapping stays."""

    returns: bool | None = None
    bid: Money | None = None
    times: Mapping[str, timedelta | None] = field(default_factory=dict)
    """By name, one of `TIMES`."""
    budget: Mapping[str, Money | None] = field(default_factory=dict)
    """By name, `budget`: the most that the pod may ever cost."""


async def change_extras(
    tx: Transaction, world: World, caller: Caller, pod: str, change: ExtrasChange
) -> None:
    """Change them.

    Raises `NoSuchPod`, `InvalidPod`, `WrongState` for a bid while the pod runs, `BoundedKey`.
    """
    if change == ExtrasChange():
        return
    check_may_manage(caller)
    found = await must_have(tx, pod, caller.account.id, lock=True)
    if found.state.desired is Desired.TERMINATE:
        raise WrongState("a pod that is terminated cannot be changed")
    spec = check(_after(found, change))
    if spec != found.spec:
        shape = Shape(spec=spec, template=found.template, registry=found.registry)
        await db.reshape(tx, found, shape)
        await db.set_times(tx, found.id, _times(found, change, world), spec.idle_stop)
        await db.say(tx, pod, f"{caller.account.email} {_told(found.spec, spec)}", world.now())
    elif change.times:  # the same length of time as before, counted anew
        await db.set_times(tx, found.id, _times(found, change, world), spec.idle_stop)
    if change.bid is not None:
        await db.set_price(tx, pod, change.bid)
    for limit in change.budget.values():
        await _bound(tx, world, caller, found, limit)


def _after(pod: Pod, change: ExtrasChange) -> PodSpec:
    spec = replace(pod.spec, **change.times)  # type: ignore[arg-type]
    if change.returns is not None:
        spec = replace(spec, returns=change.returns)
    if change.bid is None or change.bid == pod.spec.bid:
        return spec
    if pod.spec.bid is not None and pod.state.desired is Desired.RUN:
        raise WrongState(
            "a run keeps its price, so a bid changes while a pod is stopped",
            hint="stop it, bid, and start it",
        )
    return replace(spec, bid=change.bid)


def _times(pod: Pod, change: ExtrasChange, world: World) -> Times:
    """Return when the pod stops and is terminated from now on."""
    stop_at, terminate_at = pod.stop_at, pod.terminate_at
    if "stop_after" in change.times:
        span = change.times["stop_after"]
        runs = pod.state.desired is Desired.RUN  # one that is stopped counts from its start
        stop_at = world.now() + span if span and runs else None
    if "terminate_after" in change.times:
        span = change.times["terminate_after"]
        terminate_at = world.now() + span if span else None
    return Times(stop_at=stop_at, terminate_at=terminate_at)


def _told(before: PodSpec, after: PodSpec) -> str:
    named = {name: getattr(after, name) for name in (*TIMES, "returns", "bid")}
    changed = {name: each for name, each in named.items() if each != getattr(before, name)}
    words = ", ".join(
        f"{name.replace('_', ' ')} to {'nothing' if each is None else each}"
        for name, each in changed.items()
    )
    return f"changed {words}"


async def _bound(
    tx: Transaction, world: World, caller: Caller, pod: Pod, limit: Money | None
) -> None:
    """Give a pod another budget for good, or none."""
    if limit is None:
        await unset_budget(tx, caller, Scope.POD, pod.id, Period.EVER)
        return
    if limit <= 0:
        raise InvalidPod(f"a budget of {limit} lets nothing run")
    wish = BudgetWish(scope=Scope.POD, owner=pod.id, period=Period.EVER, limit=limit)
    await set_budget(tx, world, caller, wish)

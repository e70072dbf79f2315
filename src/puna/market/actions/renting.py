"""Rent a pod, and act on it: intent is written, a seat is taken, money is held.

A pod is seated in the transaction that makes it where something is free. Where spot pods have to go
first, they are told to and the pod waits for them without a host; `place_pods` seats it then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from puna.errors import NotFound, Unavailable
from puna.market.actions import ids
from puna.market.actions.accounts import check_may_act_on, check_may_manage
from puna.market.actions.registries import check_registry
from puna.market.actions.secrets import check_secrets
from puna.market.actions.templates import template_of
from puna.market.db import bills, pods as db
from puna.market.db.accounts import Caller
from puna.market.db.database import Transaction
from puna.market.db.hosts import (
    Cheapest,
    cheapest_hosts,
    host_of,
    hosts_for,
    take_free_turn,
    take_turn,
    take_turn_at_once,
)
from puna.market.db.ledger import balance_of, renter
from puna.market.db.notices import is_renting_stopped
from puna.market.db.pods import NewPod, Pod
from puna.market.domain.budgets import Budget, Period, Scope, check_hold
from puna.market.domain.hosts import STALE_AFTER, Host, Tenure
from puna.market.domain.ledger import NotEnoughMoney
from puna.market.domain.metering import RUNPODS_STORAGE, rates
from puna.market.domain.placement import (
    Demand,
    Placement,
    Refusal,
    Seat,
    Why,
    best_seat,
    best_seats,
    place,
)
from puna.market.domain.pods import Action, Desired, Intent, WrongState, act
from puna.market.domain.specs import InvalidPod, PodSpec, check
from puna.units import Money
from puna.world import World

_TRIES = 3
_FIRST_PAGE, _LARGEST_PAGE = 8, 128
"""Offers that are looked at together: the first few have a place mostly, and are cheap to read."""


class NoSuchPod(NotFound):
    """The account has no pod of this id."""

    code = "no_such_pod"


class NoCapacity(Unavailable):
    """No offer does; `refusals` says of each why. The words are those that RunPod's clients know.

    They match them, so they are never changed.
    """

    code = "no_capacity"
    status = 400

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        reasons = sorted({str(each.why) for each in refusals})
        super().__init__(
            "There are no longer any instances available with the requested specifications. "
            "Please refresh and try again.",
            hint=f"{len(refusals)} offers were looked at: {', '.join(reasons) or 'none at all'}",
        )
        self.refusals = refusals


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a renter asks for."""

    name: str
    spec: PodSpec
    project: str = ""
    template: str | None = None
    """What it is made from; `spec` has all that this filled in."""
    registry: str | None = None
    """The credential by which its image is pulled."""
    budget: Money | None = None
    """The most that it may ever cost."""


async def rent_pod(tx: Transaction, world: World, caller: Caller, wish: Wish) -> Pod:
    """Rent a pod. Raises `InvalidPod`, `NoCapacity`, `NotEnoughMoney`, `NoSuchSecret` and such.

    The balance must cover an hour of it, as with RunPod; what is held is much less.
    """
    check_may_manage(caller)
    spec, now = _with_password(world, check(wish.spec)), world.now()
    await check_mentions(tx, caller.account.id, wish)
    await check_renting(tx)
    seats = await _must_find(tx, world, spec)
    hour = hour_of(spec, seats[0].price)
    await _check_hour(tx, caller.account.id, hour)
    new = NewPod(
        id=ids.new_id(world, ids.POD),
        account=caller.account.id,
        key=caller.key.id,
        project=wish.project,
        name=wish.name,
        spec=spec,
        created=now,
        template=wish.template,
        registry=wish.registry,
    )
    await db.add_pod(tx, new)
    await db.say(tx, new.id, f"rented by {caller.account.email}", now)
    if wish.budget is not None:
        await bound_pod(tx, world, new, wish.budget)
    await _check_budgets(tx, new.id, hour, now)
    for _ in range(_TRIES):
        if await _take_any(tx, world, new.id, seats):
            break
        seats = await _must_find(tx, world, spec)
    return await must_have(tx, new.id, caller.account.id)


async def bound_pod(tx: Transaction, world: World, pod: NewPod, limit: Money) -> None:
    """Give a pod a budget for good. Raises `InvalidPod` for one that lets nothing run."""
    if limit <= 0:
        raise InvalidPod(f"a budget of {limit} lets nothing run")
    budget = Budget(
        id=f"bud_{world.token()[:16]}",
        scope=Scope.POD,
        owner=pod.id,
        period=Period.EVER,
        limit=limit,
    )
    await bills.add_budget(tx, pod.account, budget, world.now())


class RentingStopped(Unavailable):
    """A promise of the market's own is broken, and nobody has looked at it yet."""

    code = "renting_stopped"


async def check_renting(tx: Transaction) -> None:
    """Refuse what would begin while the market does not trust itself. Raises `RentingStopped`."""
    if await is_renting_stopped(tx):
        raise RentingStopped(
            "the market begins no pods until its operator has looked at what it found wrong",
            hint="what runs goes on running",
        )


def _with_password(world: World, spec: PodSpec) -> PodSpec:
    """Give a pod that starts JupyterLab its password, in both words that images look for."""
    if not spec.starts_jupyter:
        return spec
    secret = spec.env.get("JUPYTER_PASSWORD") or world.token()
    return replace(spec, env={"JUPYTER_PASSWORD": secret, "JUPYTER_TOKEN": secret} | dict(spec.env))


async def _check_budgets(tx: Transaction, pod: str, hour: Money, now: datetime) -> None:
    """Refuse what a budget would stop within a minute. Raises `BudgetReached`."""
    found = await db.pod_of(tx, pod)
    if found is not None:
        check_hold(Money(-(-hour // 60)), await bills.budgets_over(tx, found, now))


async def check_mentions(tx: Transaction, account: str, wish: Wish) -> None:
    """Refuse a wish that names what is not there.

    Raises `NoSuchSecret`, `NoSuchRegistry`, `NoSuchTemplate`.
    """
    await check_secrets(tx, account, wish.spec.env)
    if wish.registry is not None:
        await check_registry(tx, account, wish.registry)
    if wish.template is not None:
        await template_of(tx, account, wish.template)


async def find_place(
    tx: Transaction, world: World, spec: PodSpec, *, avoid: frozenset[str] = frozenset()
) -> Placement:
    """Look at every offer that could do."""
    hosts = await hosts_for(tx, spec.card_models)
    return place(spec.demand(avoid=avoid), hosts, world.now())


async def _must_find(tx: Transaction, world: World, spec: PodSpec) -> Sequence[Seat]:
    """Return the best seats; where there are none, every offer is looked at for its reason."""
    seats = await find_seats(tx, spec.demand(), world.now())
    if not seats:
        raise NoCapacity((await find_place(tx, world, spec)).refusals)
    return seats


async def find_seats(tx: Transaction, demand: Demand, now: datetime) -> Sequence[Seat]:
    """Return the seat that `place` would find, and others as good, without looking at every offer.

    Offers come from the cheapest on: once one is free, none that asks more can be better.
    """
    wishes = [(card,) for card in demand.cards] if demand.in_order else [demand.cards]
    displacing: list[Host] = []
    for cards in wishes or [()]:
        if free := await _first_free(tx, demand, cards, now, displacing):
            return free
    return best_seats(demand, displacing, now)


async def _first_free(
    tx: Transaction, demand: Demand, cards: tuple[str, ...], now: datetime, others: list[Host]
) -> Sequence[Seat]:
    """Return the best seats that nobody has to leave for; keep the hosts where somebody had to."""
    is_spot = demand.tenure is Tenure.SPOT
    which = Cheapest(
        cards=cards,
        is_spot=is_spot,
        most=demand.bid if is_spot else demand.ceiling,
        seen_since=now - STALE_AFTER.timedelta,
    )
    after, able, asked, limit = (Money(-1), ""), [], None, _FIRST_PAGE
    while page := await cheapest_hosts(tx, which, after=after, limit=limit):
        for asks, host in page:
            if asked is not None and asks > asked:
                return best_seats(demand, able, now)
            seat = best_seat(demand, [host], now)
            if seat is None:
                continue
            if seat.displaces:
                others.append(host)
            else:
                able.append(host)
                asked = asks
        after, limit = (page[-1][0], page[-1][1].id), min(2 * limit, _LARGEST_PAGE)
    return best_seats(demand, able, now)


async def take_seat(tx: Transaction, world: World, pod: str, seat: Seat) -> bool:
    """Seat a pod, or tell the pods in its way to go; False where another was faster."""
    if not await take_turn(tx, seat.host, seat.turn):
        return False
    await _sit_down(tx, world, pod, seat)
    return True


async def _take_any(tx: Transaction, world: World, pod: str, seats: Sequence[Seat]) -> bool:
    """Seat a pod where nobody else is at work; where all have somebody, wait for the best."""
    host = await take_free_turn(tx, {seat.host: seat.turn for seat in seats})
    if host is None:
        return await take_seat(tx, world, pod, seats[0])
    await _sit_down(tx, world, pod, next(seat for seat in seats if seat.host == host))
    return True


async def _sit_down(tx: Transaction, world: World, pod: str, seat: Seat) -> None:
    now = world.now()
    if not seat.displaces:
        await db.say(tx, pod, f"placed on host {seat.host} at {seat.price} an hour", now)
        await db.seat_pod(tx, pod, seat.host, seat.price)
        return
    for each in sorted(seat.displaces):
        displaced = await db.pod_of(tx, each)
        if displaced is not None and displaced.state.desired is Desired.RUN:
            stopped = Intent(Desired.STOP, displaced.state.run)
            await db.want(tx, displaced, stopped, now, reason=db.OUTBID)
            await db.say(tx, each, "another pod pays more for this place: it has to stop", now)
    await db.say(tx, pod, f"waits for {len(seat.displaces)} spot pods to leave", now)


async def act_on_pod(
    tx: Transaction, world: World, caller: Caller, pod: str, action: Action
) -> Pod:
    """Start, stop, restart or terminate.

    Raises `NoSuchPod`, `WrongState`, `Locked`, and for a start `NotEnoughMoney`, `BudgetReached`,
    and `NoCapacity` where a pod that was stopped finds its place taken.
    """
    check_may_act_on(caller, pod)
    found = await must_have(tx, pod, caller.account.id)
    if action is Action.TERMINATE and found.state.desired is Desired.TERMINATE:
        raise NoSuchPod(f"there is no pod {pod}")  # as when its host has let go: once is enough
    intent = act(found.state, action)
    if action in (Action.START, Action.RESTART):
        check_may_manage(caller)
    if action is Action.START:
        await _begin_again(tx, world, found)
    if not await db.want(tx, found, intent, world.now()):
        raise WrongState("the pod was changed by somebody else", hint="look at it again")
    await db.say(tx, pod, f"{action} asked for by {caller.account.email}", world.now())
    return await db.pod_of(tx, pod) or found


async def _begin_again(tx: Transaction, world: World, pod: Pod) -> None:
    await check_renting(tx)
    hour = hour_of(pod.spec, pod.price)
    await _check_hour(tx, pod.account, hour)
    await _check_budgets(tx, pod.id, hour, world.now())
    await db.rearm(tx, pod, world.now())
    await return_to_place(tx, world, pod)


async def return_to_place(tx: Transaction, world: World, pod: Pod) -> None:
    """Take a place again for a pod that was stopped, since others may have come by now.

    Raises `NoCapacity` if so. Without a volume it may go anywhere and is placed anew; its volume
    binds it to its host.
    """
    if pod.host is None:
        return
    if not pod.spec.volume_gb:
        await db.unseat_pod(tx, pod, world.now(), reason="", failed=False)
        return
    host = await host_of(tx, pod.host)
    placement = place(pod.spec.demand(), [host.without(pod.id)], world.now())
    is_free = placement.seat is not None and not placement.seat.displaces
    if not is_free or not await take_turn_at_once(tx, host.id, host.turn):
        raise NoCapacity(placement.refusals or (Refusal(pod.host, Why.TAKEN),))
    await db.end_run(tx, pod)


def hour_of(spec: PodSpec, price: Money) -> Money:
    """Return what an hour of a running pod costs, its disks with it."""
    each = rates(spec.footprint, price, RUNPODS_STORAGE, runs=True)
    return Money(sum(rate.an_hour for rate in each))


async def _check_hour(tx: Transaction, account: str, hour: Money) -> None:
    balance = await balance_of(tx, renter(account))
    if balance < hour:
        raise NotEnoughMoney(
            f"an hour of this pod costs {hour} and the balance is {balance}",
            hint="ask the market's operator for credit",
        )


async def must_have(tx: Transaction, pod: str, account: str, *, lock: bool = False) -> Pod:
    """Return an account's pod. Raises `NoSuchPod`.

    Whoever writes a part of it back takes it with `lock`, or what somebody else changes meanwhile
    would be lost.
    """
    found = await db.pod_of(tx, pod, account, lock=lock)
    if found is None or (found.state.desired is Desired.TERMINATE and found.host is None):
        raise NoSuchPod(f"there is no pod {pod}")
    return found

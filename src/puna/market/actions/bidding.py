"""Bid again for a spot pod that was stopped."""

from dataclasses import replace

from puna.market.actions.renting import act_on_pod, must_have
from puna.market.db import pods as db
from puna.market.db.accounts import Caller
from puna.market.db.database import Transaction
from puna.market.db.pods import Pod, Shape
from puna.market.domain.hosts import Tenure
from puna.market.domain.pods import Action
from puna.market.domain.specs import InvalidPod, check
from puna.units import Money
from puna.world import World


async def bid_again(tx: Transaction, world: World, caller: Caller, pod: str, bid: Money) -> Pod:
    """Start a spot pod with another bid, from which on that is what it pays.

    Raises `NoSuchPod`, `InvalidPod`, `WrongState`, `Locked`, `NoCapacity`.
    """
    found = await must_have(tx, pod, caller.account.id, lock=True)
    if found.spec.tenure is not Tenure.SPOT:
        raise InvalidPod("only a spot pod has a bid", hint="start it without one")
    shape = Shape(
        spec=check(replace(found.spec, bid=bid)),
        template=found.template,
        registry=found.registry,
    )
    await db.reshape(tx, found, shape)
    await db.set_price(tx, pod, bid)
    await db.say(tx, pod, f"{caller.account.email} bids {bid} an hour", world.now())
    return await act_on_pod(tx, world, caller, pod, Action.START)

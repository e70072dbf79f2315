"""Limits of spending: set, shown with how they stand, removed.

A key that is bounded by a limit of its own can neither change limits nor make keys, or its limit
would bound nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from puna.errors import Denied, Invalid, NotFound
from puna.market.db import bills, pods
from puna.market.db.accounts import Caller, keys_of
from puna.market.db.database import Transaction
from puna.market.domain.budgets import Budget, Period, Scope, Spent
from puna.units import Money
from puna.world import World


class NoSuchBudget(NotFound):
    """The account has no limit of this id, or nothing of the name that is to be limited."""

    code = "no_such_budget"


class BoundedKey(Denied):
    """The key has a limit of its own, so it may not change limits or make keys."""

    code = "bounded_key"


class InvalidBudget(Invalid):
    """What was asked for cannot be a limit."""

    code = "invalid_budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWish:
    """A limit that somebody wants. `owner` is the id or name of a key or pod, or a project."""

    scope: Scope
    owner: str = ""
    period: Period
    limit: Money


async def check_is_unbounded(tx: Transaction, caller: Caller) -> None:
    """Raise `BoundedKey` for a key with a limit of its own."""
    if await bills.is_bounded(tx, caller.account.id, caller.key.id):
        raise BoundedKey(
            f"the key {caller.key.prefix}... has a budget of its own and cannot change budgets or "
            "make keys",
            hint="use another key of the account",
        )


async def set_budget(tx: Transaction, world: World, caller: Caller, wish: BudgetWish) -> Spent:
    """Set a limit in place of the one over the same thing and period, and return how it stands.

    Raises `BoundedKey`, `InvalidBudget`, `NoSuchBudget`.
    """
    await check_is_unbounded(tx, caller)
    if wish.limit < 0:
        raise InvalidBudget(f"a budget of {wish.limit} is below zero")
    account = caller.account.id
    budget = Budget(
        id=f"bud_{world.token()[:16]}",
        scope=wish.scope,
        owner=await _owner(tx, caller, wish),
        period=wish.period,
        limit=wish.limit,
    )
    if before := await bills.like_budget(tx, account, budget):
        await bills.remove_budget(tx, account, before)
    await bills.add_budget(tx, account, budget, world.now())
    return await bills.stand_of(tx, account, budget, world.now())


async def budgets_of(
    tx: Transaction, world: World, caller: Caller, *, after: str = "", limit: int = 100
) -> Sequence[Spent]:
    """Return a page of the account's limits."""
    account = caller.account.id
    return await bills.budgets_of(tx, account, world.now(), after=after, limit=limit)


async def remove_budget(tx: Transaction, caller: Caller, budget: str) -> None:
    """Forget a limit. Raises `BoundedKey`, `NoSuchBudget`."""
    await check_is_unbounded(tx, caller)
    if not await bills.remove_budget(tx, caller.account.id, budget):
        raise NoSuchBudget(f"there is no budget {budget}")


async def unset_budget(
    tx: Transaction, caller: Caller, scope: Scope, owner: str, period: Period
) -> None:
    """Forget the limit over a thing and a period, if there is one. Raises `BoundedKey`."""
    await check_is_unbounded(tx, caller)
    like = Budget(id="", scope=scope, owner=owner, period=period, limit=Money(0))
    if found := await bills.like_budget(tx, caller.account.id, like):
        await bills.remove_budget(tx, caller.account.id, found)


async def _owner(tx: Transaction, caller: Caller, wish: BudgetWish) -> str:
    """Return the id of what is to be limited."""
    account, named = caller.account.id, wish.owner
    if wish.scope is Scope.ACCOUNT:
        return account
    if wish.scope is Scope.PROJECT:
        return named
    if wish.scope is Scope.POD:
        found = await pods.pod_of(tx, named, account)
        if found is None:
            raise NoSuchBudget(f"there is no pod {named} to give a budget")
        return found.id
    if named in {"", caller.key.id}:
        return caller.key.id
    key = await named_key(tx, account, named)
    if key is None:
        raise NoSuchBudget(f"there is no key {named} to give a budget")
    return key


async def named_key(tx: Transaction, account: str, named: str) -> str | None:
    """Return the id of the key of this id, name or beginning; the first where names repeat."""
    after = ""
    while page := await keys_of(tx, account, after=after):
        for key in page:
            if named in {key.id, key.name} or named.removesuffix("...") == key.prefix:
                return key.id
        after = page[-1].id
    return None

"""What renters and the operator ask of a market under a seed: everything, in any order, twice."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from puna.market.actions.bidding import bid_again
from puna.market.actions.earning import PaidOut, pay_owner
from puna.market.actions.editing import PodChange
from puna.market.actions.extras import ExtrasChange, change_extras
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod
from puna.market.domain.hosts import Tenure
from puna.market.domain.pods import Action
from puna.units import Money
from tests.market.stage import Stage
from tests.simulation.network import Answer, survive

_TWICE = 0.2
_RUSH = 4


def minutes(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(minutes=count)


@dataclass
class Crowd:
    """Those who rent, and the operator who pays out."""

    stage: Stage
    dice: random.Random
    callers: list[Caller] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    rented: list[tuple[Caller, Pod]] = field(default_factory=list)
    paid_out: dict[str, Money] = field(default_factory=dict)
    """What each owner was paid, by the word that names the payment."""

    async def rent(self) -> None:
        """Rent something."""
        await self._rent(self.dice.choice(self.callers), cards=self.dice.choice([1, 2]))

    async def rush(self) -> None:
        """Rent all that there is, by turns: somebody gets the last card."""
        for number in range(_RUSH):
            await self._rent(self.callers[number % len(self.callers)], cards=2)

    async def _rent(self, caller: Caller, cards: int) -> None:
        dice = self.dice
        changes: dict[str, object] = {
            "cards": cards,
            "volume_gb": dice.choice([0, 0, 50]),
            "project": dice.choice(["", "thesis"]),
            "stop_after": minutes(dice.choice([None, None, 7])),
            "terminate_after": minutes(dice.choice([None, None, 20])),
            "idle_stop": minutes(dice.choice([None, None, 4])),
        }
        if dice.random() < 0.5:
            bid = Money(dice.randrange(100_000, 400_000))
            changes |= {"tenure": Tenure.SPOT, "bid": bid, "returns": dice.random() < 0.5}
        pod = await survive(lambda: self.stage.rent(caller, **changes))
        if pod is not None:
            self.rented.append((caller, pod))

    async def act(self) -> None:
        """Start, stop, restart or terminate something, whatever it is doing."""
        action = self.dice.choice(list(Action))
        await self._to_one(lambda caller, pod: self.stage.act(caller, pod, action))

    async def edit(self) -> None:
        """Change what a container is made from; a volume grows, or is asked to shrink."""
        change = self.dice.choice(
            [
                PodChange(name="other"),
                PodChange(image="img:2"),
                PodChange(disk_gb=30),
                PodChange(volume_gb=self.dice.choice([40, 60, 100, 600])),
                PodChange(is_locked=True),
                PodChange(is_locked=False),
            ]
        )
        await self._to_one(lambda caller, pod: self.stage.edit(caller, pod, change))

    async def change(self) -> None:
        """Change times, a budget, a bid or whether a pod comes back."""
        dice = self.dice
        name = dice.choice(["stop_after", "terminate_after", "idle_stop"])
        change = dice.choice(
            [
                ExtrasChange(times={name: minutes(dice.choice([None, 2, 9]))}),
                ExtrasChange(budget={"budget": dice.choice([None, Money(9_000), Money(90_000)])}),
                ExtrasChange(bid=Money(dice.randrange(100_000, 400_000))),
                ExtrasChange(returns=dice.random() < 0.5),
            ]
        )

        async def ask(caller: Caller, pod: Pod) -> None:
            async with self.stage.database.transaction() as tx:
                await change_extras(tx, self.stage.world, caller, pod.id, change)

        await self._to_one(ask)

    async def bid(self) -> None:
        """Start a spot pod that was stopped with another bid."""
        bid = Money(self.dice.randrange(100_000, 400_000))

        async def ask(caller: Caller, pod: Pod) -> Pod:
            async with self.stage.database.transaction() as tx:
                return await bid_again(tx, self.stage.world, caller, pod.id, bid)

        await self._to_one(ask)

    async def pay_out(self) -> None:
        """Pay an owner, perhaps twice by one word: he is paid once."""
        owner, once = self.dice.choice(self.owners), str(self.dice.randrange(3))
        amount = self.dice.choice([None, Money(1_000)])

        async def ask() -> PaidOut:
            async with self.stage.database.transaction() as tx:
                return await pay_owner(tx, self.stage.world, owner, amount, once=once + owner)

        for _ in range(self._times()):
            paid = await survive(ask)
            if paid is not None:
                before = self.paid_out.setdefault(once + owner, paid.amount)
                assert before == paid.amount

    async def _to_one(self, ask: Callable[[Caller, Pod], Awaitable[Answer]]) -> None:
        if self.rented:
            caller, pod = self.dice.choice(self.rented)
            for _ in range(self._times()):
                await survive(lambda: ask(caller, pod))

    def _times(self) -> int:
        return 2 if self.dice.random() < _TWICE else 1

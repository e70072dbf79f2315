"""What a turn of the meters knows of money, and what it changes: read once and written once.

Pods of one account share its balance and its budgets. What is held for one is gone for the next, as
if each were settled by itself.
"""

from datetime import datetime

from puna.market.db.bills import bounds
from puna.market.db.pods import Pod
from puna.market.db.settling import BilledLine, Changes, Meters, Standing
from puna.market.domain.budgets import Spent, most_to_hold, window_start
from puna.market.domain.ledger import Charge, hold, release
from puna.market.domain.metering import Line, Meter
from puna.market.domain.pods import Desired
from puna.units import Money


class Till:
    """The money of the pods that are settled together."""

    def __init__(self, standing: Standing, now: datetime) -> None:
        self.now = now
        self.changes = Changes()
        self._meters = standing.meters
        self._held = dict(standing.held)
        self._balances = dict(standing.balances)
        self._budgets = {account: list(each) for account, each in standing.budgets.items()}

    def meters_of(self, pod: Pod) -> Meters:
        """Return how far each item of a pod was charged before this turn."""
        return self._meters[pod.id]

    def held(self, pod: Pod) -> Money:
        """Return what is held for a pod now."""
        return self._held[pod.id]

    def charge(self, pod: Pod, line: Line, meter: Meter, *, fee_share: int) -> None:
        """Charge a line of the bill, out of what is held."""
        run = pod.state.shown_run
        key = f"{pod.id}:{line.item}:{run}:{line.end.timestamp():.6f}"
        charge = Charge(
            pod=pod.id,
            host_account=pod.owner,
            amount=line.amount,
            fee_share=fee_share,
            reason=f"{line.item} of pod {pod.id} on host {pod.host}",
        )
        self.changes.entries.append(charge.to_entry(key=key, at=line.end))
        self.changes.lines.append(BilledLine(key, pod, line))
        self.changes.meters[pod.id, line.item] = (run, meter)
        self._held[pod.id] = Money(self._held[pod.id] - line.amount)
        for place, each in self._over(pod):
            start = window_start(each.budget.period, self.now)
            counts = start is None or line.end > start
            charged = Money(each.charged + (line.amount if counts else 0))
            spent = Spent(each.budget, charged, Money(each.held - line.amount))
            self._budgets[pod.account][place] = spent

    def hold(self, pod: Pod, wanted: Money) -> None:
        """Hold more for a pod, as far as the balance and every budget go."""
        limits = [each for _, each in self._over(pod)]
        more = most_to_hold(wanted, self._balances[pod.account], limits)
        if more:
            key = f"hold:{pod.id}:{self.now.timestamp():.6f}"
            self.changes.entries.append(hold(pod.account, pod.id, more, key=key, at=self.now))
            self._move(pod, more)

    def give_back(self, pod: Pod, extra: Money) -> None:
        """Release what a pod does not need any more, if anything."""
        if extra > 0:
            key = f"release:{pod.id}:{self.now.timestamp():.6f}"
            self.changes.entries.append(release(pod.account, pod.id, extra, key=key, at=self.now))
            self._move(pod, Money(-extra))

    def pay_until(self, pod: Pod, moment: datetime) -> None:
        """Note how far this run of a pod is paid for."""
        if moment != pod.paid_until or not pod.is_paid:
            self.changes.paid[pod.id] = (moment, pod.state.run)

    def close(self, pod: Pod) -> None:
        """Give back what is left of a pod that is gone, and be done with it."""
        self.give_back(pod, self.held(pod))
        self.changes.closed.append(pod.id)
        self._say(pod, "nothing of it is left on its host: closed")

    def freeze(self, pod: Pod, *, until: datetime) -> None:
        """Stop what nobody pays for, and say until when its volume is kept."""
        if pod.state.desired is Desired.RUN:
            self.changes.stopped.append(pod)
            self._say(pod, "stopped: its balance or a budget is used up")
        if pod.frozen is None:
            self.changes.frozen.append(pod.id)
            if pod.spec.volume_gb:
                self._say(pod, f"nobody pays for its volume: it is kept until {until}")

    def thaw(self, pod: Pod) -> None:
        """Note that somebody pays for a pod again, if nobody did."""
        if pod.frozen is not None:
            self.changes.thawed.append(pod.id)
            self._say(pod, "paid for again")

    def _move(self, pod: Pod, amount: Money) -> None:
        self._held[pod.id] = Money(self._held[pod.id] + amount)
        self._balances[pod.account] = Money(self._balances[pod.account] - amount)
        for place, each in self._over(pod):
            moved = Spent(each.budget, each.charged, Money(each.held + amount))
            self._budgets[pod.account][place] = moved

    def _over(self, pod: Pod) -> list[tuple[int, Spent]]:
        """Return how every budget stands that bounds a pod, with its place."""
        found = self._budgets.get(pod.account, ())
        return [(place, each) for place, each in enumerate(found) if bounds(each.budget, pod)]

    def _say(self, pod: Pod, text: str) -> None:
        self.changes.said.append((pod.id, text))

"""Money of many pods, read at once and written at once: a turn of the meters in a few statements.

Whoever settles pods has them locked, so that nobody else charges them, and the books of their
renters, so that nobody else holds that money; these are locked first, and in their order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import bindparam, delete, insert, select, update

from puna.market.db.accounts import revoke_keys_of
from puna.market.db.bills import as_meter, budgets_by_account, stand_of
from puna.market.db.database import Transaction
from puna.market.db.ledger import balances_of, escrow, lock_books, post_all, renter
from puna.market.db.pods import Pod, close_pods, freeze, say_all, thaw, want
from puna.market.db.tables import bill_lines, entries, meters, pods
from puna.market.domain.budgets import Spent
from puna.market.domain.ledger import Entry
from puna.market.domain.metering import Item, Line, Meter
from puna.market.domain.pods import Desired, Intent
from puna.units import Money

OUT_OF_MONEY = "out of money"
Meters = Mapping[Item, tuple[int, Meter]]
"""How far each item of a pod is charged, with the run that the meter counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How everything stands that settling pods depends on."""

    meters: Mapping[str, Meters]
    held: Mapping[str, Money]
    """By pod."""
    balances: Mapping[str, Money]
    """What each account may still spend."""
    budgets: Mapping[str, Sequence[Spent]]
    """By account."""


async def standing_of(tx: Transaction, found: Sequence[Pod], now: datetime) -> Standing:
    """Read it, and let nobody else hold money of these accounts until the transaction ends."""
    accounts = sorted({pod.account for pod in found})
    ids = [pod.id for pod in found]
    await lock_books(tx, [renter(each) for each in accounts])
    books = await balances_of(tx, [*map(renter, accounts), *map(escrow, ids)])
    return Standing(
        meters=await _meters_of(tx, ids),
        held={each: books.get(escrow(each), Money(0)) for each in ids},
        balances={each: books.get(renter(each), Money(0)) for each in accounts},
        budgets={
            account: [await stand_of(tx, account, each, now) for each in limits]
            for account, limits in (await budgets_by_account(tx, accounts)).items()
        },
    )


async def _meters_of(tx: Transaction, ids: Sequence[str]) -> Mapping[str, Meters]:
    found: dict[str, dict[Item, tuple[int, Meter]]] = {each: {} for each in ids}
    for row in await tx.execute(select(meters).where(meters.c.pod.in_(ids))):
        found[row.pod][Item(row.item)] = (row.run, as_meter(row))
    return found


@dataclass(frozen=True, slots=True)
class BilledLine:
    """A line of the bill, and the entry that paid it."""

    entry: str
    pod: Pod
    line: Line


@dataclass(slots=True)
class Changes:
    """What settling pods changes."""

    entries: list[Entry] = field(default_factory=list)
    lines: list[BilledLine] = field(default_factory=list)
    meters: dict[tuple[str, Item], tuple[int, Meter]] = field(default_factory=dict)
    paid: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    """Until when each pod is paid for, and in which run."""
    closed: list[str] = field(default_factory=list)
    stopped: list[Pod] = field(default_factory=list)
    """Nobody pays for their next tick."""
    frozen: list[str] = field(default_factory=list)
    thawed: list[str] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)

    async def keep(self, tx: Transaction, now: datetime) -> None:
        """Write all of it. An entry that stands already is the same fact and not posted again."""
        await self._keep_money(tx)
        if self.meters:
            await self._keep_meters(tx)
        if self.paid:
            change = update(pods).where(pods.c.id == bindparam("pod"))
            rows = [
                {"pod": pod, "until": until, "in_run": run}
                for pod, (until, run) in sorted(self.paid.items())
            ]
            paid = change.values(paid_until=bindparam("until"), paid_run=bindparam("in_run"))
            await tx.execute(paid, rows)
        if self.closed:
            await close_pods(tx, self.closed, now)
            for each in self.closed:
                await revoke_keys_of(tx, each, now)
        for pod in self.stopped:
            await want(tx, pod, Intent(Desired.STOP, pod.state.run), now, reason=OUT_OF_MONEY)
        for each in self.frozen:
            await freeze(tx, each, now)
        for each in self.thawed:
            await thaw(tx, each)
        await say_all(tx, self.said, now)

    async def _keep_money(self, tx: Transaction) -> None:
        if not self.entries:
            return
        wanted = [each.key for each in self.entries]
        rows = await tx.execute(select(entries.c.key).where(entries.c.key.in_(wanted)))
        stand = {row.key for row in rows}
        await post_all(tx, [each for each in self.entries if each.key not in stand])
        new = [each for each in self.lines if each.entry not in stand]
        if not new:
            return
        await tx.execute(insert(bill_lines), [_row_of(each) for each in new])
        spent: dict[str, int] = {}
        for each in new:
            spent[each.pod.id] = spent.get(each.pod.id, 0) + int(each.line.amount)
        change = update(pods).where(pods.c.id == bindparam("pod"))
        more = [{"pod": pod, "more": amount} for pod, amount in sorted(spent.items())]
        await tx.execute(change.values(spent=pods.c.spent + bindparam("more")), more)

    async def _keep_meters(self, tx: Transaction) -> None:
        old = delete(meters).where(
            meters.c.pod == bindparam("of_pod"), meters.c.item == bindparam("of_item")
        )
        which = sorted(self.meters)
        await tx.execute(old, [{"of_pod": pod, "of_item": str(item)} for pod, item in which])
        rows = []
        for pod, item in which:
            run, meter = self.meters[pod, item]
            rows.append(
                {
                    "pod": pod,
                    "item": str(item),
                    "run": run,
                    "an_hour": int(meter.rate.an_hour),
                    "began": meter.began,
                    "charged_until": meter.charged_until,
                    "charged": int(meter.charged),
                }
            )
        await tx.execute(insert(meters), rows)


def _row_of(billed: BilledLine) -> dict[str, object]:
    pod, line = billed.pod, billed.line
    return {
        "entry": billed.entry,
        "account": pod.account,
        "pod": pod.id,
        "key": pod.key,
        "project": pod.project,
        "host": pod.host or "",
        "item": str(line.item),
        "start": line.start,
        "end": line.end,
        "an_hour": int(line.an_hour),
        "amount": int(line.amount),
    }

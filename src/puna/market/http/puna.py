"""What RunPod has no words for: offers with reasons, bills, budgets, projects, keys, happenings."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response

from puna.market.actions import accounts, budgets, spending
from puna.market.actions.accounts import KeyWish
from puna.market.actions.offers import look_at_offers
from puna.market.actions.renting import NoSuchPod
from puna.market.db import accounts as keys_db, happenings, pods as pods_db, spending as db
from puna.market.db.accounts import Caller
from puna.market.db.database import Transaction
from puna.market.db.spending import By, Spending
from puna.market.domain.billing import Bucket
from puna.market.domain.pods import Observed
from puna.market.http import words
from puna.market.http.auth import Renter, ThisMarket, reading, writing
from puna.market.http.money import exact
from puna.market.http.words import InvalidQuery
from puna.units import Money
from puna.wire import cloud as wire

router = APIRouter(prefix=wire.PATH)
_BY = {
    "pod": By.POD,
    "project": By.PROJECT,
    "key": By.KEY,
    "card": By.CARD,
}
_NO_CONTENT = 204


@router.get("/account")
async def account(market: ThisMarket, caller: Renter) -> wire.AccountReply:
    """Tell who asks, and where the account's money is."""
    async with reading(market) as tx:
        stands = await spending.standing_of(tx, caller.account.id, market.tariff.storage)
    return words.account_reply(market, caller, stands)


@router.get("/offers")
async def offers(
    market: ThisMarket, _: Renter, query: Annotated[wire.OfferQuery, Query()]
) -> wire.OffersReply:
    """Look at a page of machines: what each costs, or why it does not do."""
    async with reading(market) as tx:
        found = await look_at_offers(
            tx, market.world, words.search_of(query), after=query.after, limit=query.limit
        )
    return words.offers_reply(found)


@router.get("/bill")
async def bill(
    market: ThisMarket, caller: Renter, query: Annotated[wire.BillQuery, Query()]
) -> wire.LinesReply:
    """Return a page of lines, the oldest first."""
    which = words.spending_of(caller, query, words.window_of(query, market.world.now(), None))
    async with reading(market) as tx:
        lines = await db.lines_of(tx, which, after=query.after, limit=query.limit)
    rows = [words.line_reply(each) for each in lines]
    return wire.LinesReply(lines=rows, after=rows[-1].id if len(rows) == query.limit else "")


@router.get("/bill/{line:path}")
async def bill_line(market: ThisMarket, caller: Renter, line: str) -> wire.ExplainedReply:
    """Explain one line: what it multiplies, and the ledger's entry."""
    async with reading(market) as tx:
        return words.explained_reply(await spending.explain_line(tx, caller.account.id, line))


@router.get("/spend")
async def spend(
    market: ThisMarket, caller: Renter, query: Annotated[wire.SpendQuery, Query()]
) -> wire.SpendReply:
    """Sum what was spent by day, pod, project, key or card."""
    if query.by != "day" and query.by not in _BY:
        raise InvalidQuery(f'nothing is summed by "{query.by}"; there are day, {", ".join(_BY)}')
    bucket = Bucket.DAY if query.by == "day" else None
    when = words.window_of(query, market.world.now(), bucket)
    which, by = words.spending_of(caller, query, when), _BY.get(query.by, By.NOTHING)
    async with reading(market) as tx:
        if bucket:
            rows = words.day_rows(list(await db.sums_of(tx, which, by, bucket)), when)
        else:
            sums = await db.page_of_sums(tx, which, by, after=query.after, limit=query.limit)
            names = await _names(tx, caller, which, query.by)
            rows = [words.spend_row(each, names.get(each.name, each.name)) for each in sums]
        whole = await db.sums_of(tx, which, By.NOTHING)
    return wire.SpendReply(
        by=query.by,
        start=when.start,
        end=when.end,
        rows=rows,
        total=exact(Money(sum(each.total for each in whole))),
        after=rows[-1].id if len(rows) == query.limit and not bucket else "",
    )


@router.get("/budgets")
async def list_budgets(
    market: ThisMarket, caller: Renter, page: Annotated[wire.Page, Query()]
) -> wire.BudgetsReply:
    """Return a page of the account's limits and how they stand."""
    async with reading(market) as tx:
        found = await budgets.budgets_of(
            tx, market.world, caller, after=page.after, limit=page.limit
        )
    rows = [words.budget_reply(each) for each in found]
    return wire.BudgetsReply(budgets=rows, after=rows[-1].id if len(rows) == page.limit else "")


@router.put("/budgets")
async def set_budget(
    market: ThisMarket, caller: Renter, request: wire.BudgetRequest
) -> wire.BudgetReply:
    """Set a limit in place of the one over the same thing and period."""
    async with writing(market) as tx:
        stands = await budgets.set_budget(tx, market.world, caller, words.budget_wish(request))
    return words.budget_reply(stands)


@router.delete("/budgets/{budget}", status_code=_NO_CONTENT)
async def remove_budget(market: ThisMarket, caller: Renter, budget: str) -> Response:
    """Forget a limit."""
    async with writing(market) as tx:
        await budgets.remove_budget(tx, caller, budget)
    return Response(status_code=_NO_CONTENT)


@router.get("/projects")
async def projects(
    market: ThisMarket, caller: Renter, page: Annotated[wire.Page, Query()]
) -> wire.ProjectsReply:
    """Return a page of the words under which the account rents."""
    async with reading(market) as tx:
        found = await db.projects_of(
            tx, caller.account.id, after=page.after or None, limit=page.limit
        )
    rows = [
        wire.ProjectReply(name=each.name, pods=each.pods, open_pods=each.open_pods)
        for each in found
    ]
    return wire.ProjectsReply(projects=rows, after=rows[-1].name if len(rows) == page.limit else "")


@router.get("/keys")
async def list_keys(
    market: ThisMarket, caller: Renter, page: Annotated[wire.Page, Query()]
) -> wire.KeysReply:
    """Return a page of the account's keys that are not revoked."""
    async with reading(market) as tx:
        found = await keys_db.keys_of(tx, caller.account.id, after=page.after, limit=page.limit)
    rows = [words.key_reply(each) for each in found]
    return wire.KeysReply(keys=rows, after=rows[-1].id if len(rows) == page.limit else "")


@router.post("/keys", status_code=201)
async def make_key(
    market: ThisMarket, caller: Renter, request: wire.KeyRequest
) -> wire.MadeKeyReply:
    """Make a key; it is shown this once."""
    wish = KeyWish(
        name=request.name, may_write=not request.read_only, lives=_life(request.expires_after)
    )
    async with writing(market) as tx:
        await budgets.check_is_unbounded(tx, caller)
        made = await accounts.make_key(tx, market.world, caller.account.id, wish)
    return wire.MadeKeyReply(**words.key_reply(made.key).model_dump(), key=made.secret)


@router.delete("/keys/{key}", status_code=_NO_CONTENT)
async def revoke_key(market: ThisMarket, caller: Renter, key: str) -> Response:
    """End a key, by its id, name or beginning."""
    async with writing(market) as tx:
        found = await budgets.named_key(tx, caller.account.id, key)
        await accounts.revoke_key(tx, market.world, caller.account.id, found or key)
    return Response(status_code=_NO_CONTENT)


@router.get("/pods/{pod}/events")
async def events(
    market: ThisMarket, caller: Renter, pod: str, page: Annotated[wire.Page, Query()]
) -> wire.EventsReply:
    """Return what happened to a pod, and whether anything of it is left."""
    if page.after and not page.after.isdecimal():
        raise InvalidQuery(f'"{page.after}" is not the number of an event')
    after = int(page.after[:18]) if page.after else None
    async with reading(market) as tx:
        found = await pods_db.pod_of(tx, pod, caller.account.id)
        if found is None:
            raise NoSuchPod(f"there is no pod {pod}")
        lines = await happenings.happened(tx, pod, after=after, limit=page.limit)
        is_closed = await happenings.is_closed(tx, pod)
        spent = await happenings.spent_on(tx, pod)
    return wire.EventsReply(
        events=[wire.EventReply(number=each.number, at=each.at, text=each.text) for each in lines],
        after=str(lines[-1].number) if lines else page.after,
        status=str(found.state.status),
        runs=found.state.observed is Observed.RUNNING and not is_closed,
        is_gone=is_closed,
        an_hour=exact(spending.hour_now(found, market.tariff.storage)),
        spent=exact(spent),
    )


async def _names(tx: Transaction, caller: Caller, which: Spending, by: str) -> dict[str, str]:
    """Return what people call the things that are summed."""
    if by == "key":
        return await db.names_of_keys(tx, caller.account.id)
    return await db.names_of_pods(tx, which) if by == "pod" else {}


def _life(text: str) -> timedelta | None:
    """Read how long a key is good for. Raises `InvalidQuery`."""
    units = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    if not text:
        return None
    if text[-1] not in units or not text[:-1].isdecimal() or not 0 < int(text[:-1]) <= 10**5:
        raise InvalidQuery(f'"{text}" is not a length of time', hint="write it like 30d or 12h")
    return timedelta(**{units[text[-1]]: int(text[:-1])})

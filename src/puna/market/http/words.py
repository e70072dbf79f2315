"""From the market's values to the wire of `/v2/puna`, and back."""

from datetime import datetime, timedelta
from typing import TypeVar

from puna.errors import Invalid
from puna.market.actions.budgets import BudgetWish
from puna.market.actions.offers import Offer, Offers, Search
from puna.market.actions.spending import Explained, Standing
from puna.market.db.accounts import ApiKey, Caller
from puna.market.db.spending import BilledLine, Spending, Sum
from puna.market.domain.billing import Bucket, Window, moment, window
from puna.market.domain.budgets import Period, Scope, Spent
from puna.market.domain.cards import name_of
from puna.market.domain.hosts import Cloud, Tenure
from puna.market.domain.specs import PodSpec
from puna.market.http.money import exact
from puna.market.market import Market
from puna.units import Money, Size
from puna.wire import cloud as wire

_GB = 10**9
_TENURES = {"on_demand": Tenure.ON_DEMAND, "spot": Tenure.SPOT}
Word = TypeVar("Word", Cloud, Scope, Period)


class InvalidQuery(Invalid):
    """What was asked for makes no sense."""

    code = "invalid_query"


def search_of(query: wire.OfferQuery) -> Search:
    """Return what a renter looks for. Raises `InvalidQuery`."""
    if query.tenure not in _TENURES:
        raise InvalidQuery(f'"{query.tenure}" is no tenure; there are on_demand and spot')
    spec = PodSpec(
        image="any",
        disk_gb=query.disk_gb,
        volume_gb=query.volume_gb,
        cards=query.count,
        card_models=_parts(query.cards) if query.count else (),
        processors=query.processors,
        memory_gb=query.memory_gb,
        cloud=_one_of(Cloud, query.cloud) if query.cloud else None,
        countries=_parts(query.countries.upper()),
        data_centers=_parts(query.data_center_ids),
        cuda=_version(query.min_cuda_version),
        down_mbps=query.min_download_mbps,
        up_mbps=query.min_upload_mbps,
        disk_mbps=query.min_disk_mbps,
        needs_public_ip=query.public_ip,
        runtime=query.runtime,
        tenure=_TENURES[query.tenure],
        bid=Money.parse(query.bid) if query.bid else None,
        ceiling=Money.parse(query.ceiling) if query.ceiling else None,
    )
    return Search(spec=spec, card_memory=Size(query.card_memory_gb * _GB))


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def _one_of(kind: type[Word], word: str) -> Word:
    try:
        return kind(word)
    except ValueError as error:
        known = ", ".join(kind)
        raise InvalidQuery(f'"{word}" is not known; there are {known}') from error


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    if not text:
        return (0, 0)
    if not (major.isdecimal() and (minor or "0").isdecimal()):
        raise InvalidQuery(f'"{text}" is not a version of CUDA such as 12.8')
    return int(major[:4]), int((minor or "0")[:4])


def offers_reply(found: Offers) -> wire.OffersReply:
    """Return a page of offers."""
    return wire.OffersReply(
        offers=[_offer(each) for each in found.offers],
        refused=[wire.RefusalReply(host=each.host, why=str(each.why)) for each in found.refused],
        after=found.after,
    )


def _offer(offer: Offer) -> wire.OfferReply:
    host, machine, terms = offer.host, offer.host.machine, offer.host.terms
    major, minor = machine.cuda
    return wire.OfferReply(
        host=host.id,
        card=machine.card,
        name=name_of(machine.card),
        cards=machine.cards,
        card_memory_gb=round(machine.card_memory / _GB),
        processors=machine.processors,
        memory_gb=machine.memory // _GB,
        disk_gb=machine.disk // _GB,
        country=machine.country,
        data_center_id=machine.data_center,
        cloud=str(host.cloud),
        cuda=f"{major}.{minor}" if major else "",
        download_mbps=machine.down_mbps,
        upload_mbps=machine.up_mbps,
        disk_mbps=machine.disk_mbps,
        public_ip=machine.has_public_ip,
        runtimes=list(machine.runtimes),
        on_demand=exact(terms.price),
        spot=None if terms.least_bid is None else exact(terms.least_bid),
        an_hour=exact(offer.hour),
        free=offer.free,
        within_reach=offer.within_reach,
        displaces=offer.displaces,
    )


def account_reply(market: Market, caller: Caller, stands: Standing) -> wire.AccountReply:
    """Return an account with its money."""
    lasts, ssh = stands.lasts, market.settings.ssh_door
    return wire.AccountReply(
        id=caller.account.id,
        email=caller.account.email,
        is_admin=caller.account.is_admin,
        may_write=caller.key.may_write,
        balance=exact(stands.balance),
        held=exact(stands.held),
        an_hour=exact(stands.an_hour),
        runway_seconds=None if lasts is None else int(lasts.seconds),
        pods=stands.pods,
        running=stands.running,
        domain=market.settings.domain,
        ssh=wire.SshReply(host=ssh.host, port=ssh.port),
    )


def spending_of(caller: Caller, query: wire.BillQuery | wire.SpendQuery, when: Window) -> Spending:
    """Return which lines were asked for."""
    return Spending(
        account=caller.account.id,
        start=when.start,
        end=when.end,
        pod=query.pod,
        project=query.project,
        key=query.key,
    )


def window_of(
    query: wire.BillQuery | wire.SpendQuery, now: datetime, bucket: Bucket | None
) -> Window:
    """Return the window that was asked for, of whole stretches if there are any."""
    start, end = moment(query.start, now), moment(query.end, now)
    return window(start, end, bucket) if bucket else Window(start, end)


def line_reply(billed: BilledLine) -> wire.LineReply:
    """Return a line of the bill."""
    line = billed.line
    return wire.LineReply(
        id=billed.entry,
        pod=billed.pod,
        pod_name=billed.name,
        project=billed.project,
        key=billed.key,
        host=billed.host,
        item=str(line.item),
        start=line.start,
        end=line.end,
        an_hour=exact(line.an_hour),
        amount=exact(line.amount),
    )


def explained_reply(found: Explained) -> wire.ExplainedReply:
    """Return where a line comes from."""
    return wire.ExplainedReply(
        line=line_reply(found.line),
        product=found.words,
        reason=found.posted.reason,
        at=found.posted.at,
        postings=[
            wire.PostingReply(book=book, amount=exact(amount))
            for book, amount in found.posted.postings
        ],
    )


def spend_row(each: Sum, name: str, *, id_: str = "") -> wire.SpendRow:
    """Return what one thing came to."""
    return wire.SpendRow(
        id=id_ or each.name,
        name=name,
        amount=exact(each.total),
        cards=exact(each.cards),
        processors=exact(each.processors),
        disk=exact(each.disk),
        seconds=each.span.total_seconds(),
    )


def day_rows(sums: list[Sum], when: Window) -> list[wire.SpendRow]:
    """Return a row for each day of a window, also where nothing was spent."""
    sum_by_day = {each.begin: each for each in sums}
    nothing = Sum(
        name="",
        begin=when.start,
        cards=Money(0),
        processors=Money(0),
        disk=Money(0),
        span=timedelta(0),
    )
    rows, day = [], when.start
    while day < when.end:
        words = f"{day:%Y-%m-%d}"
        rows.append(spend_row(sum_by_day.get(day, nothing), words, id_=words))
        day = Bucket.DAY.end_of(day)
    return rows


def budget_wish(request: wire.BudgetRequest) -> BudgetWish:
    """Return the limit that somebody wants. Raises `InvalidQuery`."""
    return BudgetWish(
        scope=_one_of(Scope, request.scope),
        owner=request.owner,
        period=_one_of(Period, request.period),
        limit=Money.parse(request.limit),
    )


def budget_reply(stands: Spent) -> wire.BudgetReply:
    """Return a limit and how it stands."""
    budget = stands.budget
    return wire.BudgetReply(
        id=budget.id,
        scope=str(budget.scope),
        owner=budget.owner,
        period=str(budget.period),
        limit=exact(budget.limit),
        charged=exact(stands.charged),
        held=exact(stands.held),
        left=exact(stands.left),
    )


def key_reply(key: ApiKey) -> wire.KeyReply:
    """Return a key, without itself."""
    return wire.KeyReply(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        read_only=not key.may_write,
        created=key.created,
        expires=key.expires,
    )

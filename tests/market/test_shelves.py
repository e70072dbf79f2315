"""What all hosts together offer, and what was spent, as the database counts it."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from puna.market.db.catalog import Shelf, Shelves, shelves
from puna.market.db.happenings import happened, is_closed, spent_on
from puna.market.db.spending import (
    By,
    Spending,
    Sum,
    entry_of,
    held_of,
    line_of,
    lines_of,
    names_of_keys,
    names_of_pods,
    page_of_sums,
    projects_of,
    sums_of,
)
from puna.market.domain.billing import Bucket
from puna.market.domain.hosts import Cloud, Tenure
from puna.market.domain.pods import Action
from puna.units import Money
from tests.market.lots import CARD, GB
from tests.market.stage import Stage

L4 = "NVIDIA L4"


async def look(market: Stage, **which: object) -> list[Shelf]:
    async with market.database.transaction() as tx:
        return list(await shelves(tx, Shelves(**which), market.world.now()))  # type: ignore[arg-type]


async def count(
    market: Stage, by: By, bucket: Bucket | None = None, /, **which: object
) -> list[Sum]:
    spending = Spending(**{**everything(market), **which})  # type: ignore[arg-type]
    async with market.database.transaction() as tx:
        return list(await sums_of(tx, spending, by, bucket))


def everything(market: Stage) -> dict[str, object]:
    now = market.world.now()
    return {"account": "", "start": now - timedelta(days=400), "end": now}


async def test_cards_of_one_kind_and_place_are_one_shelf(market: Stage) -> None:
    await market.host("a", country="PL")
    await market.host("b", country="PL", price=200_000, cards=4)
    await market.host("c", country="DE")
    await market.host("d", country="PL", card=L4, card_memory=24 * GB)
    found = [(each.card, each.data_center, each.hosts, each.free) for each in await look(market)]
    assert sorted(found) == [
        (CARD, "EU-DE-1", 1, 2),
        (CARD, "EU-PL-1", 2, 6),
        (L4, "EU-PL-1", 1, 2),
    ]


@pytest.mark.parametrize(
    ("which", "hosts"),
    [
        ({}, 3),
        ({"card": CARD}, 2),
        ({"card": L4}, 1),
        ({"card": ""}, 1),
        ({"card": "none"}, 0),
        ({"cloud": Cloud.COMMUNITY}, 3),
        ({"cloud": Cloud.SECURE}, 0),
        ({"countries": ("PL",)}, 2),
        ({"countries": ("DE", "PL")}, 3),
        ({"countries": ("FR",)}, 0),
    ],
    ids=str,
)
async def test_shelves_are_chosen(market: Stage, which: dict[str, object], hosts: int) -> None:
    await market.host("a", country="PL")
    await market.host("b", country="DE")
    await market.host("c", country="PL", card=L4)
    await market.host("d", country="PL", card="", cards=0, card_memory=0)
    assert sum(each.hosts for each in await look(market, **which)) == hosts


async def test_the_lowest_price_and_bid_are_those_of_what_is_offered_now(market: Stage) -> None:
    await market.host("a", price=300_000, least_bid=90_000)
    await market.host("b", price=200_000, least_bid=None)
    await market.host("c", price=1, least_bid=1, is_paused=True)
    (shelf,) = await look(market)
    assert (shelf.price, shelf.least_bid, shelf.hosts) == (200_000, 90_000, 3)


async def test_what_is_rented_is_not_free_and_comes_back(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann, cards=2)
    assert [(each.free, each.fits) for each in await look(market)] == [(0, 0)]
    await market.tick()
    await market.act(ann, pod, Action.TERMINATE)
    await market.tick(times=2)
    assert [(each.free, each.fits) for each in await look(market, count=2)] == [(2, 1)]


async def test_a_host_that_was_not_seen_lately_has_nothing_free(market: Stage) -> None:
    host = await market.host()
    market.hosts.clear()
    await market.tick(60)
    assert [(each.free, each.price) for each in await look(market)] == [(0, None)]
    market.hosts.append(host)
    await market.report(host)
    assert [each.free for each in await look(market)] == [2]


@pytest.mark.parametrize(
    ("opens", "closes", "is_open"),
    [
        ("", "", True),
        ("11:00", "13:00", True),
        ("13:00", "14:00", False),
        ("12:00", "12:30", True),
        ("11:00", "12:00", False),
        ("23:00", "12:01", True),
        ("23:00", "11:00", False),
        ("10:00", "10:00", True),
    ],
)
async def test_owners_hours_are_as_placement_sees_them(
    market: Stage, opens: str, closes: str, is_open: bool
) -> None:
    host = await market.host(opens=opens, closes=closes)
    await market.report(host)
    assert market.world.now() == datetime(2026, 8, 1, 12, tzinfo=UTC)
    (shelf,) = await look(market)
    assert (shelf.free, shelf.price) == ((2, 360_000) if is_open else (0, None))


async def test_processors_are_counted_where_there_is_no_card(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host(card="", cards=0, card_memory=0, price=10_000)
    await market.rent(ann, cards=0, card_models=(), processors=6)
    (shelf,) = await look(market, card="", count=8)
    assert (shelf.most, shelf.free, shelf.fits, shelf.price) == (16, 10, 1, 10_000)


async def test_every_sum_is_that_of_the_lines(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    await market.rent(ann, volume_gb=10)
    await market.tick(times=3)
    lines = await market.bill(ann)
    paid, account = sum(each.line.amount for each in lines), ann.account.id
    for by, bucket in product(By, [None, *Bucket]):
        found = await count(market, by, bucket, account=account)
        assert (by, bucket, sum(each.total for each in found)) == (by, bucket, paid)
        assert sum((each.span for each in found), timedelta(0)) == timedelta(minutes=2)


async def test_items_are_told_apart(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    await market.rent(ann, volume_gb=73)
    await market.tick(times=2)
    (total,) = await count(market, By.NOTHING, account=ann.account.id)
    assert (total.cards, total.processors) == (6_000, 0)
    assert total.disk == 10_000 * 60 // 3600 + 2740 * 60 // 3600  # each rounded down


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        ({}, 1),
        ({"pod": "another"}, 0),
        ({"project": ""}, 1),
        ({"project": "web"}, 0),
        ({"key": "another"}, 0),
        ({"card": CARD}, 1),
        ({"card": L4}, 0),
    ],
    ids=str,
)
async def test_spending_is_narrowed(market: Stage, change: dict[str, object], rows: int) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    await market.rent(ann)
    await market.tick(times=2)
    assert len(await count(market, By.POD, None, account=ann.account.id, **change)) == rows


async def test_a_line_at_the_edge_of_a_window_belongs_to_the_one_that_it_ends(
    market: Stage,
) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    await market.rent(ann)
    await market.tick(times=3)
    end = (await market.bill(ann))[0].line.end
    before = await count(market, By.NOTHING, account=ann.account.id, end=end)
    after = await count(market, By.NOTHING, account=ann.account.id, start=end)
    whole = await count(market, By.NOTHING, account=ann.account.id)
    assert [each.span for each in before] == [timedelta(minutes=1)]
    assert before[0].total + after[0].total == whole[0].total


async def test_sums_come_in_pages_in_the_order_of_their_names(market: Stage) -> None:
    ann = await market.account("ann@example.org", "9")
    await market.host(cards=8)
    pods = sorted([(await market.rent(ann)).id for _ in range(5)])
    await market.tick(times=2)
    which = Spending(**{**everything(market), "account": ann.account.id})  # type: ignore[arg-type]
    async with market.database.transaction() as tx:
        first = await page_of_sums(tx, which, By.POD, limit=3)
        second = await page_of_sums(tx, which, By.POD, after=first[-1].name, limit=3)
        names = await names_of_pods(tx, which)
    assert [each.name for each in (*first, *second)] == pods
    assert names == dict.fromkeys(pods, "mine")


async def test_lines_come_in_pages_without_a_gap(market: Stage) -> None:
    ann = await market.account("ann@example.org", "9")
    await market.host(cards=8)
    for _ in range(3):
        await market.rent(ann)
    await market.tick(times=3)
    which = Spending(**{**everything(market), "account": ann.account.id})  # type: ignore[arg-type]
    async with market.database.transaction() as tx:
        whole = [each.entry for each in await lines_of(tx, which, limit=1000)]
        paged: list[str] = []
        while page := await lines_of(tx, which, after=paged[-1] if paged else "", limit=4):
            paged += [each.entry for each in page]
    assert paged == whole
    assert len(set(whole)) == len(whole) > 10


async def test_an_entry_is_found_by_its_line_and_sums_to_zero(market: Stage) -> None:
    ann = await market.account("ann@example.org", "9")
    host = await market.host()
    pod = await market.rent(ann)
    await market.tick(times=2)
    which = Spending(**{**everything(market), "account": ann.account.id})  # type: ignore[arg-type]
    async with market.database.transaction() as tx:
        line = (await lines_of(tx, which))[0]
        posted = await entry_of(tx, line.entry)
        assert await line_of(tx, ann.account.id, line.entry) == line
        assert await line_of(tx, host.owner, line.entry) is None
        assert await entry_of(tx, "none") is None
    assert posted is not None
    assert posted.reason == f"{line.line.item} of pod {pod.id} on host {host.id}"
    assert sum(amount for _, amount in posted.postings) == 0
    assert (f"escrow:{pod.id}", -line.line.amount) in posted.postings


async def test_what_is_held_is_that_of_all_pods(market: Stage) -> None:
    ann = await market.account("ann@example.org", "9")
    await market.host()
    await market.rent(ann)
    await market.rent(ann, tenure=Tenure.SPOT, bid=Money(150_000))
    await market.tick()
    async with market.database.transaction() as tx:
        held = await held_of(tx, ann.account.id)
        names = await names_of_keys(tx, ann.account.id)
    assert 17_000 < held < 18_000
    assert names == {ann.key.id: "key"}


async def test_projects_come_in_pages_by_name(market: Stage) -> None:
    ann = await market.account("ann@example.org", "9")
    await market.host()
    await market.rent(ann)
    async with market.database.transaction() as tx:
        assert [each.name for each in await projects_of(tx, ann.account.id)] == [""]
        assert await projects_of(tx, ann.account.id, after="") == []
        assert await projects_of(tx, "another") == []


async def test_what_happened_is_told_from_its_last_lines_on(market: Stage) -> None:
    ann = await market.account("ann@example.org", "9")
    await market.host()
    pod = await market.rent(ann)
    await market.tick(times=2)
    async with market.database.transaction() as tx:
        whole = await happened(tx, pod.id)
        last = await happened(tx, pod.id, limit=1)
        first = await happened(tx, pod.id, after=0, limit=1)
        rest = await happened(tx, pod.id, after=whole[0].number)
        assert not await is_closed(tx, pod.id)
        spent = await spent_on(tx, pod.id)
    assert spent == sum(each.line.amount for each in await market.bill(ann))
    assert (last, first, rest) == (whole[-1:], whole[:1], whole[1:])
    assert whole[0].text == "rented by ann@example.org"


async def test_a_pod_that_is_gone_is_closed_and_its_story_stays(market: Stage) -> None:
    ann = await market.account("ann@example.org", "9")
    await market.host()
    pod = await market.rent(ann)
    await market.tick()
    await market.act(ann, pod, Action.TERMINATE)
    await market.tick(times=2)
    async with market.database.transaction() as tx:
        assert await is_closed(tx, pod.id)
        assert (await happened(tx, pod.id))[-1].text == "nothing of it is left on its host: closed"

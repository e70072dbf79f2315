"""A host may say what it likes: it is paid for what the market saw, and the operator is told."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from puna.market.db import notices, orphans
from puna.market.db.accounts import Caller
from puna.market.db.notices import Kind, Notice
from puna.market.db.pods import Pod
from puna.market.domain.ledger import BookKind
from puna.market.domain.pods import Action, Status
from puna.market.domain.rules import Rules
from puna.market.domain.witness import witness_of
from puna.units import Money, Span
from puna.wire.agent import PodReport, TermsReport
from tests.market.lots import NOON
from tests.market.stage import FakeHost, Stage

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("clock", "said", "believed"),
    [
        (NOON, NOON - 10 * MINUTE, NOON - MINUTE),
        (NOON, NOON - MINUTE / 2, NOON - MINUTE / 2),
        (NOON, NOON + 10 * MINUTE, NOON),
        (NOON - 60 * MINUTE, NOON - 60.5 * MINUTE, NOON - MINUTE / 2),
        (NOON + 60 * MINUTE, NOON + 59.5 * MINUTE, NOON - MINUTE / 2),
        (NOON + MINUTE / 4, NOON, NOON),
    ],
    ids=["before it was seen", "as it was", "in the future", "slow", "fast", "nearly right"],
)
def test_a_moment_is_believed_as_far_as_it_could_be_seen(
    clock: datetime, said: datetime, believed: datetime
) -> None:
    witness = witness_of(NOON, NOON - MINUTE, clock, Rules())
    assert witness.moment(said) == believed


async def a_pod(market: Stage) -> tuple[Caller, FakeHost, Pod]:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann)
    await market.tick(times=2)
    return ann, host, pod


async def told(market: Stage) -> Sequence[Notice]:
    async with market.database.reading() as tx:
        return await notices.notices_page(tx)


async def spent(market: Stage, caller: Caller) -> Money:
    return Money(sum(each.line.amount for each in await market.bill(caller)))


class Stubborn(FakeHost):
    """Says that everything runs on, whatever it is told."""

    def obey(self, world: object) -> None:
        before = dict(self.shown)
        super().obey(world)  # type: ignore[arg-type]
        self.shown |= {pod: each for pod, each in before.items() if each.observed == "running"}


async def test_a_container_is_paid_from_when_it_could_have_begun(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann)
    host.does[pod.id] = "pulling"
    await market.tick(times=3)
    yesterday = market.world.now() - timedelta(days=1)
    lie = PodReport(pod=pod.id, run=1, observed="running", started=yesterday)
    host.shown[pod.id] = lie
    host.does.clear()
    await market.tick(times=1)
    assert await spent(market, ann) <= 2 * (6000 + 46)


async def test_one_that_says_it_began_ever_earlier_gains_nothing(market: Stage) -> None:
    ann, host, pod = await a_pod(market)
    before = await spent(market, ann)
    for days in range(1, 6):
        started = market.world.now() - timedelta(days=days)
        host.shown[pod.id] = PodReport(pod=pod.id, run=1, observed="running", started=started)
        await market.tick()
    assert await spent(market, ann) <= before + 6 * (6000 + 46)


async def test_one_that_says_it_runs_on_is_paid_for_the_grace_at_most(market: Stage) -> None:
    ann, host, pod = await a_pod(market)
    host.__class__ = Stubborn
    await market.act(ann, pod, Action.STOP)
    stopped = await spent(market, ann)
    await market.tick(times=30)
    assert await spent(market, ann) <= stopped + 3 * (6000 + 46)
    (note,) = await told(market)
    assert (note.kind, note.subject) == (Kind.UNPAID, host.id)
    assert note.times > 10


async def test_a_run_that_is_over_is_not_paid_when_the_next_begins(market: Stage) -> None:
    """Its host says all along that the first runs on, an hour in which the pod was stopped."""
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann, volume_gb=10)
    await market.tick(times=2)
    host.__class__ = Stubborn
    await market.act(ann, pod, Action.STOP)
    await market.tick(times=60)
    stopped = await spent(market, ann)
    await market.act(ann, pod, Action.START)
    await market.tick(times=2)
    assert await spent(market, ann) <= stopped + 2 * (6000 + 46 + 23)


async def test_the_end_of_a_run_is_paid_though_the_next_began_at_once(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann, volume_gb=10)
    await market.tick(times=2)
    before = await market.balance(BookKind.HOST, host.owner)
    await market.world.advance(Span.of(seconds=30))
    await market.report(host)
    await market.act(ann, pod, Action.STOP)
    await market.act(ann, pod, Action.START)
    await market.settle()
    earned = await market.balance(BookKind.HOST, host.owner) - before
    assert earned >= (3000 + 34) * 9 // 10 - 2
    await market.tick(times=2)
    assert await market.status(pod) is Status.RUNNING


async def test_an_end_that_was_told_stays_though_the_hosts_clock_is_set(market: Stage) -> None:
    ann, host, pod = await a_pod(market)
    await market.act(ann, pod, Action.STOP)
    await market.report(host)
    await market.report(host)
    before = (await market.look(pod)).ended
    assert before is not None
    await market.world.advance(Span.of(minutes=3))
    await market.report(host, now=market.world.now() - timedelta(days=1))
    assert (await market.look(pod)).ended == before


async def test_nothing_is_left_of_a_pod_that_ends_before_its_next_run_began(market: Stage) -> None:
    """Its host has heard of the first run only, and says that nothing of it is there."""
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann, volume_gb=10)
    await market.tick(times=2)
    for action in (Action.STOP, Action.START, Action.TERMINATE):
        await market.act(ann, pod, action)
    absent = PodReport(pod=pod.id, run=1, observed="absent")
    await market.report(host, pods=[absent])
    await market.settle()
    assert await market.balance(BookKind.ESCROW, pod.id) == 0
    assert host.orders.pods[0].want == "terminate"
    await market.tick(times=2)
    assert host.orders.pods == []


async def test_one_that_does_not_let_go_of_a_pod_holds_its_renters_money_no_longer(
    market: Stage,
) -> None:
    ann, host, pod = await a_pod(market)
    host.__class__ = Stubborn
    await market.act(ann, pod, Action.TERMINATE)
    await market.tick(times=14)
    found = await market.look(pod)
    assert (found.host, found.state.is_gone) == (None, True)
    async with market.database.reading() as tx:
        (orphan,) = await orphans.orphans_on(tx, host.id)
    assert orphan.pod == pod.id
    assert {each.kind for each in await told(market)} == {Kind.UNPAID}


async def test_a_price_that_goes_up_is_for_those_who_come_later(market: Stage) -> None:
    ann, host, _ = await a_pod(market)
    before = await spent(market, ann)
    host.terms = TermsReport(price=10**9)
    await market.tick(times=5)
    assert await spent(market, ann) <= before + 6 * (6000 + 46)


async def test_containers_of_others_are_orphans_and_told(market: Stage) -> None:
    ann, _, pod = await a_pod(market)
    thief = await market.host("thief")
    stolen = PodReport(pod=pod.id, run=1, observed="running", started=market.world.now())
    stray = PodReport(pod="neverheardofit", run=1, observed="exited")
    before = await market.look(pod)
    await market.report(thief, pods=[stolen, stray])
    assert (await market.look(pod)).state == before.state
    async with market.database.reading() as tx:
        listed = [each.pod for each in await orphans.orphans_page(tx)]
    assert set(listed) == {pod.id, "neverheardofit"}
    assert {each.kind for each in await told(market)} == {Kind.FOREIGN}
    assert await market.broken() == []
    assert [(each.pod, each.want) for each in thief.orders.pods] == [(pod.id, "terminate")]
    await market.report(thief)
    async with market.database.reading() as tx:
        assert await orphans.orphans_page(tx) == []
    assert {each.host for each in await market.bill(ann)} == {before.host}


async def test_a_run_that_was_never_ordered_changes_nothing(market: Stage) -> None:
    _, host, pod = await a_pod(market)
    before = await market.look(pod)
    future = PodReport(pod=pod.id, run=99, observed="exited")
    await market.report(host, pods=[future])
    assert (await market.look(pod)).state == before.state
    (note,) = await told(market)
    assert note.kind is Kind.UNKNOWN_RUN


async def test_a_machine_that_shrinks_is_told(market: Stage) -> None:
    _, host, pod = await a_pod(market)
    host.machine = host.machine.model_copy(update={"memory": 10**9})
    await market.tick()
    assert {each.kind for each in await told(market)} == {Kind.SHRUNK}
    assert await market.status(pod) is Status.RUNNING


async def test_a_wrong_clock_is_corrected_and_told(market: Stage) -> None:
    ann, host, pod = await a_pod(market)
    await market.act(ann, pod, Action.STOP)
    slow = timedelta(hours=-5)
    await market.report(host)
    shown = host.shown[pod.id]
    assert shown.started is not None
    moved = shown.model_copy(update={"started": shown.started + slow, "observed": "running"})
    await market.report(host, pods=[moved], now=market.world.now() + slow)
    (note,) = await told(market)
    assert (note.kind, note.text.endswith("5:00:00")) == (Kind.CLOCK, True)


async def test_a_notice_is_counted_until_it_is_cleared(market: Stage) -> None:
    async with market.database.transaction() as tx:
        for text in ("one", "two"):
            await notices.notice(tx, Kind.CLOCK, "h", text, market.world.now())
    (note,) = await told(market)
    assert (note.times, note.text) == (2, "two")
    async with market.database.transaction() as tx:
        assert await notices.clear(tx, note.number, market.world.now())
        assert not await notices.clear(tx, note.number, market.world.now())
        await notices.notice(tx, Kind.CLOCK, "h", "three", market.world.now())
        assert len(await notices.notices_page(tx, with_cleared=True)) == 2
    assert [each.text for each in await told(market)] == ["three"]

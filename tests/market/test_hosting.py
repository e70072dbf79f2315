"""A machine joins with a token, says what it has, and is told what should be on it."""

from datetime import time, timedelta

import pytest

from puna.market.actions.accounts import make_join_token
from puna.market.actions.hosting import (
    UnknownHost,
    UnknownToken,
    join,
    machine_from,
    take_report,
    terms_from,
)
from puna.market.actions.sightings import InvalidReport
from puna.market.db.hosts import hosts_for
from puna.market.domain.hosts import Cloud
from puna.market.domain.pods import Action, Status
from puna.units import Span
from puna.wire.agent import Join, MachineReport, Report, TermsReport
from tests.market.lots import CARD
from tests.market.stage import MACHINE, TERMS, Stage


async def a_token(market: Stage, cloud: Cloud = Cloud.COMMUNITY) -> str:
    owner = await market.account("owner@example.org")
    async with market.database.transaction() as tx:
        return await make_join_token(tx, market.world, owner.account.id, cloud)


async def try_to_join(market: Stage, token: str) -> str:
    request = Join(token=token, name="box", machine=MACHINE, terms=TERMS)
    async with market.database.transaction() as tx:
        return (await join(tx, market.world, request)).host


async def test_a_host_is_what_it_said_and_where_its_token_puts_it(market: Stage) -> None:
    host = await try_to_join(market, await a_token(market, Cloud.SECURE))
    async with market.database.transaction() as tx:
        (found,) = await hosts_for(tx)
    assert found.id == host
    assert found.cloud is Cloud.SECURE
    assert found.machine == machine_from(MACHINE)
    assert found.terms == terms_from(TERMS)
    assert found.is_fresh(market.world.now())


async def test_a_token_is_for_one_machine(market: Stage) -> None:
    token = await a_token(market)
    await try_to_join(market, token)
    with pytest.raises(UnknownToken, match="used or over"):
        await try_to_join(market, token)


@pytest.mark.parametrize("token", ["", "join_made_up"])
async def test_a_made_up_token_is_refused(market: Stage, token: str) -> None:
    with pytest.raises(UnknownToken):
        await try_to_join(market, token)


async def test_a_token_ends_after_a_day(market: Stage) -> None:
    token = await a_token(market)
    await market.world.advance(Span.of(hours=24))
    with pytest.raises(UnknownToken):
        await try_to_join(market, token)


async def test_a_key_that_is_nobodys_is_refused(market: Stage) -> None:
    report = Report(sequence=1, now=market.world.now(), machine=MACHINE, terms=TERMS)
    with pytest.raises(UnknownHost, match="no host of this market has this key"):
        await report_with(market, "host_made_up", report)


async def report_with(market: Stage, key: str, report: Report) -> None:
    async with market.database.transaction() as tx:
        await take_report(tx, market.world, market.office, key, report)


async def test_new_terms_count_from_the_next_report(market: Stage) -> None:
    host = await market.host()
    host.terms = TERMS.model_copy(update={"price": 500_000, "is_paused": True})
    await market.report(host)
    async with market.database.transaction() as tx:
        (found,) = await hosts_for(tx, [CARD])
    assert found.terms.price == 500_000
    assert found.terms.is_paused


async def test_a_host_that_is_silent_is_stale(market: Stage) -> None:
    await market.host()
    await market.world.advance(Span.of(seconds=46))
    async with market.database.transaction() as tx:
        (found,) = await hosts_for(tx)
    assert not found.is_fresh(market.world.now())


async def test_the_version_of_orders_changes_with_what_is_ordered(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    empty = (await market.report(host)).version
    pod = await market.rent(ann)
    await market.tick()
    first = host.orders.version
    again = (await market.report(host)).version
    await market.act(ann, pod, Action.RESTART)
    await market.tick()
    assert empty != first == again != host.orders.version


async def test_a_restart_is_a_new_run(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann)
    await market.tick()
    await market.act(ann, pod, Action.RESTART)
    assert await market.status(pod) is Status.STARTING
    await market.tick()
    assert host.orders.pods[0].run == 2
    assert await market.status(pod) is Status.RUNNING


async def test_an_order_says_everything_that_the_container_needs(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    await market.rent(
        ann,
        args="sleep 9",
        env={"A": "1"},
        ports=("8888/http",),
        volume_gb=3,
        processors=4,
        memory_gb=8,
    )
    await market.tick()
    (order,) = host.orders.pods
    assert (order.image, order.args, order.env["A"]) == ("img", "sleep 9", "1")
    assert (order.ports, order.cards, order.processors) == (["8888/http"], 1, 4)
    assert (order.memory, order.disk, order.volume) == (8 * 10**9, 20 * 10**9, 3 * 10**9)
    assert order.volume_path == "/workspace"
    assert order.paid_until is not None
    assert timedelta(minutes=2) <= order.paid_until - market.world.now() < timedelta(minutes=2.01)


async def test_a_hosts_words_stand_in_the_pods_log(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann)
    await market.tick()
    shown = host.shown[pod.id].model_copy(update={"log": ["create container img"]})
    host.shown[pod.id] = shown
    await market.report(host, pods=[shown])
    assert "create container img" in await market.log(pod)


async def test_a_host_sees_only_its_own_pods(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    mine, other = await market.host("a"), await market.host("b", price=900_000)
    pod = await market.rent(ann)
    await market.tick()
    lie = mine.shown[pod.id].model_copy(update={"observed": "failed", "run": 99})
    await market.report(other, pods=[lie])
    assert await market.status(pod) is Status.RUNNING
    assert [(each.pod, each.want) for each in other.orders.pods] == [(pod.id, "terminate")]


async def test_a_report_of_what_cannot_be_is_refused(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann)
    await market.tick()
    odd = host.shown[pod.id].model_copy(update={"observed": "dancing"})
    with pytest.raises(InvalidReport, match='cannot be "dancing"'):
        await market.report(host, pods=[odd])
    assert await market.status(pod) is Status.RUNNING


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"card": ""}, 'cards of "" cannot be'),
        ({"cards": 0}, "0 cards of"),
        ({"cuda": "twelve"}, "not a version of CUDA"),
        ({"cuda": "12.x"}, "not a version of CUDA"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidReport, match=complaint):
        machine_from(MACHINE.model_copy(update=changes))


@pytest.mark.parametrize(
    ("cuda", "expected"), [("", (0, 0)), ("12", (12, 0)), ("12.8", (12, 8)), ("13.0", (13, 0))]
)
def test_versions_are_compared_as_numbers(cuda: str, expected: tuple[int, int]) -> None:
    machine = MachineReport(processors=1, memory=1, disk=1, cuda=cuda)
    assert machine_from(machine).cuda == expected


def test_an_owners_hours_are_read() -> None:
    terms = terms_from(TermsReport(price=1, opens="22:30", closes="06:00"))
    assert (terms.opens, terms.closes) == (time(22, 30), time(6))
    with pytest.raises(InvalidReport, match="not a time"):
        terms_from(TermsReport(price=1, opens="half past ten"))

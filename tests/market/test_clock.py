"""The market's time goes on evenly, and from where its books end, whoever sets a clock."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings, strategies as st

from puna.market.actions.beginning import begin, tell_of_clock
from puna.market.clock import SteadyWorld
from puna.market.db import notices
from puna.market.db.pods import Pod
from puna.market.domain.ledger import BookKind
from puna.market.domain.pods import Status
from puna.market.domain.rules import Rules
from puna.units import Span
from tests.market.stage import Stage
from tests.worlds import NOON, FakeWorld

RULES = Rules()
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**11), st.sampled_from([-86_400, -7, 0, 0, 0, 1, 86_400])),
        max_size=20,
    )
)
def test_it_never_goes_back_and_never_leaps(happened: list[tuple[int, int]]) -> None:
    world = FakeWorld()
    steady = SteadyWorld(world, world.now())
    for passed, step in happened:
        before = steady.now()
        world._elapsed = Span(world._elapsed + passed)
        world.jump(step * SECOND)
        went, truly = steady.now() - before, Span(passed).timedelta
        assert abs(went - truly) <= truly / 2000 + timedelta(microseconds=2)
        assert went >= timedelta(0)


async def test_a_small_error_is_made_up_for_as_a_time_server_does() -> None:
    world = FakeWorld()
    steady = SteadyWorld(world, world.now())
    world.jump(SECOND)
    for _ in range(40):
        await world.advance(Span.of(minutes=1))
        steady.now()
    assert steady.apart == timedelta(0)


async def test_a_large_error_is_kept_apart_and_told(market: Stage) -> None:
    steady = SteadyWorld(market.world, market.world.now())
    market.world.jump(-HOUR)
    async with market.database.transaction() as tx:
        await tell_of_clock(tx, steady.apart, steady.now())
        (notice,) = await notices.notices_page(tx)
    assert steady.now() == NOON
    assert "is 1:00:00 behind the market's own time" in notice.text


async def begun(market: Stage) -> timedelta:
    """Let a process begin; return how far its time is from the machine's clock."""
    async with market.database.transaction() as tx:
        began = await begin(tx, market.world, RULES)
    assert began.ahead == max(began.now - market.world.now(), timedelta(0))
    return began.now - market.world.now()


async def test_new_books_begin_by_the_machines_clock(market: Stage) -> None:
    assert await begun(market) == timedelta(0)


async def test_time_goes_on_where_the_books_end(market: Stage) -> None:
    """Or an hour would be free that was charged once already."""
    await market.host()
    await market.tick()
    market.world.jump(-HOUR)
    assert await begun(market) == HOUR
    market.world.jump(2 * HOUR)
    assert await begun(market) == timedelta(0)


async def a_running_pod(market: Stage, credit: str, **changes: object) -> Pod:
    market.tariff = replace(market.tariff, rules=RULES)
    ann = await market.account("ann@example.org", credit)
    await market.host()
    pod = await market.rent(ann, **changes)
    await market.tick(times=3)
    return pod


@pytest.mark.parametrize("leap", [4 * timedelta(minutes=1), HOUR, 9 * DAY])
async def test_a_market_that_was_away_gives_hosts_time_to_come(
    market: Stage, leap: timedelta
) -> None:
    """Its clock leapt, or it was away for so long: no container is moved for that."""
    pod = await a_running_pod(market, "5")
    before = await market.look(pod)
    market.world.jump(leap)
    await begun(market)
    market.since = market.world.now()
    await market.take_turns()
    await market.tick(times=8)
    after = await market.look(pod)
    assert (after.host, after.state) == (before.host, before.state)
    assert after.state.status is Status.RUNNING


async def test_what_was_paid_ahead_lasts_over_a_leap(market: Stage) -> None:
    """Or each agent that hears the new time would stop what runs there."""
    pod = await a_running_pod(market, "5")
    before = (await market.look(pod)).paid_until
    market.world.jump(DAY)
    await begun(market)
    after = (await market.look(pod)).paid_until
    assert before is not None
    assert after == before + DAY


async def test_a_pod_is_not_idle_while_nobody_could_say_that_it_is_used(market: Stage) -> None:
    pod = await a_running_pod(market, "5", idle_stop=timedelta(minutes=3))
    market.world.jump(90 * SECOND)
    await begun(market)
    market.since = market.world.now()
    await market.take_turns()
    assert await market.status(pod) is Status.RUNNING
    await market.tick(1)
    assert await market.status(pod) is Status.EXITED


async def test_a_host_that_does_not_come_is_given_up_then(market: Stage) -> None:
    pod = await a_running_pod(market, "5")
    market.since = market.world.now()
    market.hosts.clear()
    await market.tick(times=4)
    assert (await market.look(pod)).host is not None
    await market.tick(times=2)
    assert (await market.look(pod)).host is None


async def test_a_volume_is_kept_longer_by_the_time_in_which_nobody_could_pay(
    market: Stage,
) -> None:
    pod = await a_running_pod(market, "0.38", volume_gb=50)
    await market.tick(times=80)
    assert (await market.look(pod)).frozen is not None
    market.world.jump(8 * DAY)
    await begun(market)
    await begun(market)  # and another process
    market.since = market.world.now()
    await market.tick(times=3)
    assert await market.status(pod) is Status.EXITED
    market.world.jump(RULES.keep)
    await market.tick(times=2)
    assert await market.status(pod) is Status.TERMINATED
    assert await market.balance(BookKind.ESCROW, pod.id) == 0

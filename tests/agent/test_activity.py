"""When a pod counts as used, by which a pod with an idle stop is stopped."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from puna.agent.activity import Activity, Used, is_busy, used_in
from puna.agent.reach import PodReach
from puna.units import Span
from tests.agent.hosts import Host, a_host, an_order

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=30)


@pytest.mark.parametrize(
    ("before", "after", "busy"),
    [
        (Used(NOON), Used(LATER), False),
        (Used(NOON, 5.0, 100), Used(LATER, 5.3, 900), False),
        (Used(NOON, 5.0), Used(LATER, 6.5), True),
        (Used(NOON, 0.0, 0), Used(LATER, 0.0, 30_000), True),
        (Used(LATER), Used(NOON, 100.0), False),
        (Used(NOON), Used(NOON, 100.0), False),
        (Used(NOON, 9.0, 9000), Used(LATER, 0.0, 0), False),
    ],
    ids=["nothing", "a little", "computes", "talks", "clock back", "no time", "counted anew"],
)
def test_a_container_is_busy_by_what_it_used(before: Used, after: Used, *, busy: bool) -> None:
    assert is_busy(before, after) is busy


@pytest.mark.parametrize(
    ("stats", "used"),
    [
        ({}, Used(NOON)),
        ({"cpu_stats": None, "networks": None}, Used(NOON)),
        (
            {
                "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}},
                "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 4}},
            },
            Used(NOON, 2.5, 7),
        ),
    ],
)
def test_what_an_engine_counts_is_read(stats: dict[str, object], used: Used) -> None:
    assert used_in(stats, NOON) == used


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with a_host(tmp_path) as made:
        made.order(an_order())
        await made.turns(5)
        yield made


async def looked(host: Host, activity: Activity) -> datetime | None:
    """Let half a minute pass, look, and return when the pod was last used."""
    await host.world.advance(Span.of(seconds=30))
    await activity.look()
    return activity.active().get("p1")


async def test_a_pod_is_used_while_it_computes_or_talks(host: Host) -> None:
    activity = Activity(host.world, host.engine, host.keeper)
    began = await looked(host, activity)
    assert began == host.world.now()
    assert await looked(host, activity) == began
    (container,) = host.there.of("p1")
    container.processor_s += 10
    assert await looked(host, activity) == host.world.now()
    container.received += 10**6
    assert await looked(host, activity) == host.world.now()
    last = host.world.now()
    assert await looked(host, activity) == last


async def test_a_pod_is_used_when_somebody_reaches_it(host: Host) -> None:
    activity = Activity(host.world, host.engine, host.keeper)
    reach = PodReach(host.world, host.engine, host.keeper, activity.note)
    await looked(host, activity)
    await host.world.advance(Span.of(seconds=10))
    await reach.address("p1", 8888)
    assert activity.active() == {"p1": host.world.now()}


async def test_the_market_is_told(host: Host) -> None:
    activity = Activity(host.world, host.engine, host.keeper)
    await looked(host, activity)
    (report,) = host.keeper.reports(activity.active())
    assert report.active == host.world.now()


async def test_a_pod_that_is_gone_is_forgotten(host: Host) -> None:
    activity = Activity(host.world, host.engine, host.keeper)
    await looked(host, activity)
    host.order(an_order(want="stop"))
    await host.turns(4)
    assert await looked(host, activity) is None

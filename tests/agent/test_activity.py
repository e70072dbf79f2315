"""When a pod counts as used, and that an agent alone stops one that idles for too long."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from puna.agent.activity import LOOK, Activity
from puna.agent.notebook import Notebook
from puna.agent.reach import PodReach
from puna.units import Span
from puna.wire.agent import PodReport, UseReport
from tests.agent.hosts import Host, a_host, an_order

FIVE_MINUTES = 300


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with a_host(tmp_path) as made:
        made.order(an_order(idle_stop_s=FIVE_MINUTES))
        await made.turns(5)
        yield made


def activity_of(host: Host) -> Activity:
    return Activity(host.world, host.engine, host.keeper)


async def looked(host: Host, activity: Activity, times: int = 1) -> datetime | None:
    """Let time pass and look, so often; return when the pod was last used."""
    for _ in range(times):
        await host.world.advance(LOOK)
        await activity.look()
        await host.turn()
    usage = activity.usage().get("p1")
    return usage.active if usage else None


def last_report(host: Host) -> PodReport:
    [report] = host.keeper.reports()
    return report


async def test_a_pod_is_used_while_it_computes_or_talks(host: Host) -> None:
    activity = activity_of(host)
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
    activity = activity_of(host)
    reach = PodReach(host.world, host.engine, host.keeper, activity.note)
    await looked(host, activity)
    await host.world.advance(Span.of(seconds=10))
    await reach.address("p1", 8888)
    assert activity.usage()["p1"].active == host.world.now()


async def test_the_market_is_told_of_use(host: Host) -> None:
    activity = activity_of(host)
    await looked(host, activity)
    (container,) = host.there.of("p1")
    container.processor_s += LOOK.seconds / 2
    await looked(host, activity)
    (report,) = host.keeper.reports(activity.usage())
    assert report.active == host.world.now()
    assert report.use == UseReport(processor=50, memory=0)


async def test_a_pod_that_is_gone_is_forgotten(host: Host) -> None:
    activity = activity_of(host)
    await looked(host, activity)
    host.order(an_order(want="stop"))
    await host.turns(4)
    assert await looked(host, activity) is None


async def test_the_engine_counts_only_for_pods_with_an_idle_stop(host: Host) -> None:
    host.order(an_order("p1"), an_order("p2", idle_stop_s=FIVE_MINUTES))
    await host.turns(5)
    activity = activity_of(host)
    await activity.look()
    assert host.there.calls["stats"] == 1
    assert {pod: usage.use for pod, usage in activity.usage().items()} == {"p1": None, "p2": None}


async def test_a_pod_that_nobody_uses_is_stopped_while_the_market_is_away(host: Host) -> None:
    activity = activity_of(host)
    await looked(host, activity, 20)
    assert host.there.running("p1")
    await looked(host, activity, 2)
    assert host.there.running("p1") == []
    report = last_report(host)
    assert (report.observed, report.is_idle, report.run) == ("exited", True, 1)
    assert "nothing happened in it for 0:05:00" in report.log


async def test_it_stays_stopped_until_it_is_started_again(host: Host) -> None:
    activity = activity_of(host)
    await looked(host, activity, 24)
    host.order(an_order(idle_stop_s=FIVE_MINUTES, paid_until=host.in_(9999)))
    await host.turns(4)
    assert host.there.running("p1") == []
    host.order(an_order(idle_stop_s=FIVE_MINUTES, run=2))
    await host.turns(4)
    assert host.there.running("p1")
    assert not last_report(host).is_idle
    await looked(host, activity, 20)
    assert host.there.running("p1")
    await looked(host, activity, 3)
    assert host.there.running("p1") == []


async def test_use_keeps_it_running(host: Host) -> None:
    activity = activity_of(host)
    for _ in range(5):
        await looked(host, activity, 10)
        host.there.of("p1")[0].processor_s += 10
    assert host.there.running("p1")


@pytest.mark.parametrize("hears", [True, False])
async def test_an_agent_that_starts_again_counts_on(
    host: Host, tmp_path: Path, *, hears: bool
) -> None:
    await looked(host, activity_of(host), 12)
    notebook = Notebook(tmp_path / "notebook")
    notebook.write(host.keeper.kept(1), "mark")
    host.keeper = host.new_keeper(notebook.kept())
    if hears:
        host.keeper.obey(host.orders)
    activity = activity_of(host)
    await host.turn()
    await looked(host, activity, 6)
    assert host.there.running("p1")
    await looked(host, activity, 8)
    assert host.there.running("p1") == []


@pytest.mark.parametrize("hears", [True, False])
async def test_an_agent_that_is_killed_remembers_whom_it_stopped(
    host: Host, *, hears: bool
) -> None:
    await looked(host, activity_of(host), 24)
    host.restart()
    if hears:
        host.keeper.obey(host.orders)
    await host.turns(4)
    assert host.there.running("p1") == []


async def test_it_is_written_down_before_the_container_is_asked_to_end(host: Host) -> None:
    activity = activity_of(host)
    await looked(host, activity, 20)
    await host.world.advance(LOOK)
    await activity.look()
    assert [each.is_idle for each in host.keeper.kept(0).orders] == [True]
    assert host.there.running("p1")


async def test_a_pod_without_an_idle_stop_idles_for_ever(host: Host) -> None:
    host.order(an_order())
    await host.turn()
    await looked(host, activity_of(host), 60)
    assert host.there.running("p1")


async def test_what_an_engine_refuses_to_count_is_not_idle(host: Host) -> None:
    host.there.refuses["stats"] = ["no"] * 30
    await looked(host, activity_of(host), 25)
    assert host.there.running("p1")

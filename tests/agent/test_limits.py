"""A pod that writes more beside its volume than it rented is ended, soon after it did."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from puna.agent.limits import GLANCE, SPARE, DiskWatch, excesses, why_excess
from puna.agent.written import Written
from puna.units import Size
from tests.agent.hosts import Host, a_host, an_order

MB = 10**6


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with a_host(tmp_path) as made:
        made.order(an_order(disk=100 * MB))
        await made.turns(5)
        yield made


class Shrinking(DiskWatch):
    """Sees a disk with as much free as the test says."""

    free = Size(100 * 10**9)

    def room(self) -> int:
        return self.free


async def glanced(host: Host, watch: DiskWatch, times: int) -> int:
    """Let time pass; return how often the engine was asked."""
    before = host.there.calls["list"]
    for _ in range(times):
        await host.world.advance(GLANCE)
        await watch.glance()
    return host.there.calls["list"] - before


async def test_who_wrote_too_much_is_ended(host: Host, tmp_path: Path) -> None:
    watch = DiskWatch(host.world, host.engine, host.keeper, tmp_path)
    host.there.of("p1")[0].written = 99 * MB
    await watch.look()
    await host.turns(3)
    assert host.there.running("p1")
    host.there.of("p1")[0].written = 101 * MB
    await watch.look()
    await host.turns(3)
    assert host.there.running("p1") == []
    assert (await host.report()).reason == "it wrote 101 MB and has 100 MB of disk"


async def test_files_are_counted_twice_a_minute(host: Host, tmp_path: Path) -> None:
    watch = Shrinking(host.world, host.engine, host.keeper, tmp_path)
    assert await glanced(host, watch, 1) == 1
    assert await glanced(host, watch, 14) == 0
    assert await glanced(host, watch, 16) == 2


async def test_and_at_once_when_much_of_the_disk_is_gone(host: Host, tmp_path: Path) -> None:
    watch = Shrinking(host.world, host.engine, host.keeper, tmp_path)
    await glanced(host, watch, 1)
    watch.free = Size(watch.free - 999 * MB)
    assert await glanced(host, watch, 1) == 0
    watch.free = Size(watch.free - MB)
    assert await glanced(host, watch, 1) == 1
    assert await glanced(host, watch, 1) == 0


async def test_images_are_not_fetched_where_they_would_take_what_is_left(tmp_path: Path) -> None:
    async with a_host(tmp_path) as host:
        watch = Shrinking(host.world, host.engine, host.keeper, tmp_path)
        watch.free = Size(SPARE - 1)
        host.there.holds_pulls = asyncio.Event()
        host.order(an_order())
        async with asyncio.TaskGroup() as group:
            await host.keeper.turn(group)
            assert [each.observed for each in host.keeper.reports()] == ["pulling"]
            await watch.glance()
        [shown] = host.keeper.reports()
        assert (shown.observed, "of this host's disk are free" in shown.reason) == ("absent", True)
        host.there.holds_pulls.set()
        await host.turns(40)
        assert host.there.running("p1")


@pytest.mark.parametrize(
    ("found", "most", "said"),
    [
        (Written(101, 5), Written(100, 0), "wrote more than the 100 B"),
        (Written(50, 11), Written(100, 10), "made more than 10 files"),
        (Written(100, 10), Written(100, 10), ""),
        (Written(100, 10**9), Written(100, 0), ""),
    ],
)
def test_bytes_and_files_have_an_end(found: Written, most: Written, said: str) -> None:
    assert said in why_excess(found, most)
    assert bool(said) == bool(why_excess(found, most))


async def test_where_nothing_runs_nothing_is_counted(host: Host, tmp_path: Path) -> None:
    host.order(an_order(want="stop"))
    await host.turns(4)
    watch = DiskWatch(host.world, host.engine, host.keeper, tmp_path)
    assert await glanced(host, watch, 40) == 0


def test_a_pod_without_a_bound_is_left_alone() -> None:
    assert excesses({"c": 10**12}, [("p", "c", Size(0))]) == []

"""What the gateway may reach on a host: its pods that run, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from puna.agent.execs import Exec
from puna.agent.problems import NotOnEngine
from puna.agent.reach import PodReach, PodShell
from puna.agent.tunnel import NoSuchPod
from puna.wire.tunnel import Ask
from tests.agent.hosts import Host, a_host, an_order
from tests.worlds import FakeWorld


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with a_host(tmp_path) as made:
        made.order(an_order())
        await made.turns(5)
        yield made


@pytest.fixture
def reach(host: Host) -> PodReach:
    return PodReach(host.world, host.engine, host.keeper)


async def test_any_port_of_a_pod_is_at_its_own_address(reach: PodReach) -> None:
    assert await reach.address("p1", 8888) == ("10.89.0.2", 8888)
    assert await reach.address("p1", 9) == ("10.89.0.2", 9)


@pytest.mark.parametrize("pod", ["p2", "", "../p1", "localhost"])
async def test_what_is_no_pod_here_is_not_reached(reach: PodReach, pod: str) -> None:
    with pytest.raises(NoSuchPod):
        await reach.address(pod, 22)
    with pytest.raises(NoSuchPod):
        await reach.shell(pod, Ask(kind="shell"))
    with pytest.raises(NoSuchPod):
        await reach.logs(pod, Ask(kind="logs"))


async def test_a_pod_that_ended_has_a_log_and_no_ports(host: Host, reach: PodReach) -> None:
    host.there.of("p1")[0].said.append("bye")
    host.there.end("p1", 0)
    with pytest.raises(NotOnEngine):
        await reach.address("p1", 8888)  # the keeper has not seen yet that it ended
    await host.turn()
    with pytest.raises(NoSuchPod):
        await reach.address("p1", 8888)
    lines = await reach.logs("p1", Ask(kind="logs"))
    assert [line.text async for line in lines] == ["bye"]


async def test_a_stopped_pod_is_not_reached(host: Host, reach: PodReach) -> None:
    host.order(an_order(want="stop"))
    await host.turns(4)
    with pytest.raises(NoSuchPod, match="no container of pod p1"):
        await reach.address("p1", 8888)


async def test_a_pod_that_wrote_too_much_ends_and_is_given_up(host: Host) -> None:
    host.order(an_order(disk=10**9))
    await host.turns(2)
    [(pod, container, allowed)] = host.keeper.disks()
    assert (pod, container, allowed) == ("p1", host.there.of("p1")[0].id, 10**9)
    host.keeper.bar("p1", "it wrote 2 GB and has 1 GB of disk")
    await host.turns(4)
    assert host.there.of("p1") == []
    report = await host.report()
    assert (report.observed, report.reason) == ("failed", "it wrote 2 GB and has 1 GB of disk")


async def test_the_next_run_of_it_may_begin(host: Host) -> None:
    host.keeper.bar("p1", "too much")
    await host.turns(4)
    host.order(an_order(run=2))
    await host.turns(6)
    assert (await host.report()).observed == "running"


class OneProcess:
    """A program of this machine, as an engine shows what it has begun in a container."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    async def running_pid(self) -> int:
        return self.pid


@pytest.mark.parametrize("is_leader", [True, False], ids=["a session of its own", "of another's"])
async def test_a_signal_reaches_what_runs_in_a_pod(is_leader: bool) -> None:
    script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    began = await asyncio.create_subprocess_exec(
        "/bin/sh",
        *("-c", script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=is_leader,
    )
    assert began.stdout is not None
    assert await began.stdout.readline() == b"ready\n"
    shell = PodShell(FakeWorld(), cast("Exec", OneProcess(began.pid)), lambda: None)
    await shell.signal("TERM")
    assert await began.wait() == 7


async def test_a_signal_for_what_has_ended_is_for_nobody() -> None:
    shell = PodShell(FakeWorld(), cast("Exec", OneProcess(0)), lambda: None)
    await shell.signal("KILL")

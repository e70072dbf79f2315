"""What is ordered becomes so, whatever fails in between, and is said."""

import socket
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from puna.agent.hands import free_ports
from puna.agent.link import MarketGone
from puna.agent.problems import EngineGone, NoRoom
from puna.agent.shown import LogLine
from puna.wire.agent import Credential
from tests.agent.hosts import IMAGE, Host, a_host, an_order
from tests.ports import free_port


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with a_host(tmp_path) as made:
        yield made


async def running(host: Host, **changes: object) -> None:
    host.order(an_order("p1", **changes))
    await host.turns(8)
    assert len(host.there.running("p1")) == 1


async def test_a_pod_is_pulled_made_and_started(host: Host) -> None:
    await running(host)
    report = await host.report()
    assert (report.observed, report.run) == ("running", 1)
    assert report.started is not None
    assert [port.inside for port in report.ports] == [8888]
    assert report.log[0] == f"pulling {IMAGE}"
    assert report.log[-1] == "started"


async def test_lines_are_said_once_the_market_has_taken_them(host: Host) -> None:
    await running(host)
    report = await host.report()
    host.keeper.heard([report])
    assert (await host.report()).log == []


async def test_a_slow_download_holds_up_no_other_pod(host: Host) -> None:
    import asyncio  # noqa: PLC0415 - for one event

    host.there.images.add("reg.example/slow:1")
    host.there.registry |= {"reg.example/slow:1"}
    await running(host)
    host.there.holds_pulls = asyncio.Event()
    host.order(an_order(), an_order("p2", image="reg.example/slow:1"), an_order("p3"))
    group = asyncio.TaskGroup()
    async with group:
        for _ in range(4):
            await host.keeper.turn(group)
            await asyncio.sleep(0.02)
        assert len(host.there.running("p3")) == 1
        reports = {each.pod: each for each in host.keeper.reports()}
        assert reports["p2"].observed == "pulling"
        host.there.holds_pulls.set()
    await host.turns(3)
    assert len(host.there.running("p2")) == 1


async def test_a_stop_keeps_the_volume_and_a_start_finds_it(host: Host) -> None:
    await running(host, volume=10**9, volume_path="/workspace")
    host.order(an_order(want="stop", volume=10**9, volume_path="/workspace"))
    await host.turns(4)
    assert (await host.report()).observed == "exited"
    assert host.there.of("p1") == []
    assert list(host.there.volumes) == ["puna-p1"]
    await running(host, run=2, volume=10**9, volume_path="/workspace")


async def test_a_terminated_pod_leaves_nothing(host: Host) -> None:
    await running(host, volume=10**9, volume_path="/workspace")
    host.order(an_order(want="terminate"))
    await host.turns(4)
    assert (await host.report()).observed == "absent"
    assert (host.there.of("p1"), host.there.volumes) == ([], {})


async def test_terminate_while_pulling_ends_in_nothing(host: Host) -> None:
    host.order(an_order())
    await host.turn()
    host.order(an_order(want="terminate"))
    await host.turns(3)
    assert host.there.of("p1") == []


async def test_a_download_that_fails_is_tried_again_and_then_given_up(host: Host) -> None:
    host.order(an_order(image="reg.example/missing:1"))
    await host.turns(60)
    report = await host.report()
    assert report.observed == "failed"
    assert "manifest unknown" in report.reason
    assert host.there.calls["pull"] == 3


async def test_a_new_run_may_try_again(host: Host) -> None:
    host.order(an_order(image="reg.example/late:1"))
    await host.turns(60)
    host.there.registry.add("reg.example/late:1")
    host.order(an_order(image="reg.example/late:1", run=2))
    await host.turns(5)
    assert (await host.report()).observed == "running"


async def test_an_image_that_a_login_fetched_is_not_there_for_others(host: Host) -> None:
    host.there.logins[IMAGE] = "secret"
    login = Credential(username="ann", password="secret")
    await running(host, credential=login)
    host.order(an_order(credential=login), an_order("p2"))
    await host.turns(60)
    assert (await host.report("p2")).observed == "failed"
    assert len(host.there.running("p1")) == 1


SSH = ["8888/http", "22/tcp"]


async def test_tcp_ports_are_open_where_the_owner_opened_some(host: Host) -> None:
    host.ports = range(40_000, 40_010)
    host.restart()
    await running(host, ports=SSH)
    [made] = host.there.of("p1")
    [told] = [each for each in made.body["Env"] if each.startswith("RUNPOD_TCP_PORT_")]
    [binding] = made.body["HostConfig"]["PortBindings"]["22/tcp"]
    assert told == f"RUNPOD_TCP_PORT_22={binding['HostPort']}"
    assert int(binding["HostPort"]) in host.ports


async def test_without_an_open_port_nothing_is_told_of_one(host: Host) -> None:
    await running(host, ports=SSH)
    [made] = host.there.of("p1")
    assert not [each for each in made.body["Env"] if each.startswith("RUNPOD_TCP_PORT_")]


async def test_an_image_that_is_only_here_is_the_owner_s(host: Host) -> None:
    host.there.images.add("localhost/mine:1")
    host.order(an_order(image="localhost/mine:1"))
    await host.turns(60)
    assert (await host.report()).observed == "failed"
    host.trusts_local = True
    host.restart()
    host.order(an_order(image="localhost/mine:1"))
    await host.turns(5)
    assert (await host.report()).observed == "running"


async def test_an_image_that_somebody_removed_is_fetched_again(host: Host) -> None:
    await running(host)
    host.there.images.clear()
    host.order(an_order(run=2))
    await host.turns(25)
    assert (await host.report()).observed == "running"


async def test_what_the_engine_always_misses_is_not_tried_for_ever(host: Host) -> None:
    host.order(an_order())
    await host.turn()
    host.there.registry.clear()
    host.there.images.clear()
    await host.turns(100)
    assert (await host.report()).observed == "failed"
    assert host.there.calls["create"] + host.there.calls["pull"] < 10


async def test_a_full_disk_is_said_and_given_up(host: Host) -> None:
    host.there.refuses["create"] = ["no space left on device"] * 3
    host.order(an_order())
    await host.turns(60)
    report = await host.report()
    assert (report.observed, report.reason) == ("failed", "no space left on device")


async def test_a_disk_that_has_room_again_is_used(host: Host) -> None:
    host.there.refuses["create"] = ["no space left on device"] * 2
    await running_after(host, 60)
    assert any("no space left" in line for line in (await host.report()).log)


async def running_after(host: Host, turns: int) -> None:
    host.order(an_order())
    await host.turns(turns)
    assert (await host.report()).observed == "running"


async def test_a_port_that_is_taken_makes_another_container(host: Host) -> None:
    host.there.refuses["start"] = ["listen tcp4 127.0.0.1:40001: address already in use"]
    await running_after(host, 30)
    assert host.there.calls["create"] == 2


async def test_a_container_that_ends_begins_again_after_a_pause_and_at_last_not(host: Host) -> None:
    await running(host)
    for _ in range(5):
        host.there.end("p1", 7)
        await host.turns(20, apart_s=10)
    report = await host.report()
    assert report.observed == "failed"
    assert "ended 5 times in a row, last with 7" in report.reason


async def test_two_pods_never_share_a_card(host: Host) -> None:
    host.order(an_order("p1", cards=1), an_order("p2", cards=1), an_order("p3", cards=1))
    await host.turns(60)
    given = [each.body["HostConfig"]["DeviceRequests"] for each in host.there.containers.values()]
    assert sorted(str(each[0]["DeviceIDs"]) for each in given) == [
        "['nvidia.com/gpu=0']",
        "['nvidia.com/gpu=1']",
    ]
    failed = [each.reason for each in host.keeper.reports() if each.observed == "failed"]
    assert failed == ["1 cards are asked for and 0 are free"]


async def test_what_cannot_be_a_container_is_given_up_at_once(host: Host) -> None:
    host.order(an_order(image="dir:/home/owner"))
    await host.turns(2)
    report = await host.report()
    assert report.observed == "failed"
    assert "is not an image" in report.reason


async def test_a_pod_whose_name_is_a_path_is_left_alone(host: Host) -> None:
    host.order(an_order("../../etc"), an_order("-v"), an_order(""))
    await host.turns(3)
    assert host.there.containers == {}


async def test_a_container_of_no_order_is_stopped_and_removed_but_its_volume_stays(
    host: Host,
) -> None:
    await running(host, volume=10**9, volume_path="/workspace")
    host.order()
    await host.turns(4)
    assert host.there.of("p1") == []
    assert list(host.there.volumes) == ["puna-p1"]


async def test_containers_of_another_agent_are_not_touched(host: Host) -> None:
    await running(host)
    made = host.there.of("p1")[0]
    theirs = {**made.body, "Labels": {**made.body["Labels"], "cloud.puna.host": "h2"}}
    made.body = theirs
    host.order()
    await host.turns(3)
    assert host.there.of("p1") == [made]


async def test_cut_off_a_pod_stops_when_it_is_paid_no_longer(host: Host) -> None:
    await running(host, paid_until=host.in_(100))
    await host.turns(3)
    assert host.there.running("p1")
    await host.pass_time(100)
    await host.turns(2)
    assert host.there.running("p1") == []


async def test_an_agent_that_was_killed_while_cut_off_still_keeps_the_deadlines(host: Host) -> None:
    await running(host, paid_until=host.in_(100), terminate_at=host.in_(1000))
    host.restart()
    await host.turns(3)
    assert host.there.running("p1"), "nothing is ended before the market has said a word"
    await host.pass_time(100)
    await host.turns(3)
    assert host.there.running("p1") == []


async def test_a_clock_that_is_set_moves_no_deadline(host: Host) -> None:
    await running(host, paid_until=host.in_(100))
    host.world.jump(timedelta(days=1))
    await host.turns(3)
    assert host.there.running("p1")
    host.world.jump(-timedelta(days=2))
    await host.pass_time(100)
    await host.turns(2)
    assert host.there.running("p1") == []


async def test_an_engine_that_goes_away_and_comes_back(host: Host, tmp_path: Path) -> None:
    await running(host)
    socket = tmp_path / "engine.sock"
    hidden = socket.rename(tmp_path / "hidden")
    await host.engine.close()
    host.engine = type(host.engine)(socket)
    host.restart()
    host.order(an_order())
    with pytest.raises(EngineGone):
        await host.keeper.turn(None)  # type: ignore[arg-type] # it comes to no step
    assert host.keeper.engine_is_gone
    hidden.rename(socket)
    assert (await host.report()).observed == "running"
    await host.engine.close()


async def test_a_spot_pod_is_told_why_and_until_when(host: Host) -> None:
    await running(host)
    reason, by = "another renter pays more", host.in_(60)
    host.order(an_order(want="stop", grace_s=60, leave_by=by, reason=reason))
    await host.turns(2)
    assert host.there.calls["put_archive"] == 1
    assert "another renter pays more" in host.there.files["/run/puna/notice.json"]
    assert f"stopped: {reason}" in (await host.report()).log


async def test_what_a_container_wrote_is_kept_before_it_goes(host: Host) -> None:
    kept: list[tuple[str, int, list[str]]] = []

    async def keep(pod: str, run: int, lines: Sequence[LogLine]) -> None:
        kept.append((pod, run, [line.text for line in lines]))

    await running(host)
    host.keeper.last_words = keep
    host.there.of("p1")[0].said.extend(["one", "two"])
    host.order(an_order(want="stop"))
    await host.turns(4)
    assert kept == [("p1", 1, ["one", "two"])]
    assert host.there.of("p1") == []


async def test_a_container_goes_although_nobody_keeps_its_words(host: Host) -> None:
    async def keep(pod: str, run: int, lines: Sequence[LogLine]) -> None:
        raise MarketGone(f"no market for {len(lines)} lines of run {run} of {pod}")

    await running(host)
    host.keeper.last_words = keep
    host.order(an_order(want="terminate"))
    await host.turns(4)
    assert host.there.of("p1") == []


def test_ports_of_a_machine_are_chosen_that_nobody_has() -> None:
    port = free_port()
    which = range(port, port + 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(NoRoom, match=f"no port from {port} to {port} is free"):
            free_ports(which, [22], (), 7)
    assert free_ports(which, [22], (), 7) == {22: port}
    with pytest.raises(NoRoom):
        free_ports(which, [22], {port}, 7)
    with pytest.raises(NoRoom):
        free_ports(which, [22, 23], (), 7)
    assert free_ports(range(0), [22], (), 7) == free_ports(which, [], (), 7) == {}

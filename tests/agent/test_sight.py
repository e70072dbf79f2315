"""What a host shows of its pods, whatever is on it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from puna.agent.converge import Container, Phase, Pulled
from puna.agent.deadman import MarketClock
from puna.agent.notices import archive_of, hook_of
from puna.agent.orders import told_of
from puna.agent.progress import Folded
from puna.agent.shown import Pulling, Shown
from puna.agent.sight import Sight, reports_of
from puna.agent.usage import Usage
from puna.units import Span
from puna.wire.agent import PodReport
from tests.agent.hosts import IMAGE, an_order
from tests.worlds import NOON, FakeWorld

RUNNING = Container(id="c", pod="p1", run=1, design="d", phase=Phase.RUNNING, started=NOON)
ENDED = replace(RUNNING, phase=Phase.EXITED, ended=NOON + timedelta(seconds=9), exit_code=3)
TOLD = {"p1": told_of(an_order())}


def report(sight: Sight) -> PodReport:
    [only] = reports_of(sight)
    return only


def test_a_running_container() -> None:
    shown = Shown(container=RUNNING, ports={8888: 40001, 22: 40002})
    said = report(Sight(shown=[shown], told=TOLD, usage={"p1": Usage(active=NOON)}))
    assert (said.observed, said.started, said.ended, said.active) == ("running", NOON, None, NOON)
    assert [(port.inside, port.outside) for port in said.ports] == [(22, 40002), (8888, 40001)]


def test_a_container_that_ended_says_how() -> None:
    said = report(Sight(shown=[Shown(container=ENDED)], told=TOLD))
    assert (said.observed, said.exit_code) == ("exited", 3)
    assert said.reason == "the container ended with 3"
    short = Shown(container=ENDED, was_short_of_memory=True)
    assert "more memory" in report(Sight(shown=[short], told=TOLD)).reason


def test_a_run_that_nobody_used_is_told_once_it_has_ended() -> None:
    idle = Sight(told=TOLD, idle={"p1": 1})
    assert not report(replace(idle, shown=[Shown(container=RUNNING)])).is_idle
    for shown in ([Shown(container=ENDED)], []):
        said = report(replace(idle, shown=shown))
        assert (said.observed, said.run, said.is_idle, said.reason) == ("exited", 1, True, "")


@pytest.mark.parametrize(("run", "want"), [(2, "run"), (1, "stop"), (1, "terminate")])
def test_a_new_run_and_a_pod_that_is_to_stop_are_not_idle(run: int, want: str) -> None:
    told = {"p1": told_of(an_order(run=run, want=want))}
    assert not report(Sight(told=told, idle={"p1": 1})).is_idle


def test_of_two_containers_the_newest_is_shown() -> None:
    newer = replace(RUNNING, id="c2", crashes=1)
    said = report(Sight(shown=[Shown(container=newer), Shown(container=ENDED)], told=TOLD))
    assert said.observed == "running"
    later = replace(ENDED, run=2)
    said = report(Sight(shown=[Shown(container=later), Shown(container=RUNNING)], told=TOLD))
    assert (said.observed, said.run) == ("exited", 2)


def test_a_container_without_an_order_is_shown_too() -> None:
    said = report(Sight(shown=[Shown(container=RUNNING)]))
    assert (said.pod, said.observed, said.run) == ("p1", "running", 1)


@pytest.mark.parametrize(
    ("pull", "observed", "reason"),
    [
        (None, "absent", ""),
        (Pulled(is_running=True, reason="1 of 3 layers"), "pulling", "1 of 3 layers"),
        (Pulled(failures=1, reason="no such image"), "absent", "no such image"),
    ],
)
def test_an_image_that_is_not_here_yet(pull: Pulled | None, observed: str, reason: str) -> None:
    pulls = {} if pull is None else {IMAGE: pull}
    said = report(Sight(told=TOLD, pulls=pulls))
    assert (said.observed, said.reason) == (observed, reason)


def test_a_stopped_pod_with_a_volume_is_not_gone() -> None:
    stopped = {"p1": told_of(an_order(want="stop"))}
    assert report(Sight(told=stopped)).observed == "absent"
    assert report(Sight(told=stopped, volumes=frozenset({"p1"}))).observed == "exited"


def test_what_was_given_up_is_failed_for_this_run_alone() -> None:
    given_up = {"p1": (1, "no room")}
    said = report(Sight(told=TOLD, given_up=given_up))
    assert (said.observed, said.reason) == ("failed", "no room")
    newer = {"p1": told_of(an_order(run=2))}
    assert report(Sight(told=newer, given_up=given_up)).observed == "absent"


def test_a_container_that_runs_is_never_called_failed() -> None:
    shown = [Shown(container=RUNNING)]
    assert report(Sight(shown=shown, told=TOLD, given_up={"p1": (1, "x")})).observed == "running"


async def test_the_markets_time_goes_on_without_the_market() -> None:
    world = FakeWorld()
    clock = MarketClock(world)
    clock.hear(NOON + timedelta(hours=1))
    world.jump(timedelta(days=3))
    await world.advance(Span.of(seconds=5))
    assert clock.now() == NOON + timedelta(hours=1, seconds=5)
    clock.hear(None)
    assert clock.now() == NOON + timedelta(hours=1, seconds=5)


def test_a_download_is_one_line() -> None:
    folded = Folded()
    assert folded.line == ""
    folded.take(Pulling(layer="", status="Pulling from x"))
    assert folded.line == "Pulling from x"
    folded.take(Pulling(layer="a", status="Downloading", done=10**6, total=4 * 10**6))
    folded.take(Pulling(layer="b", status="Downloading", done=10**6, total=10**6))
    folded.take(Pulling(layer="b", status="Download complete"))
    assert folded.line == "1 of 2 layers, 2 MB of 5 MB"


def test_a_layer_without_a_size_counts_all_the_same() -> None:
    folded = Folded()
    folded.take(Pulling(layer="a", status="Already exists"))
    assert folded.line == "1 of 1 layers"


@pytest.mark.parametrize(
    ("text", "hook"),
    [
        ("", None),
        ("8888/notice", (8888, "/notice")),
        ("8888", (8888, "/")),
        ("8888/a/b?c=1", (8888, "/a/b?c=1")),
        ("8888//169.254.169.254/x", (8888, "/169.254.169.254/x")),
        ("x/notice", None),
        ("999999/x", None),
    ],
)
def test_a_hook_is_a_port_and_a_path(text: str, hook: tuple[int, str] | None) -> None:
    assert hook_of({"PUNA_NOTICE": text}) == hook


def test_a_notice_is_a_file_that_everybody_may_read() -> None:
    import io  # noqa: PLC0415 - to look into the archive
    import tarfile  # noqa: PLC0415

    with tarfile.open(fileobj=io.BytesIO(archive_of("run/puna/notice.json", b"{}"))) as archive:
        modes = [(each.name, each.mode, each.isdir()) for each in archive.getmembers()]
    assert modes == [
        ("run", 0o755, True),
        ("run/puna", 0o755, True),
        ("run/puna/notice.json", 0o644, False),
    ]


def test_what_docker_says_of_an_image_is_no_layer_and_unpacking_goes_not_back() -> None:
    folded = Folded()
    folded.take(Pulling(layer="24.04", status="Pulling from library/ubuntu"))
    assert folded.line == "Pulling from library/ubuntu"
    folded.take(Pulling(layer="a", status="Downloading", done=10**6, total=4 * 10**6))
    folded.take(Pulling(layer="a", status="Verifying Checksum"))
    folded.take(Pulling(layer="a", status="Extracting", done=1000, total=4 * 10**6))
    assert folded.line == "0 of 1 layers, 4 MB of 4 MB"
    folded.take(Pulling(layer="a", status="Pull complete"))
    assert folded.line == "1 of 1 layers, 4 MB of 4 MB"

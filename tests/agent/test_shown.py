"""What an engine shows is read without trust: names, times, logs, containers of others."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from puna.agent.containers import UnusablePod, check_image, name_and_tag, with_registry
from puna.agent.converge import Phase
from puna.agent.shown import HEAD, LogLine, Nature, Pulling, log_lines, moment_of, shown_of

LABELS = {"cloud.puna.pod": "p1", "cloud.puna.run": "3", "cloud.puna.design": "d"}


class Body:
    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    async def read(self, n: int = -1) -> bytes:
        return self._pieces.pop(0)[:n] if self._pieces else b""


def framed(text: bytes, stream: int = 1) -> bytes:
    return HEAD.pack(stream, len(text)) + text


async def lines_of(*pieces: bytes, is_raw: bool = False) -> Sequence[LogLine]:
    return [line async for line in log_lines(Body(*pieces), is_raw=is_raw)]


def a_container(**state: str) -> dict[str, Any]:
    return {
        "Id": "c1",
        "Config": {"Labels": LABELS},
        "State": {"Status": "running", "StartedAt": "2026-11-24T18:35:09.86997673Z"} | state,
        "NetworkSettings": {
            "Ports": {"8888/tcp": [{"HostPort": "44327"}], "53/udp": [{"HostPort": "9"}]},
            "Networks": {"puna": {"IPAddress": "10.89.0.2"}},
        },
    }


def test_a_container_is_read_from_its_labels_and_state() -> None:
    shown = shown_of(a_container())
    assert shown is not None
    assert (shown.container.pod, shown.container.run, shown.container.design) == ("p1", 3, "d")
    assert shown.container.phase is Phase.RUNNING
    assert shown.container.started == datetime(2026, 11, 24, 18, 35, 9, 869976, tzinfo=UTC)
    assert (shown.ports, shown.address) == ({8888: 44327}, "10.89.0.2")


def test_a_container_of_somebody_else_is_not_ours() -> None:
    assert shown_of(a_container() | {"Config": {"Labels": {"app": "theirs"}}}) is None


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("created", Phase.CREATED),
        ("exited", Phase.EXITED),
        ("paused", Phase.RUNNING),
        ("?", Phase.EXITED),
    ],
)
def test_each_engine_s_word_for_a_state_is_known(status: str, phase: Phase) -> None:
    shown = shown_of(a_container(Status=status))
    assert shown is not None
    assert shown.container.phase is phase


@pytest.mark.parametrize("text", ["", "0001-01-01T00:00:00Z", "yesterday"])
def test_a_time_that_means_never_is_none(text: str) -> None:
    assert moment_of(text) is None


async def test_a_log_in_frames_is_cut_into_lines_wherever_it_breaks() -> None:
    whole = framed(b"2026-11-24T18:41:22Z one\n2026-11-24T18:41:23Z two\n") + framed(
        b"2026-11-24T18:41:24.5Z oh\xff no\n", 2
    )
    expected = [
        LogLine("2026-11-24T18:41:22Z", "one"),
        LogLine("2026-11-24T18:41:23Z", "two"),
        LogLine("2026-11-24T18:41:24.5Z", "oh\ufffd no", is_error=True),
    ]
    assert await lines_of(whole) == expected
    assert await lines_of(*(whole[each : each + 1] for each in range(len(whole)))) == expected


async def test_a_terminals_log_has_no_frames() -> None:
    assert await lines_of(b"2026-11-24T18:41:22Z on", b"e\r\n", is_raw=True) == [
        LogLine("2026-11-24T18:41:22Z", "one")
    ]


async def test_a_line_without_end_is_cut() -> None:
    said = await lines_of(framed(b"2026-11-24T18:41:22Z " + b"x" * 40_000))
    assert len(said) == 3
    assert sum(line.text.count("x") for line in said) == 40_000


def test_a_line_of_a_download() -> None:
    line = {"status": "Downloading", "id": "abc", "progressDetail": {"current": 5, "total": 10}}
    assert Pulling.of(line) == Pulling(layer="abc", status="Downloading", done=5, total=10)


def test_docker_and_podman_are_told_apart() -> None:
    podman = Nature.of({"Components": [{"Name": "Podman Engine"}]}, {"DockerRootDir": "/x"})
    docker = Nature.of({"Version": "20.10"}, {"SecurityOptions": ["name=seccomp", "name=userns"]})
    assert (podman.is_podman, docker.is_podman) == (True, False)
    assert (docker.maps_all_users, docker.has_seccomp) == (True, True)
    assert (podman.outlives_itself, docker.outlives_itself) == (True, False)


def test_docker_tells_its_users_its_runtimes_and_its_cards() -> None:
    about = {
        "DockerRootDir": "/var/lib/docker/231072.231072",
        "SecurityOptions": ["name=seccomp,profile=unconfined", "name=userns"],
        "Runtimes": {"runsc": {"runtimeType": "io.containerd.runsc.v1"}, "runc": {"path": "runc"}},
        "Driver": "overlay2",
        "DefaultRuntime": "/usr/local/bin/runsc",
        "CDISpecDirs": ["/etc/cdi"],
        "LiveRestoreEnabled": True,
    }
    docker = Nature.of({"Version": "29.7.2"}, about)
    assert (docker.first_user, docker.has_seccomp) == (231072, False)
    assert docker.runtimes == {"runsc": "containerd-shim-runsc-v1", "runc": "runc"}
    assert (docker.card_folders, docker.storage) == ((Path("/etc/cdi"),), "overlay2")
    assert (docker.outlives_itself, docker.default_runtime) == (True, "runsc")
    assert Nature.of({}, about | {"SecurityOptions": []}).first_user == 0


@pytest.mark.parametrize(
    "image",
    [
        "ubuntu",
        "ubuntu:24.04",
        "localhost/tiny:1",
        "ghcr.io/owner/some_image__x-y.z:v1.2",
        "registry.example:5000/a/b:c@sha256:" + "0a" * 32,
    ],
)
def test_a_registry_s_image_is_an_image(image: str) -> None:
    assert check_image(image) == image


@pytest.mark.parametrize(
    "image",
    [
        "",
        "dir:/home/owner",
        "oci-archive:/tmp/x.tar",
        "docker-daemon:mine:latest",
        "oci:8080/x",
        "dir/x",
        "../containers/x",
        "a/../../volumes",
        "a b",
        "a?x=1",
        "https://registry.example/a",
        "x" * 500,
    ],
)
def test_what_would_show_a_renter_the_host_s_files_is_no_image(image: str) -> None:
    with pytest.raises(UnusablePod, match="not an image"):
        check_image(image)


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("ubuntu:24.04", "docker.io/library/ubuntu:24.04"),
        ("me/private", "docker.io/me/private"),
        ("ghcr.io/me/x", "ghcr.io/me/x"),
    ],
)
def test_a_login_is_for_a_registry_that_has_a_name(image: str, full: str) -> None:
    assert with_registry(image) == full


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("ubuntu", ("ubuntu", "latest")),
        ("reg.example:5000/a", ("reg.example:5000/a", "latest")),
        ("reg.example:5000/a:b", ("reg.example:5000/a", "b")),
        ("a:b@sha256:12", ("a:b", "sha256:12")),
    ],
)
def test_one_image_is_fetched_and_never_all_of_a_name(image: str, parts: tuple[str, str]) -> None:
    assert name_and_tag(image) == parts

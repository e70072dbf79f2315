"""A container's body: what the renter asked for, and what protects the machine that he rents."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from puna.agent.containers import (
    USERS,
    Design,
    House,
    Name,
    Place,
    UnusablePod,
    create_body,
    first_user,
    numbers_in,
)
from puna.units import Size

DESIGN = Design(
    image="registry.example/img:1",
    args='python -c "print(1, 2)"',
    env={"B": "2", "A": "x=y z"},
    ports=(8888, 22),
    cards=1,
    processors=4,
    memory=Size(8 * 10**9),
    volume_path="/workspace",
)


PLACE = Place(devices=("nvidia.com/gpu=0",), disk=Size(20 * 10**9))


def body_of(design: Design = DESIGN, house: House | None = None) -> dict[str, Any]:
    return dict(create_body(Name("p1", 2, 1), design, house or House(host="h1"), PLACE))


def host_config(design: Design = DESIGN, house: House | None = None) -> Mapping[str, Any]:
    config: Mapping[str, Any] = body_of(design, house)["HostConfig"]
    return config


def test_the_renter_gets_what_was_asked_for() -> None:
    body = body_of()
    assert body["Image"] == "registry.example/img:1"
    assert body["Cmd"] == ["python", "-c", "print(1, 2)"]
    assert body["Env"] == ["A=x=y z", "B=2", "NVIDIA_VISIBLE_DEVICES=void"]
    assert body["ExposedPorts"] == {"8888/tcp": {}, "22/tcp": {}}
    assert host_config()["DeviceRequests"] == [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}]
    assert host_config()["Mounts"] == [
        {"Type": "volume", "Source": "puna-p1", "Target": "/workspace"}
    ]


def test_without_arguments_the_images_own_command_runs() -> None:
    assert body_of(replace(DESIGN, args=""))["Cmd"] is None


def test_the_machines_owner_is_protected() -> None:
    config = host_config()
    assert config["CapDrop"] == ["ALL"]
    assert not {"SYS_ADMIN", "NET_ADMIN", "NET_RAW", "MKNOD", "SYS_PTRACE"} & set(config["CapAdd"])
    assert config["SecurityOpt"] == ["no-new-privileges"]
    assert config["Privileged"] is False
    assert config["UsernsMode"].startswith(f"auto:size={USERS},uidmapping=0:{first_user('p1')}:")
    assert config["NetworkMode"] == "puna"


def test_an_image_s_check_of_its_health_is_not_run_on_the_owners_time() -> None:
    assert body_of()["Healthcheck"] == {"Test": ["NONE"]}


def test_no_variable_of_a_renters_gives_cards() -> None:
    asks = replace(DESIGN, env={"NVIDIA_VISIBLE_DEVICES": "all"})
    assert body_of(asks)["Env"] == ["NVIDIA_VISIBLE_DEVICES=void"]


def test_the_filter_of_calls_is_named_where_there_is_one() -> None:
    config = host_config(house=House(calls=Path("/agent/calls.json")))
    assert config["SecurityOpt"] == ["no-new-privileges", "seccomp=/agent/calls.json"]


def test_everything_has_a_limit() -> None:
    config = host_config()
    assert config["Memory"] == config["MemorySwap"] == 8 * 10**9
    assert config["CpuQuota"] / config["CpuPeriod"] == 4
    assert 0 < config["PidsLimit"] <= 4096
    assert {each["Name"] for each in config["Ulimits"]} == {"nofile", "nproc"}


def test_a_port_is_open_to_the_agent_alone() -> None:
    bindings = host_config()["PortBindings"]
    assert {each["HostIp"] for ports in bindings.values() for each in ports} == {"127.0.0.1"}


def test_a_port_that_the_owner_opened_is_everybodys_and_told_of() -> None:
    place = Place(ports={22: 40_007})
    body = create_body(Name("p1"), DESIGN, House(), place)
    bindings = body["HostConfig"]["PortBindings"]  # type: ignore[index]
    assert bindings["22/tcp"] == [{"HostIp": "", "HostPort": "40007"}]
    assert bindings["8888/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": ""}]
    assert "RUNPOD_TCP_PORT_22=40007" in body["Env"]  # type: ignore[operator]


def test_a_container_says_whose_it_is() -> None:
    labels = body_of()["Labels"]
    assert numbers_in(labels) == ("p1", 2, DESIGN.digest, 1)
    assert str(Name("p1", 2, 1)) == "puna-p1-2-1"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({}, None, id="not ours"),
        pytest.param({"cloud.puna.pod": "p"}, ("p", 0, "", 0), id="the rest is missing"),
        pytest.param(
            {"cloud.puna.pod": "p", "cloud.puna.run": "-7", "cloud.puna.crashes": "9" * 40},
            ("p", 0, "", 0),
            id="tampered with",
        ),
    ],
)
def test_labels_are_read_with_suspicion(
    labels: Mapping[str, str], expected: tuple[str, int, str, int] | None
) -> None:
    assert numbers_in(labels) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"image": "other"},
        {"args": "sleep 1"},
        {"env": {"A": "1"}},
        {"ports": (80,)},
        {"cards": 2},
        {"entrypoint": ("sh",)},
        {"processors": 5},
        {"memory": Size(1)},
        {"volume_path": "/data"},
        {"runtime": "runsc"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_changes_calls_for_another_container(changes: Mapping[str, Any]) -> None:
    assert replace(DESIGN, **changes).digest != DESIGN.digest


@pytest.mark.parametrize("path", ["/", "/etc", "/usr/", "/proc", "work", "/a/../etc"])
def test_a_volume_never_hides_what_the_container_needs(path: str) -> None:
    with pytest.raises(UnusablePod, match="cannot be mounted"):
        body_of(replace(DESIGN, volume_path=path))


def test_each_pod_has_users_of_its_own_and_keeps_them() -> None:
    assert first_user("p1") == first_user("p1") != first_user("p2")
    ranges = {first_user(f"pod{number}") for number in range(200)}
    assert len(ranges) > 190
    assert all(10**9 <= first < 2**32 - USERS for first in ranges)


def test_what_the_market_tells_a_pod_of_itself_begins_no_other_container() -> None:
    told = replace(DESIGN, env={**DESIGN.env, "RUNPOD_PUBLIC_IP": "203.0.113.9"})
    assert told.digest == DESIGN.digest
    assert "RUNPOD_PUBLIC_IP=203.0.113.9" in body_of(told)["Env"]


def test_the_disk_is_bounded_by_an_engine_that_can() -> None:
    assert "StorageOpt" not in host_config()
    assert host_config(house=House(limits_disk=True))["StorageOpt"] == {"size": str(20 * 10**9)}


def test_a_pod_without_a_volume_mounts_nothing() -> None:
    assert "Mounts" not in host_config(replace(DESIGN, volume_path=""))


def test_arguments_that_are_no_words_are_refused() -> None:
    with pytest.raises(UnusablePod, match="not words"):
        body_of(replace(DESIGN, args='sh -c "unclosed'))


def test_a_host_that_cannot_map_users_says_so_in_its_house() -> None:
    assert "UsernsMode" not in host_config(house=House(is_podman=False))


def test_each_engine_keeps_a_log_that_has_an_end() -> None:
    podmans = host_config()["LogConfig"]
    dockers = host_config(house=House(is_podman=False))["LogConfig"]
    assert (podmans["Type"], dockers["Type"]) == ("k8s-file", "json-file")
    assert podmans["Config"]["max-size"] == dockers["Config"]["max-size"] == "10m"
    assert dockers["Config"]["max-file"] == "1"


@pytest.mark.parametrize(
    ("asked", "runtimes", "fits"),
    [
        ("", ("runc",), True),
        ("runsc", ("runc", "runsc"), True),
        ("runsc", ("runsc",), True),
        ("runsc", ("runc",), False),
        ("", ("runsc",), False),
        ("crun", ("runc", "runsc"), False),
    ],
)
def test_a_pod_runs_in_what_its_owner_lends(
    asked: str, runtimes: tuple[str, ...], *, fits: bool
) -> None:
    design, house = replace(DESIGN, runtime=asked), House(runtimes=runtimes)
    if fits:
        assert host_config(design, replace(house, is_podman=False))["Runtime"] == (asked or "runc")
        assert "Runtime" not in host_config(design, house)  # Podman has one for all
        return
    with pytest.raises(UnusablePod, match="this host runs pods in"):
        body_of(design, house)

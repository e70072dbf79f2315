"""A container is the same container in Podman's words."""

import json
from pathlib import Path
from typing import Any

import pytest

from puna.agent.containers import (
    Design,
    House,
    Name,
    Place,
    UnusablePod,
    create_body,
    first_user,
)
from puna.agent.libpod import check_annotations, libpod_body
from puna.units import Size

DESIGN = Design(
    image="img:1",
    args="a b",
    entrypoint=("sh",),
    env={"A": "b=c"},
    ports=(8888,),
    cards=1,
    processors=3,
    memory=Size(10**9),
    volume_path="/workspace",
)
PLACE = Place(devices=("nvidia.com/gpu=1",))


def both(design: Design = DESIGN, place: Place = PLACE) -> tuple[Any, Any]:
    docker = dict(create_body(Name("p1"), design, House(host="h1", processes=99), place))
    return docker, json.loads(json.dumps(libpod_body("n", "p1", docker)))


def test_the_card_is_named() -> None:
    assert both()[1]["devices"] == [{"path": "nvidia.com/gpu=1"}]
    assert both(place=Place())[1]["devices"] == []


def test_what_the_renter_asked_for_is_the_same() -> None:
    _, podman = both()
    assert (podman["name"], podman["image"]) == ("n", "img:1")
    assert (podman["command"], podman["entrypoint"]) == (["a", "b"], ["sh"])
    assert podman["env"] == {"A": "b=c", "NVIDIA_VISIBLE_DEVICES": "void"}
    assert podman["volumes"][0]["Name"] == "puna-p1"
    assert podman["portmappings"][0]["container_port"] == 8888


def test_every_limit_is_the_same() -> None:
    docker, podman = both()
    host = docker["HostConfig"]
    assert (podman["cap_drop"], podman["cap_add"]) == (host["CapDrop"], host["CapAdd"])
    assert podman["no_new_privileges"]
    assert podman["resource_limits"]["pids"]["limit"] == 99
    assert podman["resource_limits"]["memory"] == {"limit": 10**9, "swap": 10**9}
    assert podman["resource_limits"]["cpu"]["quota"] == host["CpuQuota"]
    users = {"container_id": 0, "host_id": first_user("p1"), "size": 65_536}
    assert podman["idmappings"] == {"UIDMap": [users], "GIDMap": [users]}
    assert podman["networks"] == {"puna": {}}
    assert podman["portmappings"][0]["host_ip"] == "127.0.0.1"
    assert podman["portmappings"][0]["host_port"] == 0
    assert podman["labels"] == docker["Labels"]
    assert {each["type"] for each in podman["r_limits"]} == {"nofile", "nproc"}


def test_an_image_s_own_command_stays() -> None:
    _, podman = both(Design(image="img:1", cards=1, memory=Size(1)))
    assert not {"command", "entrypoint"} & set(podman)


def test_an_image_decides_nothing_about_this_machine() -> None:
    _, podman = both()
    assert podman["image_volume_mode"] == "ignore"
    assert podman["healthconfig"] == {"Test": ["NONE"]}
    assert podman["systemd"] == "false"
    assert podman["base_hosts_file"] == "none"
    assert podman["httpproxy"] is False


def test_what_the_host_bounds_is_bounded() -> None:
    house = House(limits_disk=True, calls=Path("/agent/calls.json"))
    docker = create_body(Name("p1"), DESIGN, house, Place(disk=Size(5)))
    podman = libpod_body("n", "p1", docker)
    assert podman["storage_opts"] == {"size": "5"}
    assert podman["seccomp_profile_path"] == "/agent/calls.json"
    assert podman["sysctl"] == {"net.ipv6.conf.default.disable_ipv6": "1"}


@pytest.mark.parametrize(
    "name",
    ["run.oci.hooks.stdout", "org.systemd.property.MemoryMax", "io.podman.annotations.cid-file"],
)
def test_an_image_that_speaks_to_the_runtime_is_refused(name: str) -> None:
    with pytest.raises(UnusablePod, match="meant for a runtime"):
        check_annotations(["org.opencontainers.image.title", name])


def test_what_images_say_of_themselves_is_fine() -> None:
    check_annotations(["org.opencontainers.image.created", "com.docker.official-images.arch"])

"""What a machine has to lend is read from its driver and its CDI files, and never guessed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from puna.agent.gaps import Means, can_limit_disk, gaps_of
from puna.agent.host import lent_runtimes
from puna.agent.inventory import (
    Found,
    NoGvisor,
    Wishes,
    cards_in,
    cuda_in,
    disk_speed,
    installed_runtimes,
    look_around,
    named_cards,
    stock_of,
)
from puna.agent.limits import excesses
from puna.agent.notebook import Offer
from puna.agent.shown import Nature
from puna.hardware.cards import Card
from puna.hardware.memory import Memory
from puna.units import Size

GB = 10**9
CARD = Card("NVIDIA GeForce RTX 4090", Memory(Size(24 * GB), Size(24 * GB)))
BROKEN = Card("x", None, fault="broken")
NAMED = ("nvidia.com/gpu=0", "nvidia.com/gpu=1")
FOUND = Found(
    cards=[CARD, CARD],
    named=NAMED,
    processors=16,
    memory=Size(100 * GB),
    free_disk=Size(1000 * GB),
    cuda="12.8",
)
YAML = """\
---
cdiVersion: 0.5.0
containerEdits:
  hooks:
  - args:
    - nvidia-ctk
    hookName: createContainer
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
      name: not-a-card
  name: "0"
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia1
  name: "1"
- name: GPU-6d2e
- name: all
kind: nvidia.com/gpu
"""
PODMAN = Nature(is_podman=True, version="5", folder=Path("/srv/pods"), has_seccomp=True)


def a_file(kind: str, *names: str) -> str:
    return json.dumps({"kind": kind, "devices": [{"name": name} for name in names]})


def test_all_but_the_owners_tenth_is_lent() -> None:
    stock = stock_of(FOUND, Wishes(country="pl"))
    machine = stock.machine
    assert (machine.card, machine.cards, machine.card_memory) == (CARD.name, 2, 24 * GB)
    assert (machine.processors, machine.memory, machine.disk) == (16, 90 * GB, 900 * GB)
    assert (machine.country, machine.cuda) == ("PL", "12.8")
    assert (list(stock.cards), list(stock.remarks)) == (list(NAMED), [])


def test_the_owner_may_lend_less_and_never_more() -> None:
    wishes = Wishes(most_cards=1, processors=99, memory=Size(8 * GB), disk=Size(10**15))
    machine = stock_of(FOUND, wishes).machine
    assert (machine.cards, machine.processors) == (1, 16)
    assert (machine.memory, machine.disk) == (8 * GB, 1000 * GB)


@pytest.mark.parametrize(
    ("found", "remark", "cards"),
    [
        pytest.param(Found(cards=[CARD]), "nvidia-ctk cdi generate", 0, id="no file"),
        pytest.param(Found(named=NAMED), "--card", 0, id="no driver"),
        pytest.param(
            Found(cards=[Card("x", None, fault="broken")], named=NAMED), "broken", 1, id="fault"
        ),
        pytest.param(
            Found(cards=[CARD, Card("NVIDIA T4", None)], named=NAMED), "one kind", 1, id="two kinds"
        ),
    ],
)
def test_what_cannot_be_lent_is_said(found: Found, remark: str, cards: int) -> None:
    stock = stock_of(found, Wishes())
    assert stock.machine.cards == cards == len(stock.cards)
    assert any(remark in each for each in stock.remarks)
    assert bool(stock.machine.card) == bool(cards)


def test_cards_that_no_driver_tells_of_are_called_what_the_owner_says() -> None:
    wishes = Wishes(card="Fake 9000", card_memory=Size(8 * GB))
    machine = stock_of(Found(named=NAMED), wishes).machine
    assert (machine.card, machine.cards, machine.card_memory) == ("Fake 9000", 2, 8 * GB)


def test_nvidias_own_file_is_read() -> None:
    assert cards_in(YAML) == list(NAMED)


@pytest.mark.parametrize(
    ("text", "cards"),
    [
        (a_file("puna.test/gpu", "0", "1"), ["puna.test/gpu=0", "puna.test/gpu=1"]),
        (a_file("a.b/c", "left", "all"), ["a.b/c=left"]),
        (a_file("nvidia.com/gpu", "0:1", "0:1", "all"), ["nvidia.com/gpu=0:1"]),
        ("{}", []),
        ("{", []),
        ("", []),
        ("kind: a.b/c\ndevices: []\n", []),
    ],
)
def test_other_files(text: str, cards: list[str]) -> None:
    assert list(cards_in(text)) == cards


def test_of_several_makers_the_usual_one_is_lent(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(a_file("other.com/gpu", "0", "1", "2"))
    (tmp_path / "b.yaml").write_text(YAML)
    (tmp_path / "c.yaml").write_bytes(b"\xff")
    assert list(named_cards([tmp_path, tmp_path / "none"])) == list(NAMED)
    (tmp_path / "b.yaml").unlink()
    assert len(named_cards([tmp_path])) == 3
    assert list(named_cards([tmp_path / "none"])) == []


def test_the_driver_tells_its_cuda() -> None:
    assert cuda_in("| Driver Version: 570.1   CUDA Version: 12.8  |") == "12.8"
    assert cuda_in("no") == ""


def test_gvisor_is_offered_where_docker_knows_it_and_its_program_is(tmp_path: Path) -> None:
    program = tmp_path / "runsc"
    known = {"runc": "runc", "runsc": str(program)}
    docker = Nature(is_podman=False, version="29", folder=tmp_path, runtimes=known)
    assert installed_runtimes(docker) == ("runc",)
    program.touch(mode=0o755)
    assert installed_runtimes(docker) == ("runc", "runsc")
    assert installed_runtimes(replace(docker, runtimes={})) == ("runc",)


def test_of_podman_the_runtime_of_all_its_containers_is_lent() -> None:
    """It takes the word for another, and starts its own without saying so."""
    knows = replace(PODMAN, runtimes={"runsc": "/bin/sh"})
    assert installed_runtimes(replace(knows, default_runtime="crun")) == ("runc",)
    assert installed_runtimes(replace(knows, default_runtime="runsc")) == ("runsc",)


def test_what_the_engine_has_no_more_is_not_lent() -> None:
    machine = stock_of(replace(FOUND, runtimes=("runc", "runsc")), Wishes()).machine
    offer = Offer(price=1, machine=machine)
    assert lent_runtimes(offer, ("runc", "runsc")) == ("runc", "runsc")
    assert lent_runtimes(offer, ("runc",)) == ("runc",)


def test_an_owner_may_lend_with_gvisor_alone() -> None:
    wishes = Wishes(only_gvisor=True)
    found = replace(FOUND, runtimes=("runc", "runsc"))
    assert stock_of(found, Wishes()).machine.runtimes == ["runc", "runsc"]
    assert stock_of(found, wishes).machine.runtimes == ["runsc"]
    with pytest.raises(NoGvisor, match="gVisor is not here"):
        stock_of(FOUND, wishes)


def test_a_docker_that_gives_no_cards_offers_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(a_file("nvidia.com/gpu", "0"))
    old = Nature(is_podman=False, version="20", folder=tmp_path)
    assert look_around(old, [tmp_path]).named == ()
    new = replace(old, card_folders=(tmp_path,))
    assert look_around(new).named == ["nvidia.com/gpu=0"]
    found = replace(look_around(old), cards=[CARD])
    assert any("25 or newer" in each for each in stock_of(found, Wishes()).remarks)


def test_a_docker_that_ends_pods_with_itself_is_remarked(tmp_path: Path) -> None:
    docker = Nature(is_podman=False, version="29", folder=tmp_path, outlives_itself=False)
    assert any("live-restore" in each for each in look_around(docker).remarks)
    assert look_around(replace(docker, outlives_itself=True)).remarks == ()


def test_the_disk_is_measured_by_writing(tmp_path: Path) -> None:
    clock = iter([0, 10**9])
    assert disk_speed(tmp_path, lambda: next(clock)) == 64
    assert list(tmp_path.iterdir()) == []
    assert disk_speed(tmp_path / "none", lambda: 0) == 0


def test_a_machine_that_enforces_everything_has_no_gaps() -> None:
    assert gaps_of(PODMAN, Means(limits_disk=True)) == []


@pytest.mark.parametrize(
    ("nature", "means", "words"),
    [
        (PODMAN, Means(limits_disk=True, why_no_walls="not root"), "reach this machine"),
        (PODMAN, Means(limits_disk=True, has_images=False), "volume can grow"),
        (PODMAN, Means(), "twice a minute"),
        (
            Nature(is_podman=False, version="20", folder=Path("/"), has_seccomp=True),
            Means(limits_disk=True),
            "userns-remap",
        ),
        (
            Nature(is_podman=True, version="4", folder=Path("/")),
            Means(limits_disk=True),
            "seccomp is off",
        ),
    ],
)
def test_each_gap_is_said(nature: Nature, means: Means, words: str) -> None:
    [gap] = gaps_of(nature, means)
    assert words in gap


@pytest.mark.parametrize(
    ("mounts", "can"),
    [
        ("/dev/a / ext4 rw 0 0\n", False),
        ("/dev/a / ext4 rw 0 0\n/dev/b /srv xfs rw,prjquota 0 0\n", True),
        ("/dev/b /srv xfs rw,noquota 0 0\n", False),
        ("/dev/b /srv2 xfs rw,pquota 0 0\n/dev/a / xfs rw 0 0", False),
        ("nonsense", False),
    ],
)
def test_quotas_are_those_of_the_disk_that_pods_are_on(mounts: str, can: bool) -> None:
    assert can_limit_disk(Path("/srv/pods"), mounts) is can


def test_who_wrote_too_much_is_told() -> None:
    disks = [("p1", "c1", Size(10)), ("p2", "c2", Size(10)), ("p3", "c3", Size(0))]
    [found] = excesses({"c1": 11, "c2": 10, "c3": 99}, disks)
    assert (found.pod, found.written, found.allowed) == ("p1", 11, 10)

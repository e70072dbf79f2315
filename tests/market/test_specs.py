"""What can be a pod and what cannot, one complaint at a time; and what a pod asks of a host."""

from dataclasses import replace
from datetime import timedelta

import pytest

from puna.market.domain.hosts import Cloud, Tenure
from puna.market.domain.specs import InvalidPod, PodSpec, check, version_of
from puna.units import Money, Size
from tests.market.lots import CARD, GB

SPEC = PodSpec(image="img", cards=1)
SPOT = replace(SPEC, tenure=Tenure.SPOT, bid=Money(100))


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        SPOT,
        replace(SPOT, returns=True),
        replace(SPEC, ports=("22/tcp", "8888/http", "65535/tcp")),
        replace(SPEC, env={f"V{number}": "x" for number in range(50)}),
        replace(SPEC, stop_after=timedelta(seconds=1), idle_stop=timedelta(days=365)),
        replace(SPEC, cuda_versions=("12.8", "13")),
        replace(SPEC, volume_gb=1, volume_path="/data/models"),
        replace(SPEC, entrypoint=("sh", "-c"), args="sleep 9"),
    ],
)
def test_what_can_be_a_pod_is_taken_as_it_is(spec: PodSpec) -> None:
    assert check(spec) is spec


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"image": "  "}, "needs an image"),
        ({"disk_gb": 0}, "cannot be had"),
        ({"volume_gb": -1}, "cannot be had"),
        ({"volume_path": "data"}, "cannot be mounted"),
        ({"volume_path": "/a/../etc"}, "cannot be mounted"),
        ({"env": {f"V{number}": "x" for number in range(51)}}, "more than 50"),
        ({"env": {"": "x"}}, "name of a variable"),
        ({"env": {"A=B": "x"}}, "name of a variable"),
        ({"env": {"A\0": "x"}}, "name of a variable"),
        ({"env": {"A": "x\0y"}}, "zero byte"),
        ({"ports": ("8888",)}, "not a port"),
        ({"ports": ("0/tcp",)}, "not a port"),
        ({"ports": ("65536/tcp",)}, "not a port"),
        ({"ports": ("²/tcp",)}, "not a port"),
        ({"ports": ("1/udp",)}, "not a port"),
        ({"ports": ("1/tcp", "1/tcp")}, "named twice"),
        ({"ports": tuple(f"{number}/http" for number in range(1, 12))}, "more than 10"),
        ({"cuda_versions": ("12.8", "newest")}, '"newest" is not a version'),
        ({"cards": -1}, "no machine"),
        ({"processors": 0}, "no machine"),
        ({"memory_gb": 0}, "no machine"),
        ({"tenure": Tenure.SPOT}, "needs a bid"),
        ({"tenure": Tenure.SPOT, "bid": Money(0)}, "needs a bid"),
        ({"bid": Money(1)}, "only a spot pod has a bid"),
        ({"returns": True}, "only a spot pod can be displaced"),
        ({"stop_after": timedelta(0)}, "no time after which to stop"),
        ({"terminate_after": timedelta(seconds=-1)}, "no time after which to terminate"),
        ({"idle_stop": timedelta(days=4000)}, "stop an idle pod"),
        ({"idle_stop": timedelta(seconds=59)}, "a minute or longer, not 0:00:59"),
    ],
)
def test_what_cannot_be_a_pod_says_why(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidPod, match=complaint):
        check(replace(SPEC, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "version"),
    [("12.8", (12, 8)), ("13", (13, 0)), ("", None), ("12.x", None), ("a.b", None), (".", None)],
)
def test_a_version_is_two_numbers(text: str, version: tuple[int, int] | None) -> None:
    assert version_of(text) == version


def test_every_filter_reaches_placement() -> None:
    spec = replace(
        SPOT,
        card_models=(CARD,),
        card_memory_gb=24,
        in_order=True,
        ceiling=Money(7),
        cloud=Cloud.SECURE,
        countries=("PL", "DE"),
        data_centers=("EU-PL-1",),
        cuda=(12, 4),
        cuda_versions=("12.4",),
        down_mbps=1,
        up_mbps=2,
        disk_mbps=3,
        needs_public_ip=True,
        runtime="gvisor",
    )
    demand = spec.demand(avoid=frozenset({"h"}))
    assert (demand.cards, demand.card_memory) == ((CARD,), Size(24 * GB))
    assert (demand.in_order, demand.bid, demand.ceiling) == (True, Money(100), Money(7))
    assert (demand.cloud, demand.countries) == (Cloud.SECURE, frozenset({"PL", "DE"}))
    assert (demand.data_centers, demand.runtime) == (frozenset({"EU-PL-1"}), "gvisor")
    assert (demand.cuda, demand.cuda_versions) == ((12, 4), frozenset({"12.4"}))
    assert (demand.down_mbps, demand.up_mbps, demand.disk_mbps) == (1, 2, 3)
    assert (demand.needs_public_ip, demand.avoid) == (True, frozenset({"h"}))


def test_what_is_stopped_keeps_its_volume_alone() -> None:
    spec = replace(SPEC, disk_gb=20, volume_gb=30, processors=4)
    assert spec.takes.disk == 50 * GB
    assert (spec.keeps.disk, spec.keeps.cards, spec.keeps.processors) == (30 * GB, 0, 0)

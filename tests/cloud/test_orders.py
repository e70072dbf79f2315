"""What a renter orders, and the request that it becomes on each cloud."""

from dataclasses import replace
from typing import Any

import pytest

from puna.cloud.orders import (
    Extras,
    InvalidOrder,
    NoSuchCard,
    NotThere,
    Order,
    body_of,
    choose_cards,
    hour_on_runpod,
)
from puna.cloud.values import Card
from puna.errors import Invalid
from puna.units import Money

RTX = Card(
    id="NVIDIA GeForce RTX 4090",
    name="RTX 4090",
    memory=24,
    secure=Money(690_000),
    community=Money(340_000),
    availability="HIGH",
)
H100 = Card(
    id="NVIDIA H100 80GB HBM3",
    name="H100 SXM",
    memory=80,
    secure=Money(2_690_000),
    community=None,
    availability="LOW",
)
PCIE = replace(H100, id="NVIDIA H100 PCIe", name="H100 PCIe")
KNOWN = (RTX, H100, PCIE)
ORDER = Order(name="a", image="img:1", cards=(RTX.id,))


def puna_part(**extras: Any) -> Any:  # noqa: ANN401 - as many types as extras
    return body_of(replace(ORDER, extras=Extras(**extras)), is_puna=True)["puna"]


def test_a_plain_order_has_nothing_that_runpod_does_not_know() -> None:
    plain = body_of(ORDER, is_puna=True)
    assert plain == body_of(ORDER, is_puna=False)
    assert plain == {"name": "a", "image": "img:1", "gpu": {"id": RTX.id, "count": 1}}


def test_every_field_has_runpods_name() -> None:
    order = replace(
        ORDER,
        template="t",
        count=2,
        cloud="SECURE",
        data_centers=("EU-PL-1",),
        cuda="12.4",
        disk_gb=30,
        volume_gb=50,
        volume_path="/w",
        args="serve",
        env={"A": "b"},
        ports=("8888/http",),
        registry="r",
        starts_ssh=True,
        starts_jupyter=True,
    )
    assert body_of(order, is_puna=False) == {
        "name": "a",
        "image": "img:1",
        "templateId": "t",
        "gpu": {"id": RTX.id, "count": 2, "minCudaVersion": "12.4"},
        "cloud": "SECURE",
        "dataCenterIds": ["EU-PL-1"],
        "disk": 30,
        "mounts": {"persistent": {"size": 50, "path": "/w"}},
        "args": "serve",
        "env": {"A": "b"},
        "ports": ["8888/http"],
        "registry": "r",
        "startSsh": True,
        "startJupyter": True,
    }


@pytest.mark.parametrize(
    ("extras", "wire"),
    [
        ({"tenure": "spot", "bid": "0.2"}, {"tenure": "spot", "bid": 0.2}),
        ({"returns": True}, {"returns": True}),
        ({"project": "web"}, {"project": "web"}),
        ({"stop_after": "2h"}, {"stopAfter": "2h"}),
        ({"terminate_after": "1d"}, {"terminateAfter": "1d"}),
        ({"idle_stop": "30m"}, {"idleStop": "30m"}),
        ({"budget": "5"}, {"budget": 5.0}),
        ({"min_memory_gb": 8}, {"minMemoryGb": 8}),
        ({"min_vcpu": 2}, {"minVcpu": 2}),
        ({"min_download_mbps": 100}, {"minDownloadMbps": 100}),
        ({"min_upload_mbps": 100}, {"minUploadMbps": 100}),
        ({"min_disk_mbps": 500}, {"minDiskMbps": 500}),
        ({"countries": ("PL", "DE")}, {"countries": ["PL", "DE"]}),
        ({"public_ip": True}, {"publicIp": True}),
        ({"runtime": "runsc"}, {"runtime": "runsc"}),
        ({"ceiling": "0.5"}, {"ceiling": 0.5}),
        ({"access": {"8888": "open"}}, {"access": {"8888": "open"}}),
    ],
    ids=str,
)
def test_what_only_puna_has_travels_in_one_object_and_is_refused_elsewhere(
    extras: dict[str, Any], wire: dict[str, Any]
) -> None:
    assert puna_part(**extras) == wire
    with pytest.raises(NotThere, match=f"RunPod has no .*{min(wire)}"):
        body_of(replace(ORDER, extras=Extras(**extras)), is_puna=False)


def test_cards_that_do_as_well_are_named_to_puna_only() -> None:
    order = replace(ORDER, cards=(RTX.id, H100.id))
    assert body_of(order, is_puna=True)["puna"] == {"gpuTypeIds": [RTX.id, H100.id]}
    assert "puna" not in body_of(order, is_puna=False)


def test_a_pod_without_a_card_has_processors() -> None:
    order = replace(ORDER, cards=(), processors=4)
    assert body_of(order, is_puna=False)["cpu"] == {"id": "cpu3g", "vcpuCount": 4}


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (replace(ORDER, image=""), "needs an image or a template"),
        (replace(ORDER, cards=()), "say which card"),
        (replace(ORDER, extras=Extras(budget="much")), "not an amount of dollars"),
    ],
)
def test_an_order_that_cannot_be_is_refused_before_it_is_sent(order: Order, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        body_of(order, is_puna=True)
    assert issubclass(InvalidOrder, Invalid)


@pytest.mark.parametrize(
    ("words", "memory", "found"),
    [
        (["RTX 4090"], 0, (RTX.id,)),
        (["rtx4090"], 0, (RTX.id,)),
        (["NVIDIA GeForce RTX 4090"], 0, (RTX.id,)),
        (["4090"], 0, (RTX.id,)),
        (["h100"], 0, (H100.id, PCIE.id)),
        (["h100 pcie"], 0, (PCIE.id,)),
        (["4090", "h100 sxm"], 0, (RTX.id, H100.id)),
        (["4090", "4090"], 0, (RTX.id,)),
        ([], 0, ()),
        ([], 48, (H100.id, PCIE.id)),
        (["4090"], 48, ()),
    ],
)
def test_cards_are_found_by_what_people_call_them(
    words: list[str], memory: int, found: tuple[str, ...]
) -> None:
    assert choose_cards(words, memory, KNOWN) == found


@pytest.mark.parametrize(
    ("words", "memory", "says"),
    [(["5090"], 0, 'no card here is a "5090"'), ([], 500, "no card here has 500 GB")],
)
def test_a_card_that_is_not_there_is_named_with_those_that_are(
    words: list[str], memory: int, says: str
) -> None:
    with pytest.raises(NoSuchCard, match=says) as caught:
        choose_cards(words, memory, KNOWN)
    assert caught.value.hint == "there are: H100 PCIe, H100 SXM, RTX 4090"


@pytest.mark.parametrize(
    ("change", "hour"),
    [
        ({}, 690_000 + 2740),
        ({"count": 2}, 1_380_000 + 2740),
        ({"cloud": "COMMUNITY"}, 340_000 + 2740),
        ({"disk_gb": 73, "volume_gb": 73}, 690_000 + 20_000),
        ({"cards": ("unknown",)}, None),
        ({"cards": ()}, None),
    ],
    ids=str,
)
def test_an_hour_on_runpod_is_its_catalogs_price_and_its_disks(
    change: dict[str, Any], hour: int | None
) -> None:
    assert hour_on_runpod(replace(ORDER, **change), KNOWN) == hour

"""Rows of the database as objects of the schema, and back. Pure."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from puna.market.db.catalog import Shelf
from puna.market.db.hosts import Lent
from puna.market.db.templates import Template
from puna.market.domain.hosts import Cloud
from puna.market.domain.templates import Preset, TemplateWish
from puna.market.http.graph.catalog import card_shape
from puna.market.http.graph.hosting import machine_shape
from puna.market.http.graph.pods import change_of
from puna.market.http.graph.presets import template_shape, template_wish
from puna.units import Money, Size
from tests.market.lots import CARD, GB, NOON, a_host, a_machine, a_tenant, some_terms

PRESET = Preset(
    image="img:1",
    args="serve",
    env={"A": "b"},
    ports=("80/http", "22/tcp"),
    port_names={"80": "Page"},
    disk_gb=15,
    volume_gb=30,
    volume_path="/data",
    readme="Hi",
    starts_ssh=True,
)
WISH = TemplateWish(name="t", preset=PRESET, is_public=True, registry="c1")
SHELF = Shelf(
    card=CARD,
    cloud=Cloud.COMMUNITY,
    data_center="EU-PL-1",
    country="PL",
    cuda=(12, 8),
    memory=Size(24 * GB),
    price=Money.parse("0.40"),
    least_bid=Money.parse("0.10"),
    most=2,
    hosts=1,
    free=2,
    fits=1,
)


def a_template(account: str = "user_1") -> Template:
    return Template(
        id="t1",
        account=account,
        name=WISH.name,
        preset=WISH.preset,
        is_public=WISH.is_public,
        registry=WISH.registry,
        created=datetime(2026, 11, 24, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("imageName", "img:1"),
        ("dockerArgs", "serve"),
        ("ports", "80/http,22/tcp"),
        ("portsConfig", [{"port": "80", "name": "Page"}]),
        ("env", [{"key": "A", "value": "b"}]),
        ("containerDiskInGb", 15),
        ("volumeInGb", 30),
        ("volumeMountPath", "/data"),
        ("containerRegistryAuthId", "c1"),
        ("isPublic", True),
        ("isRunpod", False),
        ("isServerless", False),
        ("startSsh", True),
        ("startJupyter", False),
        ("category", "NVIDIA"),
        ("readme", "Hi"),
    ],
)
def test_a_template_is_shown_as_it_is(field: str, value: object) -> None:
    assert template_shape(a_template())[field] == value


def test_a_template_without_an_owner_is_an_official_one() -> None:
    assert template_shape(a_template(account=""))["isRunpod"] is True


def test_a_template_that_is_shown_and_sent_back_is_the_same() -> None:
    shown = template_shape(a_template())
    assert template_wish(shown, WISH) == WISH
    assert template_wish(shown, None) == WISH


def test_of_a_template_what_was_left_out_stays() -> None:
    assert template_wish({"name": "other"}, WISH) == replace(WISH, name="other")
    assert template_wish({}, WISH) == WISH


@pytest.mark.parametrize(
    ("sent", "field", "value"),
    [
        ({"env": []}, "env", {}),
        ({"ports": ""}, "ports", ()),
        ({"portsConfig": []}, "port_names", {}),
        ({"dockerArgs": ""}, "args", ""),
        ({"readme": None}, "readme", ""),
        ({"volumeInGb": 0}, "volume_gb", 0),
        ({"startSsh": False}, "starts_ssh", False),
        ({"containerDiskInGb": 0}, "disk_gb", 15),
        ({"category": "CPU"}, "category", "CPU"),
        ({"isServerless": True}, "is_serverless", True),
    ],
)
def test_of_a_template_what_was_sent_is_changed(
    sent: dict[str, Any], field: str, value: object
) -> None:
    assert getattr(template_wish(sent, WISH).preset, field) == value


def test_an_empty_credential_is_none() -> None:
    assert template_wish({"containerRegistryAuthId": ""}, WISH).registry is None


@pytest.mark.parametrize(
    ("sent", "field", "value"),
    [
        ({}, "env", None),
        ({"env": []}, "env", {}),
        ({"env": [{"key": "A", "value": "b"}]}, "env", {"A": "b"}),
        ({"ports": ""}, "ports", ()),
        ({"port": 80}, "ports", ("80/http",)),
        ({"ports": None}, "ports", None),
        ({"dockerArgs": ""}, "args", ""),
        ({"imageName": ""}, "image", None),
        ({"imageName": "i"}, "image", "i"),
        ({"containerDiskInGb": 0}, "disk_gb", None),
        ({"volumeInGb": 40}, "volume_gb", 40),
        ({"containerRegistryAuthId": ""}, "registry", ""),
        ({"locked": False}, "is_locked", False),
        ({"name": "n"}, "name", "n"),
    ],
)
def test_of_a_pod_what_was_sent_is_changed(sent: dict[str, Any], field: str, value: object) -> None:
    assert getattr(change_of(sent), field) == value


def test_a_card_has_the_lowest_price_of_each_cloud() -> None:
    dear = replace(SHELF, price=Money.parse("0.90"), least_bid=None, most=8)
    secure = replace(SHELF, cloud=Cloud.SECURE, price=Money.parse("1.20"), least_bid=None)
    card = card_shape(CARD, [dear, SHELF, secure])
    assert (card["securePrice"], card["communityPrice"]) == (1.2, 0.4)
    assert (card["secureSpotPrice"], card["communitySpotPrice"]) == (None, 0.1)
    assert (card["maxGpuCount"], card["maxGpuCountSecureCloud"]) == (8, 2)


def test_a_card_that_is_not_offered_now_is_shown_without_a_price() -> None:
    card = card_shape(CARD, [replace(SHELF, price=None, least_bid=None)])
    assert (card["communityCloud"], card["communityPrice"]) == (True, None)


@pytest.mark.parametrize(
    ("card", "maker"),
    [(CARD, "Nvidia"), ("AMD Instinct MI300X OAM", "AMD"), ("Something", "Unknown")],
)
def test_a_card_has_a_maker(card: str, maker: str) -> None:
    assert card_shape(card, [SHELF])["manufacturer"] == maker


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({}, "listed", True),
        ({"is_draining": True}, "listed", False),
        ({"is_draining": True}, "maintenanceMode", True),
        ({"terms": some_terms(is_paused=True)}, "listed", False),
        ({"terms": some_terms("0.70")}, "hostPricePerGpu", 0.7),
        ({"terms": some_terms(bid=None)}, "hostMinBidPerGpu", None),
        ({"cloud": Cloud.SECURE}, "verified", True),
        ({"tenants": (a_tenant("p"),)}, "gpuReserved", 1),
        ({"tenants": (a_tenant("p"),)}, "memoryReserved", 16),
        ({"tenants": (a_tenant("p"),)}, "vcpuReserved", 4),
        ({"tenants": (a_tenant("p"),)}, "pods", ["p"]),
        ({"machine": a_machine(cuda=(0, 0))}, "cudaVersion", ""),
        ({"machine": a_machine(data_center="", country="CZ")}, "dataCenterId", "EU-CZ-1"),
    ],
)
def test_an_owner_sees_a_machine_as_the_market_does(
    changes: dict[str, Any], field: str, value: object
) -> None:
    lent = Lent(host=a_host(**changes), name="box", joined=NOON)
    assert machine_shape(lent, is_seen=True)[field] == value


def test_a_machine_that_was_not_seen_lately_is_not_listed() -> None:
    lent = Lent(host=a_host(), name="box", joined=NOON)
    assert machine_shape(lent, is_seen=False)["listed"] is False

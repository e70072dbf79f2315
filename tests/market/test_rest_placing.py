"""Every filter that a body of version 2 can carry decides where the pod may go."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from puna.errors import PunaError
from puna.market.domain.hosts import Cloud, Host
from puna.market.domain.placement import Placement, Why, place
from puna.market.domain.specs import check
from puna.market.http.rest_v2.words import wish_of
from puna.units import Money, Size
from puna.wire.runpod_rest import CreatePod
from tests.market.lots import CARD, GB, NOON, a_host

BODY = {"name": "n", "image": "img:1", "gpu": {"id": CARD}, "cloud": "COMMUNITY"}


def placed(host: Host, body: dict[str, Any]) -> Placement:
    """Look for a place for a body on one host."""
    said = {name: each for name, each in {**BODY, **body}.items() if each is not None}
    wish = wish_of(CreatePod.model_validate(said), None)
    return place(check(wish.spec).demand(), [host], NOON)


def better(**changes: object) -> Host:
    """Return a host with another machine, price or cloud."""
    host = replace(a_host(), cloud=Cloud.COMMUNITY)
    machine = {name: each for name, each in changes.items() if hasattr(host.machine, name)}
    terms = {name: each for name, each in changes.items() if hasattr(host.terms, name)}
    rest = {name: each for name, each in changes.items() if name not in {**machine, **terms}}
    return replace(
        host,
        machine=replace(host.machine, **machine),  # type: ignore[arg-type]
        terms=replace(host.terms, **terms),  # type: ignore[arg-type]
        **rest,  # type: ignore[arg-type]
    )


FILTERS = [
    ({"gpu": {"id": "Other"}}, Why.CARD, {"card": "Other"}),
    ({"gpu": {"id": CARD, "count": 3}}, Why.TOO_SMALL, {"cards": 3}),
    ({"gpu": {"id": CARD, "minCudaVersion": "13.0"}}, Why.CUDA, {"cuda": (13, 0)}),
    ({"gpu": {"id": CARD, "allowedCudaVersions": ["11.8"]}}, Why.CUDA, {"cuda": (11, 8)}),
    ({"cloud": "SECURE"}, Why.CLOUD, {"cloud": Cloud.SECURE}),
    ({"dataCenterIds": ["EU-RO-1"]}, Why.DATA_CENTER, {"data_center": "EU-RO-1"}),
    ({"disk": 5000}, Why.TOO_SMALL, {"disk": Size(5000 * GB)}),
    (
        {"mounts": {"persistent": {"size": 5000, "path": "/w"}}},
        Why.TOO_SMALL,
        {"disk": Size(6000 * GB)},
    ),
    (
        {"gpu": None, "cpu": {"id": "cpu3c", "vcpuCount": 128}},
        Why.TOO_SMALL,
        {"processors": 128, "memory": Size(512 * GB)},
    ),
    (
        {"gpu": None, "cpu": {"id": "cpu3m", "vcpuCount": 16}},
        Why.TOO_SMALL,
        {"processors": 128, "memory": Size(512 * GB)},
    ),
    ({"puna": {"countries": ["JP"]}}, Why.COUNTRY, {"country": "JP"}),
    ({"puna": {"minMemoryGb": 500}}, Why.TOO_SMALL, {"memory": Size(512 * GB)}),
    ({"puna": {"minVcpu": 100}}, Why.TOO_SMALL, {"processors": 128}),
    ({"puna": {"minDownloadMbps": 9000}}, Why.BANDWIDTH, {"down_mbps": 9000}),
    ({"puna": {"minUploadMbps": 9000}}, Why.BANDWIDTH, {"up_mbps": 9000}),
    ({"puna": {"minDiskMbps": 90_000}}, Why.DISK_SPEED, {"disk_mbps": 90_000}),
    ({"puna": {"publicIp": True}}, Why.PUBLIC_IP, {"has_public_ip": True}),
    ({"puna": {"runtime": "runsc"}}, Why.RUNTIME, {"runtimes": ("runc", "runsc")}),
    ({"puna": {"ceiling": "0.000001"}}, Why.TOO_DEAR, {"price": Money(1)}),
    (
        {"puna": {"tenure": "spot", "bid": "0.000001"}},
        Why.BID_TOO_LOW,
        {"least_bid": Money(1)},
    ),
]


@pytest.mark.parametrize(("body", "why", "changes"), FILTERS)
def test_each_filter_refuses_a_host_and_takes_a_better_one(
    body: dict[str, Any], why: Why, changes: dict[str, Any]
) -> None:
    refused = placed(better(), body)
    assert refused.seat is None
    assert refused.refusals[0].why is why
    assert placed(better(**changes), body).seat is not None


def test_without_a_filter_the_host_does() -> None:
    assert placed(better(), {}).seat is not None


def test_cards_that_do_as_well_are_taken_in_their_order() -> None:
    body = {**BODY, "gpu": {"id": "First"}, "puna": {"gpuTypeIds": ["Second", "Third"]}}
    demand = wish_of(CreatePod.model_validate(body), None).spec.demand()
    third = replace(better(card="Third", price=Money(1)), id="a")
    second = replace(better(card="Second", price=Money(9)), id="b")
    seat = place(demand, [third, second], NOON).seat
    assert seat is not None
    assert seat.host == "b"


WORDS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=12),
    st.lists(st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)
GPU = st.fixed_dictionaries(
    {"id": st.just(CARD)}, optional={"count": WORDS, "minCudaVersion": WORDS}
)
CPU = st.fixed_dictionaries({"id": st.just("cpu3c"), "vcpuCount": st.integers(0, 99)})
PUNA = st.fixed_dictionaries(
    {},
    optional={
        "tenure": st.sampled_from(["spot", "on_demand"]),
        "bid": WORDS,
        "stopAfter": st.text("0123456789dhms.-", max_size=8),
        "idleStop": WORDS,
        "budget": WORDS,
        "access": st.dictionaries(st.text(max_size=4), st.just("open"), max_size=1),
        "countries": WORDS,
        "minDiskMbps": WORDS,
    },
)
BODIES = st.fixed_dictionaries(
    {"name": st.one_of(st.just("n"), WORDS)},
    optional={
        "image": st.one_of(st.just("img"), WORDS),
        "gpu": GPU,
        "cpu": CPU,
        "disk": WORDS,
        "env": WORDS,
        "ports": st.one_of(st.just(["80/http"]), st.just(["0/tcp"]), WORDS),
        "mounts": WORDS,
        "puna": PUNA,
        "x": WORDS,
    },
)


def outcome(body: dict[str, Any]) -> int:
    """Return the status that a body gets from what is checked without a database."""
    try:
        check(wish_of(CreatePod.model_validate(body), None).spec)
    except ValidationError:
        return 422
    except PunaError as refused:
        return refused.status
    return 201


@settings(max_examples=150, deadline=None)
@given(BODIES)
def test_any_body_becomes_a_pod_or_is_refused_with_a_reason(body: dict[str, Any]) -> None:
    assert outcome(body) in {201, 400, 404, 422}

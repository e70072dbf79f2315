"""What a column of JSON carries comes back as it went in."""

import json
from dataclasses import replace
from datetime import time, timedelta

import pytest
from hypothesis import given, strategies as st

from puna.market.db.values import from_json, to_json
from puna.market.domain.hosts import Cloud, Machine, Tenure, Terms
from puna.market.domain.specs import PodSpec, check
from puna.units import Money
from tests.market.lots import a_machine, some_terms

SPEC = PodSpec(image="img", cards=1)

specs = st.builds(
    PodSpec,
    image=st.text(min_size=1),
    args=st.text(),
    env=st.dictionaries(st.text(), st.text(), max_size=3),
    ports=st.sampled_from([(), ("8888/http", "22/tcp")]),
    disk_gb=st.integers(1, 4000),
    cards=st.integers(0, 8),
    card_models=st.lists(st.text(), max_size=2).map(tuple),
    cloud=st.sampled_from([None, *Cloud]),
    cuda=st.tuples(st.integers(0, 20), st.integers(0, 9)),
    tenure=st.sampled_from(Tenure),
    bid=st.none() | st.integers(1, 10**7).map(Money),
    returns=st.booleans(),
    stop_after=st.none() | st.integers(1, 10**6).map(lambda each: timedelta(seconds=each)),
)


@given(specs)
def test_a_spec_comes_back(spec: PodSpec) -> None:
    assert from_json(PodSpec, json.loads(json.dumps(to_json(spec)))) == spec


@given(st.integers(0, 10**7), st.none() | st.integers(0, 10**7), st.booleans())
def test_terms_come_back(price: int, bid: int | None, is_paused: object) -> None:
    terms = Terms(
        price=Money(price),
        least_bid=None if bid is None else Money(bid),
        opens=time(22, 30),
        closes=time(6),
        is_paused=bool(is_paused),
    )
    assert from_json(Terms, json.loads(json.dumps(to_json(terms)))) == terms


def test_a_machine_comes_back() -> None:
    machine = a_machine(runtimes=("runc", "gvisor"), has_public_ip=True)
    back = from_json(Machine, json.loads(json.dumps(to_json(machine))))
    assert back == machine
    assert str(back.memory) == "64 GB"


def test_fields_of_a_newer_version_are_left_out_and_missing_ones_have_their_default() -> None:
    kept = to_json(SPEC) | {"from_the_future": 1}
    del kept["runtime"]
    assert from_json(PodSpec, kept) == SPEC


@pytest.mark.parametrize(
    ("changes", "takes"),
    [
        ({"disk_gb": 20, "volume_gb": 30}, 50 * 10**9),
        ({"disk_gb": 20}, 20 * 10**9),
    ],
)
def test_disk_and_volume_take_room_together(changes: dict[str, int], takes: int) -> None:
    spec = check(replace(SPEC, **changes))  # type: ignore[arg-type]
    assert spec.takes.disk == takes
    assert spec.keeps.disk == takes - 20 * 10**9
    assert spec.keeps.cards == 0


def test_a_demand_says_all_that_a_host_must_have() -> None:
    spec = replace(
        SPEC,
        card_models=("a", "b"),
        in_order=True,
        countries=("PL", "DE"),
        data_centers=("EU-PL-1",),
        cuda=(12, 4),
        down_mbps=100,
        needs_public_ip=True,
        ceiling=Money(5),
    )
    demand = spec.demand(avoid=frozenset({"h9"}))
    assert (demand.cards, demand.in_order, demand.cuda) == (("a", "b"), True, (12, 4))
    assert demand.countries == {"PL", "DE"}
    assert demand.data_centers == {"EU-PL-1"}
    assert (demand.down_mbps, demand.needs_public_ip, demand.ceiling) == (100, True, 5)
    assert demand.avoid == {"h9"}


def test_a_price_is_money_again() -> None:
    assert str(from_json(Terms, to_json(some_terms("0.45"))).price) == "$0.45"

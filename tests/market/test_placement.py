"""Each refused offer has its reason; the best of the others wins; only spot gives way."""

import itertools
from dataclasses import replace
from datetime import time, timedelta

import pytest
from hypothesis import given, settings, strategies as st

from puna.market.domain.hosts import Cloud, Host, Tenant, Tenure
from puna.market.domain.placement import Demand, Why, place, reason_against
from puna.units import Money, Size
from tests.market.lots import (
    CARD,
    GB,
    NOON,
    a_bid,
    a_demand,
    a_host,
    a_machine,
    a_tenant,
    some_room,
    some_terms,
)


@pytest.mark.parametrize(
    ("demand", "host", "why"),
    [
        (a_demand(cards=("NVIDIA L4",)), a_host(), Why.CARD),
        (a_demand(card_memory=Size(48 * GB)), a_host(), Why.CARD),
        (a_demand(), a_host(machine=a_machine(card="", cards=0)), Why.CARD),
        (a_demand(cloud=Cloud.SECURE), a_host(), Why.CLOUD),
        (a_demand(countries=frozenset({"DE"})), a_host(), Why.COUNTRY),
        (a_demand(data_centers=frozenset({"EU-RO-1"})), a_host(), Why.DATA_CENTER),
        (a_demand(cuda=(13, 0)), a_host(), Why.CUDA),
        (a_demand(cuda_versions=frozenset({"12.4", "13.0"})), a_host(), Why.CUDA),
        (a_demand(needs_public_ip=True), a_host(), Why.PUBLIC_IP),
        (a_demand(runtime="gvisor"), a_host(), Why.RUNTIME),
        (a_demand(up_mbps=101), a_host(), Why.BANDWIDTH),
        (a_demand(down_mbps=501), a_host(), Why.BANDWIDTH),
        (a_demand(disk_mbps=1001), a_host(), Why.DISK_SPEED),
        (a_demand(3), a_host(), Why.TOO_SMALL),
        (a_demand(avoid=frozenset({"h1"})), a_host(), Why.TRIED),
        (a_demand(), a_host(is_draining=True), Why.DRAINING),
        (a_demand(), a_host(seen=NOON - timedelta(seconds=46)), Why.STALE),
        (a_demand(), a_host(terms=some_terms(is_paused=True)), Why.CLOSED),
        (a_demand(), a_host(terms=some_terms(opens=time(18), closes=time(6))), Why.CLOSED),
        (a_bid("0.20"), a_host(terms=some_terms(bid=None)), Why.NO_SPOT),
        (a_bid("0.09"), a_host(), Why.BID_TOO_LOW),
        (a_demand(ceiling=Money.parse("0.39")), a_host(), Why.TOO_DEAR),
        (a_demand(2), a_host(tenants=(a_tenant("p1"),)), Why.TAKEN),
    ],
    ids=lambda value: value.name if isinstance(value, Why) else "",
)
def test_a_refused_offer_says_why(demand: Demand, host: Host, why: Why) -> None:
    placement = place(demand, [host], NOON)
    assert placement.seat is None
    assert [(each.host, each.why) for each in placement.refusals] == [("h1", why)]


@pytest.mark.parametrize(
    ("opens", "closes", "is_open"),
    [
        (time(8), time(20), True),
        (time(12), time(13), True),
        (time(13), time(12), False),
        (time(20), time(12), False),
        (time(20), time(12, 1), True),
        (time(5), time(5), True),
    ],
)
def test_the_owners_hours_may_span_midnight(opens: time, closes: time, *, is_open: bool) -> None:
    assert some_terms(opens=opens, closes=closes).is_open(NOON) is is_open


@pytest.mark.parametrize(
    ("hosts", "winner"),
    [
        pytest.param(
            [a_host("dear", terms=some_terms("0.50")), a_host("cheap")], "cheap", id="the cheapest"
        ),
        pytest.param(
            [a_host("a"), a_host("b", machine=a_machine(cards=1))], "b", id="the tightest"
        ),
        pytest.param([a_host("b"), a_host("a")], "a", id="the first by name"),
        pytest.param(
            [
                a_host("cheap", tenants=(a_tenant("p", bid="0.10", cards=2),)),
                a_host("dear", terms=some_terms("0.50")),
            ],
            "dear",
            id="rather free than displacing",
        ),
    ],
)
def test_the_best_offer_wins(hosts: list[Host], winner: str) -> None:
    seat = place(a_demand(), hosts, NOON).seat
    assert seat is not None
    assert seat.host == winner


def test_cards_are_taken_in_the_order_of_preference() -> None:
    hosts = [
        a_host("a"),
        a_host("b", machine=a_machine(card="NVIDIA L4"), terms=some_terms("0.90")),
    ]
    demand = a_demand(cards=("NVIDIA L4", "NVIDIA GeForce RTX 4090"), in_order=True)
    seat = place(demand, hosts, NOON).seat
    assert seat is not None
    assert seat.host == "b"


FULL = a_host(tenants=(a_tenant("low", bid="0.10"), a_tenant("high", bid="0.30")))


@pytest.mark.parametrize(
    ("demand", "displaces"),
    [
        pytest.param(a_demand(1), ("low",), id="on-demand takes the lowest bid"),
        pytest.param(a_demand(2), ("low", "high"), id="and as many as it needs"),
        pytest.param(a_bid("0.20"), ("low",), id="a bid takes a lower bid"),
        pytest.param(a_bid("0.10"), None, id="and none that bids as much"),
        pytest.param(a_bid("0.25", 2), None, id="nor more than bid less"),
    ],
)
def test_only_spot_gives_way(demand: Demand, displaces: tuple[str, ...] | None) -> None:
    seat = place(demand, [FULL], NOON).seat
    assert (seat.displaces if seat else None) == displaces


def test_on_demand_is_never_displaced() -> None:
    host = a_host(tenants=(a_tenant("a"), a_tenant("b")))
    assert place(a_demand(), [host], NOON).seat is None


def test_a_spot_pod_that_helps_nothing_stays() -> None:
    tenants = (a_tenant("small", bid="0.10"), a_tenant("big", bid="0.20", cards=2))
    host = a_host(machine=a_machine(cards=3), tenants=tenants)
    seat = place(a_demand(2), [host], NOON).seat
    assert seat is not None
    assert seat.displaces == ("big",)


def test_a_spot_pod_pays_its_bid() -> None:
    seat = place(a_bid("0.20"), [a_host()], NOON).seat
    assert seat is not None
    assert seat.price == Money.parse("0.20")


def test_without_a_card_any_machine_does() -> None:
    host = a_host(machine=a_machine(card="", cards=0))
    assert reason_against(a_demand(0), host, NOON) is None


tenants = st.builds(
    a_tenant,
    st.uuids().map(str),
    bid=st.sampled_from([None, "0.10", "0.20", "0.30"]),
    cards=st.integers(1, 3),
)


@settings(max_examples=60)
@given(
    crowds=st.lists(st.lists(tenants, max_size=4), max_size=4),
    cards=st.integers(1, 4),
    bid=st.sampled_from([None, "0.15", "0.35"]),
)
def test_a_seat_always_has_the_room_and_only_lower_bids_pay_for_it(
    crowds: list[list[Tenant]], cards: int, bid: str | None
) -> None:
    hosts = [
        a_host(
            f"h{number}",
            machine=a_machine(cards=12, processors=99, memory=Size(900 * GB)),
            tenants=tuple(crowd),
        )
        for number, crowd in enumerate(crowds)
    ]
    demand = a_demand(cards) if bid is None else a_bid(bid, cards)
    seat = place(demand, hosts, NOON).seat
    chosen = next((host for host in hosts if seat and host.id == seat.host), None)
    assert (chosen is None) == (seat is None)
    if chosen and seat:
        assert chosen.free_without(seat.displaces).cards >= cards
        gone = [each for each in chosen.tenants if each.pod in seat.displaces]
        assert all(each.tenure is Tenure.SPOT for each in gone)
        assert bid is None or all(each.bid < Money.parse(bid) for each in gone)


machines = st.builds(
    a_machine,
    card=st.sampled_from(["NVIDIA L4", CARD, ""]),
    cards=st.integers(0, 3),
    country=st.sampled_from(["PL", "DE"]),
    cuda=st.sampled_from([(0, 0), (12, 8)]),
    down_mbps=st.sampled_from([0, 500]),
    disk_mbps=st.sampled_from([0, 900]),
    has_public_ip=st.booleans(),
)
offered = st.builds(
    a_host,
    st.sampled_from(["h1", "h2", "h3"]),
    machine=machines,
    cloud=st.sampled_from(Cloud),
    is_draining=st.booleans(),
    terms=st.builds(some_terms, bid=st.sampled_from([None, "0.10", "0.30"])),
)
demands = st.builds(
    a_demand,
    st.integers(0, 2),
    cards=st.sampled_from([(), (CARD,)]),
    cloud=st.sampled_from([None, *Cloud]),
    countries=st.sampled_from([frozenset[str](), frozenset({"PL"})]),
    cuda=st.sampled_from([(0, 0), (12, 0)]),
    cuda_versions=st.sampled_from([frozenset[str](), frozenset({"12.8"})]),
    down_mbps=st.sampled_from([0, 100]),
    disk_mbps=st.sampled_from([0, 100]),
    needs_public_ip=st.booleans(),
    avoid=st.sampled_from([frozenset[str](), frozenset({"h1"})]),
    tenure=st.sampled_from(Tenure),
    bid=st.sampled_from([None, Money.parse("0.20")]),
    ceiling=st.sampled_from([None, Money.parse("0.20"), Money.parse("1")]),
)


@settings(max_examples=200)
@given(demand=demands, host=offered)
def test_what_is_not_asked_for_is_not_looked_at_and_changes_nothing(
    demand: Demand, host: Host
) -> None:
    """`place` leaves out the checks that no host can fail; `reason_against` makes all of them."""
    refused = [each.why for each in place(demand, [host], NOON).refusals]
    plain = reason_against(demand, host, NOON)
    assert refused == [plain] if plain else refused in ([], [Why.TAKEN])


def test_room_counts_what_tenants_take() -> None:
    assert a_host(tenants=(a_tenant("p"),)).free == some_room(1, processors=12, memory=48, disk=480)


def test_a_whole_market_fills_to_the_last_card_and_no_further() -> None:
    """Sixty machines of one to eight cards take pods until nothing fits; the same way each time."""
    first, second = (_filled(60) for _ in range(2))
    assert first == second
    assert all(host.free.cards == 0 for host in first)


def _filled(count: int) -> list[Host]:
    sizes = [1, 2, 4, 8]
    hosts = {
        f"h{number:03}": a_host(
            f"h{number:03}",
            machine=a_machine(
                cards=sizes[number % 4], processors=99, memory=Size(900 * GB), disk=Size(9000 * GB)
            ),
            terms=some_terms(f"0.{30 + number % 7}"),
        )
        for number in range(count)
    }
    for pod in itertools.count():
        seat = place(a_demand(), hosts.values(), NOON).seat
        if seat is None:
            return list(hosts.values())
        tenants = (*hosts[seat.host].tenants, a_tenant(f"p{pod}"))
        hosts[seat.host] = replace(hosts[seat.host], tenants=tenants)
    raise AssertionError

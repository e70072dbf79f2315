"""The lowest price of some cards, from hosts and who is on them."""

import pytest

from puna.market.domain.hosts import Cloud, Host
from puna.market.http.graph.catalog import gigabytes, price_shape
from puna.market.http.graph.prices import lowest
from puna.units import Money
from tests.market.lots import CARD, NOON, a_demand, a_host, a_machine, a_tenant, some_terms

CHEAP = a_host("cheap", terms=some_terms("0.30", "0.20"))
DEAR = a_host("dear", terms=some_terms("0.50", "0.05"))
FULL = a_host("full", terms=some_terms("0.10"), tenants=(a_tenant("a"), a_tenant("b")))
BOUGHT = a_host(
    "bought", terms=some_terms("0.20", "0.10"), tenants=(a_tenant("a", bid="0.05", cards=2),)
)
SPOTTED = a_host("spotted", terms=some_terms("0.20"), tenants=(a_tenant("a", bid="0.15", cards=2),))
CLOSED = a_host("closed", terms=some_terms("0.01", is_paused=True))
OTHER = a_host("other", machine=a_machine(card="NVIDIA L4"), terms=some_terms("0.01"))


@pytest.mark.parametrize(
    ("hosts", "on_demand", "bid", "places", "counts"),
    [
        ([CHEAP, DEAR], "0.30", "0.05", 2, [1, 2]),
        ([DEAR, FULL], "0.50", "0.05", 1, [1, 2]),
        ([FULL], None, None, 0, []),
        ([SPOTTED], "0.20", None, 1, []),
        ([BOUGHT], "0.20", "0.10", 1, []),
        ([CLOSED], None, None, 0, []),
        ([OTHER], None, None, 0, []),
        ([], None, None, 0, []),
        ([a_host(terms=some_terms(bid=None))], "0.40", None, 1, [1, 2]),
    ],
    ids=[
        "cheapest",
        "not the full",
        "full",
        "spot gives way",
        "spot gives way to a higher bid",
        "closed",
        "another",
        "none",
        "no spot",
    ],
)
def test_the_lowest_price_is_of_those_who_would_take_the_pod(
    hosts: list[Host], on_demand: str | None, bid: str | None, places: int, counts: list[int]
) -> None:
    found = lowest(a_demand(cards=(CARD,)), hosts, NOON)
    assert found.on_demand == (Money.parse(on_demand) if on_demand else None)
    assert found.bid == (Money.parse(bid) if bid else None)
    assert (found.places, list(found.counts)) == (places, counts)


def test_more_cards_than_any_host_has_have_no_price_but_a_count() -> None:
    found = lowest(a_demand(3, cards=(CARD,)), [CHEAP], NOON)
    assert (found.on_demand, found.places, list(found.counts)) == (None, 0, [1, 2])


def test_without_an_offer_the_prices_are_null() -> None:
    shape = price_shape(CARD, lowest(a_demand(cards=(CARD,)), [FULL], NOON))
    assert (shape["uninterruptablePrice"], shape["minimumBidPrice"]) == (None, None)
    assert (shape["stockStatus"], shape["totalCount"], shape["rentedCount"]) == ("None", 2, 2)
    assert "minMemory" not in shape


def test_an_offer_says_what_comes_with_the_cards() -> None:
    secure = a_host(cloud=Cloud.SECURE, tenants=(a_tenant("a"),))
    shape = price_shape(CARD, lowest(a_demand(cards=(CARD,)), [secure], NOON))
    assert (shape["gpuTypeId"], shape["uninterruptablePrice"]) == (CARD, 0.4)
    assert (shape["minMemory"], shape["minVcpu"], shape["stockStatus"]) == (48, 12, "Low")
    assert (shape["totalCount"], shape["rentedCount"], shape["rentalPercentage"]) == (2, 1, 0.5)
    assert shape["gpuTypeCudaVersions"] == [{"cudaVersion": "12.8", "availability": "Low"}]


@pytest.mark.parametrize(("memory", "named"), [(24 * 10**9, 24), (24_564 * 2**20, 24), (0, 0)])
def test_a_cards_memory_is_named_as_its_maker_names_it(memory: int, named: int) -> None:
    assert gigabytes(memory) == named

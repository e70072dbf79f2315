"""What a job costs: sums that can be checked by hand."""

from dataclasses import replace

import pytest

from puna.batch.costs import (
    Bids,
    HostedCost,
    RentedCost,
    Work,
    advice,
    cost_hosted,
    cost_of_own,
    cost_on_card,
    cost_rented,
    rough_money,
    rough_span,
)
from puna.batch.prices import CardPrice, Electricity, HostedPrice, PriceSource, Speed
from puna.units import Money, Size, Span

PAGE = PriceSource("a page", None)
WORK = Work(
    requests=1_000_000,
    shared=400,
    own=5_000_000,
    answers=2_000_000,
    computed=2_000_000,
    written=0,
    parameters=8 * 10**9,
    weights=Size(5 * 10**9),
    result=Size(10**9),
)
CARD = CardPrice(
    name="card",
    memory=Size.parse("24GiB"),
    hour=Money.parse("0.36"),
    source=PAGE,
    speed=Speed(prompt=1000, generate=100, parameters=8 * 10**9, source=PAGE),
    boot=Span.of(seconds=100),
    disk=Money(0),
)
HOSTED = HostedPrice(
    name="hosted", input=Money.parse("0.10"), output=Money.parse("0.40"), source=PAGE
)
CACHING = replace(HOSTED, cached=Money.parse("0.01"), cache_from=400, batch=50)


def test_this_machine_costs_its_electricity_or_nothing() -> None:
    ten, free = Span.of(hours=10), Money(0)
    assert cost_of_own(ten, free, Electricity()) == 0
    assert cost_of_own(ten, free, Electricity(100, Money.parse("0.30"))) == 300_000
    assert cost_of_own(ten, Money.parse("0.5"), Electricity()) == 5_000_000


def test_rented_machines_are_paid_while_they_start_and_compute() -> None:
    two = RentedCost(name="2 x RTX 4090", an_hour=Money.parse("1"))
    alone = [Span.of(hours=1), Span.of(hours=1)]
    cost = cost_rented(two, alone, Span.of(minutes=30), Span.of(minutes=6))
    assert (cost.span, cost.price) == (Span.of(hours=1.1), 1_000_000)


def test_a_way_whose_price_nobody_knows_is_not_called_the_cheapest() -> None:
    rented = RentedCost(name="1 x L4", an_hour=Money(1), price=Money(20_000), span=Span(10**9))
    unknown = Bids(Span.of(hours=1), None, (), (), where="a box", rented=rented)
    assert advice(unknown) == (
        "What an hour of a box costs is not known (60 min, its price not known): say --price. "
        "Beside it: 1 x L4, rented now (about $0.02, 1.0 s)."
    )


def test_a_card_reads_at_the_speed_of_its_table_after_it_has_started() -> None:
    cost = cost_on_card(WORK, CARD)
    assert cost.span == Span.of(seconds=2100)
    assert cost.price == 210_000


def test_a_card_is_handed_so_many_rows_a_second_and_no_more() -> None:
    many = replace(WORK, requests=10_000_000, computed=1000)
    assert cost_on_card(many, CARD).span == Span.of(seconds=5100)


def test_writing_is_counted_at_its_own_speed() -> None:
    assert cost_on_card(replace(WORK, written=100_000), CARD).span == Span.of(seconds=3100)


@pytest.mark.parametrize(
    ("parameters", "seconds"),
    [(16 * 10**9, 4100), (4 * 10**9, 1100), (10**9, 350), (10**8, 350)],
    ids=["twice", "half", "an eighth", "too small to fill a card"],
)
def test_time_on_a_card_goes_with_the_size_of_the_model(parameters: int, seconds: int) -> None:
    cost = cost_on_card(replace(WORK, requests=1000, parameters=parameters), CARD)
    assert cost.span == Span.of(seconds=seconds)


@pytest.mark.parametrize(
    ("change", "price"),
    [
        ({"tick": Span.of(hours=1)}, 360_000),
        ({"minimum": Money.parse("2")}, 2_000_000),
        ({"egress": Money.parse("0.05")}, 260_000),
        ({"disk": Money.parse("720"), "boot": Span.of(seconds=1600)}, 360_000 + 5_000_000),
    ],
    ids=["whole hours", "a least charge", "what leaves", "disk"],
)
def test_what_else_a_card_charges_is_counted(change: dict[str, int], price: int) -> None:
    assert cost_on_card(WORK, replace(CARD, **change)).price == price  # type: ignore[arg-type]


def test_a_model_that_does_not_fit_a_card_is_said_to() -> None:
    cost = cost_on_card(replace(WORK, weights=Size(40 * 10**9)), CARD)
    assert cost.reason == "44 GB do not fit into 25 GB"


def test_a_hosted_model_reads_the_instruction_for_each_row() -> None:
    assert cost_hosted(WORK, HOSTED).plain == 40_000_000 + 500_000 + 800_000


def test_cache_and_batch_service_lower_the_bill() -> None:
    cost = cost_hosted(WORK, CACHING)
    assert (cost.cached, cost.batch, cost.both) == (5_300_000, 20_650_000, 2_650_000)
    assert cost.least == 2_650_000


def test_a_beginning_that_is_too_short_is_not_cached() -> None:
    cost = cost_hosted(WORK, replace(CACHING, cache_from=1024))
    assert (cost.cached, cost.both) == (None, None)


def test_a_least_charge_of_a_request_is_counted() -> None:
    assert cost_hosted(WORK, replace(HOSTED, request=Money(100))).plain == 100_000_000


def bids(hours: float, *, here: int = 0, card: int = 210_000, hosted: int = 5 * 10**6) -> Bids:
    rented = replace(cost_on_card(WORK, CARD), price=Money(card))
    bought = HostedCost(HOSTED, Money(hosted))
    return Bids(Span.of(hours=hours), Money(here), (rented,), (bought,))


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        (bids(2), "Cheapest: this machine (2.0 h, no charge); nothing need be rented."),
        (
            bids(50),
            (
                "Cheapest: this machine (2.1 days, no charge). If that is too long: "
                "card (about $0.21, 35 min) is cheaper than the hosted hosted ($5.00)."
            ),
        ),
        (
            bids(50, here=400_000, hosted=100_000),
            (
                "Cheaper than this machine (2.1 days, $0.40 of electricity): "
                "the hosted hosted ($0.10) is cheaper than card (about $0.21, 35 min)."
            ),
        ),
        (
            Bids(Span.of(hours=50), Money(0), (), ()),
            "Cheapest: this machine (2.1 days, no charge).",
        ),
    ],
    ids=["this machine", "a card", "a hosted model", "nothing on offer"],
)
def test_the_cheaper_answer_is_said_in_plain_words(offered: Bids, words: str) -> None:
    assert advice(offered) == words


def test_a_card_without_room_is_no_bid() -> None:
    full = cost_on_card(replace(WORK, weights=Size(40 * 10**9)), CARD)
    assert Bids(Span(0), Money(0), (full,), ()).best_card is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0.0 s"), (45, "45 s"), (720, "12 min"), (20880, "5.8 h")]
)
def test_lengths_of_time_have_two_figures(seconds: int, words: str) -> None:
    assert rough_span(Span.of(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("dollars", "words"),
    [
        ("0", "$0.00"),
        ("0.00041", "$0.000410"),
        ("0.0043", "$0.0043"),
        ("12.4", "$12.40"),
        ("1240", "$1,240"),
        ("2500000", "$2.5M"),
    ],
)
def test_amounts_are_said_short(dollars: str, words: str) -> None:
    assert rough_money(Money.parse(dollars)) == words

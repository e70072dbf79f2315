"""What must hold for every price, every text and every proof, whatever the numbers are."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from puna.batch.bound import lower_bound
from puna.batch.cascade import prove
from puna.batch.costs import Work, cost_hosted, cost_of_own, cost_on_card, rough_money, rough_span
from puna.batch.ngrams import Classifier, train
from puna.batch.prices import Electricity, HostedPrice, PriceList, shipped_prices
from puna.batch.report import as_markdown
from puna.batch.report_page import as_page
from puna.units import Money, Size, Span
from tests.batch.test_report import STORY, Page

FEW = settings(max_examples=30, deadline=None)
COUNTS = st.integers(0, 10**9)
MONEY = st.integers(0, 10**8).map(Money)
TEXTS = st.text(max_size=60)
WORKS = st.builds(
    Work,
    requests=st.integers(1, 10**8),
    shared=st.integers(0, 5000),
    own=COUNTS,
    answers=COUNTS,
    computed=COUNTS,
    written=COUNTS,
    parameters=st.integers(10**6, 10**11),
    weights=st.integers(10**6, 10**11).map(Size),
    result=COUNTS.map(Size),
)
HOSTED = st.builds(
    HostedPrice,
    name=st.just("model"),
    input=MONEY,
    output=MONEY,
    source=st.just(shipped_prices().hosted[0].source),
    cached=st.none() | MONEY,
    cache_from=st.integers(0, 4096),
    batch=st.none() | st.integers(1, 100),
    request=MONEY,
)


@FEW
@given(WORKS, HOSTED)
def test_no_way_to_buy_costs_less_than_the_least(work: Work, model: HostedPrice) -> None:
    cost = cost_hosted(work, model)
    ways = [each for each in (cost.plain, cost.cached, cost.batch, cost.both) if each is not None]
    assert cost.least == min(ways) >= 0
    assert (cost.both is None) == (cost.cached is None or cost.batch is None)


@FEW
@given(WORKS, HOSTED, st.integers(1, 10**6))
def test_more_rows_never_cost_less(work: Work, model: HostedPrice, more: int) -> None:
    bigger = replace(
        work, requests=work.requests + more, own=work.own + more, computed=work.computed + more
    )
    assert cost_hosted(bigger, model).plain >= cost_hosted(work, model).plain
    for card in shipped_prices().cards:
        small, large = cost_on_card(work, card), cost_on_card(bigger, card)
        assert (large.span, large.price) >= (small.span, small.price)


@FEW
@given(WORKS)
def test_a_card_is_paid_for_all_the_time_that_it_takes(work: Work) -> None:
    for card in shipped_prices().cards:
        cost = cost_on_card(work, card)
        if not cost.reason:
            assert cost.span >= card.boot
            assert cost.price >= cost.span * card.hour // Span.of(hours=1)


@FEW
@given(st.integers(0, 10**17), st.integers(0, 5000), MONEY)
def test_electricity_is_a_whole_number_that_adds_up(span: int, watts: int, kwh: Money) -> None:
    whole = cost_of_own(Span(span), Money(0), Electricity(watts, kwh))
    halves = cost_of_own(Span(span // 2), Money(0), Electricity(watts, kwh))
    assert 0 <= whole <= 2 * halves + 2 + watts * kwh


@FEW
@given(st.integers(0, 10**15), st.integers(0, 10**19))
def test_amounts_and_times_are_said_in_a_few_letters(micros: int, span: int) -> None:
    assert len(rough_money(Money(micros))) <= 9
    assert len(rough_span(Span(span))) <= 14


def test_merging_with_nothing_changes_nothing() -> None:
    assert shipped_prices().merged(PriceList((), ())) == shipped_prices()
    assert PriceList((), ()).merged(shipped_prices()) == shipped_prices()


@FEW
@given(st.integers(1, 400), st.data())
def test_more_agreement_proves_more(of: int, data: st.DataObject) -> None:
    agreed = data.draw(st.integers(0, of - 1))
    assert lower_bound(agreed, of) < lower_bound(agreed + 1, of) < 1
    assert lower_bound(agreed, of) <= agreed / of


@FEW
@given(
    st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=200),
    st.lists(st.integers(0, 50), max_size=5, unique=True),
    st.floats(0.5, 0.99),
)
def test_no_claim_goes_beyond_its_rows(
    marks: list[tuple[int, bool]], margins: list[int], target: float
) -> None:
    verdict = prove(marks, sorted(margins, reverse=True), target)
    if verdict.margin is None:
        assert "answers no rows" in verdict.words
        return
    taken = [agrees for margin, agrees in marks if margin >= verdict.margin]
    assert (verdict.agreed, verdict.of) == (sum(taken), len(taken))
    assert lower_bound(verdict.agreed, verdict.of) >= target


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return train(["dog", "cat", "lamp", "chair"] * 4, [0, 0, 1, 1] * 4, count=2, seed=1)


@FEW
@given(texts=st.lists(TEXTS, min_size=1, max_size=8))
def test_any_texts_are_judged_each_by_itself(classifier: Classifier, texts: list[str]) -> None:
    together = classifier.guess(texts)
    assert together == [classifier.guess([text])[0] for text in texts]
    for guess in together:
        chance, margin = guess.chances
        assert 0.5 <= chance <= 1
        assert 0 <= margin <= chance
        assert all(math.isfinite(score) for score in guess.scores)


@FEW
@given(TEXTS, TEXTS, TEXTS)
def test_no_text_of_a_job_adds_an_element_to_its_page(label: str, reason: str, job: str) -> None:
    told = replace(STORY, labels={label: 3}, failures={reason: 1}, job=job, notes=(reason,))
    plain = replace(STORY, labels={"a": 3}, failures={"b": 1}, job="c", notes=("b",))
    assert Page(as_page(told)).names == Page(as_page(plain)).names


@FEW
@given(TEXTS, TEXTS)
def test_no_text_of_a_job_adds_a_line_to_its_markdown(label: str, reason: str) -> None:
    told = replace(STORY, labels={label: 3}, failures={reason: 1}, notes=(reason,))
    plain = replace(STORY, labels={"a": 3}, failures={"b": 1}, notes=("b",))
    lines, expected = (as_markdown(each).splitlines() for each in (told, plain))
    assert len(lines) == len(expected)
    assert [line.count(" | ") >= 1 for line in lines if line.startswith("| ")] == [
        line.count(" | ") >= 1 for line in expected if line.startswith("| ")
    ]

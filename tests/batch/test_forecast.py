"""Forecasts: which rows are sampled, what they weigh, and how far a forecast holds."""

import random

import pytest

from puna.batch.forecast import (
    Measured,
    Stretch,
    pick_stretches,
    predict,
    weigh_rows,
    whole_weight,
)
from puna.units import Span


@pytest.mark.parametrize(
    ("distinct", "batch", "wanted", "firsts"),
    [
        (1000, 64, 200, [128, 384, 640, 896]),
        (1000, 10, 50, [100, 300, 500, 700, 900]),
        (100, 64, 200, [0, 64]),
        (5, 64, 200, [0]),
    ],
    ids=["four at least", "as many as wanted", "all of a short list", "less than a batch"],
)
def test_whole_batches_are_picked_all_over_the_list(
    distinct: int, batch: int, wanted: int, firsts: list[int]
) -> None:
    assert [each.first for each in pick_stretches(distinct, batch, wanted)] == firsts


def test_the_last_batch_may_be_shorter() -> None:
    assert pick_stretches(100, 64, 200)[-1] == Stretch(64, 36)


@pytest.mark.parametrize(
    ("texts", "weight"),
    [
        ([], 0),
        ([b"red shoes"], 8 + 9),
        ([b"red shoes", b"red socks"], 2 * 8 + 9 + 4),
        ([b"abc", b"xyz"], 2 * 8 + 6),
    ],
)
def test_a_batch_weighs_what_its_neighbours_do_not_share(texts: list[bytes], weight: int) -> None:
    assert weigh_rows(texts) == weight


def test_a_weight_of_some_rows_stands_for_all() -> None:
    assert whole_weight([100, 300], 200, 1000) == 2000
    assert whole_weight([], 0, 1000) == 0


def test_time_goes_with_weight() -> None:
    measured = [Measured(10, 100, Span(1000)), Measured(10, 300, Span(3000))]
    forecast = predict(measured, 8000, 400)
    assert forecast.span == 80_000
    assert forecast.rows_per_s == pytest.approx(400 / 80_000e-9)
    assert (forecast.low, forecast.high) == (76_000, 84_000)


def test_stretches_that_differ_widen_the_range() -> None:
    even = [Measured(10, 100, Span(1000))] * 4
    uneven = [Measured(10, 100, Span(span)) for span in (500, 1500, 800, 1200)]
    narrow, wide = predict(even, 10_000, 1000), predict(uneven, 10_000, 1000)
    assert narrow.span == wide.span
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_a_list_that_was_measured_whole_has_only_the_doubt_of_the_machine() -> None:
    measured = [Measured(10, 100, Span(span)) for span in (500, 1500)]
    assert predict(measured, 200, 20).high == 2100


def test_nine_of_ten_lists_end_within_the_range() -> None:
    dice = random.Random(1)  # noqa: S311 - chance that repeats
    held = 0
    for _ in range(300):
        weights = [dice.randrange(500, 1500) for _ in range(400)]
        spans = [Span(round(weight * 10 * dice.gauss(1, 0.2))) for weight in weights]
        picked = [each.first for each in pick_stretches(400, 1, 6)]
        forecast = predict([Measured(1, weights[n], spans[n]) for n in picked], sum(weights), 400)
        held += forecast.low <= sum(spans) <= forecast.high
    assert held >= 0.9 * 300

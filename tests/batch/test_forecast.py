"""Forecasts: which rows are sampled, what they weigh, and how far a forecast holds."""

import random
from itertools import islice, pairwise

import pytest

from puna.batch.forecast import (
    Forecast,
    Measured,
    Stretch,
    is_enough,
    predict,
    shared_span,
    spread,
    stretch_rows,
    together,
    weigh_rows,
    whole_weight,
)
from puna.units import Span


@pytest.mark.parametrize(
    ("row_ms", "rows"),
    [(5, 255), (50, 255), (60, 50), (500, 10), (5000, 2)],
    ids=["fast", "just", "too slow", "slow", "very slow"],
)
def test_a_slow_model_is_tried_on_the_beginnings_of_batches(row_ms: int, rows: int) -> None:
    assert stretch_rows(255, 200, Span.of(ms=row_ms)) == rows


@pytest.mark.parametrize(
    ("alone", "seconds"), [((10,), 10), ((10, 10), 5), ((6, 3), 2), ((6, 0), 0)]
)
def test_speeds_add_up(alone: tuple[int, ...], seconds: int) -> None:
    spans = [Span.of(seconds=each) for each in alone]
    assert shared_span(spans) == Span.of(seconds=seconds)
    whole = together([Forecast(each, each, Span(2 * each), 1.0) for each in spans])
    assert (whole.span, whole.low) == (Span.of(seconds=seconds), Span.of(seconds=seconds))
    assert (whole.high, whole.rows_per_s) == (Span.of(seconds=2 * seconds), len(alone))


def test_each_batch_comes_once() -> None:
    assert sorted(spread(1000, 64, 64), key=lambda each: each.first) == [
        Stretch(first, min(64, 1000 - first)) for first in range(0, 1000, 64)
    ]


@pytest.mark.parametrize("count", [4, 8, 16])
def test_the_first_few_stretches_lie_all_over_the_list(count: int) -> None:
    firsts = sorted(each.first for each in islice(spread(100_000, 10, 10), count))
    gaps = [after - before for before, after in pairwise([0, *firsts, 100_000])]
    assert max(gaps) < 2.7 * 100_000 / count


@pytest.mark.parametrize(
    ("stretches", "seconds", "rows", "is_so"),
    [
        (3, 30, 100, False),
        (4, 1, 100, False),
        (4, 2, 100, True),
        (16, 0.01, 100, True),
        (4, 2, 10, False),
        (4, 20, 10, True),
    ],
    ids=["few places", "too short", "enough", "many places", "few rows", "patience ends"],
)
def test_a_sample_ends_when_it_can_be_trusted(
    stretches: int, seconds: float, rows: int, is_so: bool
) -> None:
    measured = [Measured(rows, 1, Span.of(seconds=seconds))] * stretches
    assert is_enough(measured, 200) == is_so


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
        picked = [each.first for each in islice(spread(400, 1, 1), 6)]
        forecast = predict([Measured(1, weights[n], spans[n]) for n in picked], sum(weights), 400)
        held += forecast.low <= sum(spans) <= forecast.high
    assert held >= 0.9 * 300


@pytest.mark.parametrize(("busy", "low", "high"), [(0, 80, 120), (0.5, 40, 180), (1, 8, 240)])
def test_who_else_uses_the_machine_widens_the_range(busy: float, low: int, high: int) -> None:
    span, least, most = (Span.of(seconds=each) for each in (100, 80, 120))
    seen = Forecast(span, least, most, 1.0)
    found = seen.on_a_busy_machine(busy)
    assert found.span == seen.span
    assert (found.low.seconds, found.high.seconds) == (low, high)

"""Forecasts of jobs with a cascade: a range where nobody knows, closer after jobs like it."""

from dataclasses import replace
from pathlib import Path

import pytest

from puna.batch.cascade import Cascade, Verdict
from puna.batch.forecast import Forecast
from puna.batch.jobs import Jobs, write_order
from puna.batch.spared import (
    CascadeGuess,
    Spared,
    Weights,
    guess_cascade,
    spared_before,
    with_cascade,
    words_of_guess,
)
from puna.batch.spec import PromptTask
from puna.units import Span
from tests.batch.stage import ANIMAL_OR_PLANT, a_spec, an_order

SPEC = a_spec(task=replace(ANIMAL_OR_PLANT, cascade=0.9))
HOUR = Span.of(hours=1)
WHOLE = Forecast(HOUR, Span.of(minutes=55), Span.of(minutes=65), 100.0)
EVEN = Weights(10_000, 100_000, 20_000)
"""Rows that share nothing, of which two thousand are lessons."""


def took(*shares: float) -> CascadeGuess:
    return CascadeGuess(2000, tuple(Spared(f"job{n}", share) for n, share in enumerate(shares)))


def a_job(home: Path, name: str, verdict: Verdict, **changes: object) -> None:
    output = home / name
    checkpoint = Jobs(home).checkpoint(output)
    checkpoint.folder.mkdir(parents=True)
    write_order(checkpoint, an_order(home / "in.csv", output, **{"task": SPEC.task, **changes}))
    checkpoint.write("cascade", Cascade(None, verdict).to_bytes())


def test_where_nobody_knows_the_range_is_from_the_lessons_to_everything() -> None:
    found = with_cascade(WHOLE, took(), EVEN)
    assert (found.span, found.high) == (WHOLE.span, WHOLE.high)
    assert found.low == pytest.approx(WHOLE.low * 0.2)


def test_earlier_jobs_make_it_closer() -> None:
    found = with_cascade(WHOLE, took(0.4, 0.6), EVEN)
    assert found.span == pytest.approx(HOUR * 0.6)  # the lessons, and half of the rest
    assert found.low == pytest.approx(WHOLE.low * (0.2 + 0.8 * 0.3))
    assert found.high == pytest.approx(WHOLE.high * (0.2 + 0.8 * 0.7))


def test_rows_that_are_left_share_less() -> None:
    """A third of the weight is shared with neighbours; of the few that are left, nothing is."""
    found = with_cascade(WHOLE, took(0.5), Weights(10_000, 100_000, 30_000))
    assert found.span > HOUR * (0.3 + 0.7 * 0.5)


def test_with_too_few_rows_nothing_changes() -> None:
    guess = guess_cascade(SPEC, 1000, ())
    assert guess == CascadeGuess(0)
    assert with_cascade(WHOLE, guess, EVEN) == WHOLE
    assert "too few rows" in words_of_guess(guess)


def test_other_tasks_have_no_cascade() -> None:
    assert guess_cascade(a_spec(), 10**6, ()) is None
    assert guess_cascade(a_spec(task=PromptTask()), 10**6, ()) is None


def test_only_jobs_with_the_same_task_and_model_tell_something(tmp_path: Path) -> None:
    proved = Verdict(target=0.9, why="", margin=3, agreed=95, of=100, proof=400, bound=0.91)
    a_job(tmp_path, "a.csv", proved)
    a_job(tmp_path, "b.csv", Verdict(target=0.9, why="no", proof=400))
    a_job(tmp_path, "c.csv", proved, model="another")
    a_job(tmp_path, "d.csv", proved, task=replace(ANIMAL_OR_PLANT, cascade=0.98))
    found = spared_before(Jobs(tmp_path), SPEC)
    assert sorted(each.share for each in found) == [0.0, 0.25]
    assert spared_before(Jobs(tmp_path / "none"), SPEC) == ()


@pytest.mark.parametrize(
    ("guess", "words"),
    [
        (took(), "how much of the rest it then takes, nobody knows before."),
        (took(0.25), "It took 25% of the rows in jobs with this task (job0); the range is for 15%"),
    ],
)
def test_a_person_is_told_what_the_range_is_of(guess: CascadeGuess, words: str) -> None:
    assert words in words_of_guess(guess)

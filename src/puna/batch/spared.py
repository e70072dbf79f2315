"""How long a job with a cascade takes, before anybody has taught its classifier.

What the classifier takes from the model depends on labels that nobody has yet. Certain is only that
the model labels the lessons, and at most everything else: that is the range. Jobs of this machine
that had the same task tell more, since what is learnt from other rows of a kind is much the same.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from puna.batch.cascade import choose_lessons, lesson_count
from puna.batch.checkpoint import Checkpoint
from puna.batch.forecast import Forecast, weigh_rows
from puna.batch.jobs import Jobs
from puna.batch.lessons import read_verdict
from puna.batch.spec import LabelTask, Spec
from puna.batch.strings import Strings
from puna.units import Span

_DOUBT = 0.1
"""By so much of the rows the share of another list differs."""


@dataclass(frozen=True, slots=True)
class Spared:
    """The share of the rows that a classifier took in one earlier job."""

    job: str
    share: float


@dataclass(frozen=True, slots=True)
class CascadeGuess:
    """What a plan knows of a cascade: how many lessons there are, and of jobs like it."""

    lessons: int
    """None where there are too few rows to learn from and still save some."""
    before: tuple[Spared, ...] = ()

    @property
    def shares(self) -> tuple[float, float]:
        """The shares that the classifier may take, from the least to the most."""
        if not self.before:
            return 0.0, 1.0
        found = [each.share for each in self.before]
        return max(0.0, min(found) - _DOUBT), min(1.0, max(found) + _DOUBT)

    @property
    def likely(self) -> float:
        """The share to reckon with: none where nobody knows."""
        found = [each.share for each in self.before]
        return sum(found) / len(found) if found else 0.0


@dataclass(frozen=True, slots=True)
class Weights:
    """What a list weighs for the model: of all its rows, and of the lessons alone."""

    rows: int
    whole: int
    lessons: int


def spared_before(jobs: Jobs, spec: Spec) -> tuple[Spared, ...]:
    """Return what classifiers took in the jobs that had the same task, the latest first."""
    return tuple(_spared(jobs, spec))


def _spared(jobs: Jobs, spec: Spec) -> Iterator[Spared]:
    for card in jobs.cards():
        order = card.order
        if order is None or (order.spec.model, order.spec.task) != (spec.model, spec.task):
            continue
        verdict = read_verdict(Checkpoint(card.folder))
        if verdict is not None and verdict.proof:
            taken = verdict.of / verdict.proof if verdict.margin is not None else 0.0
            yield Spared(card.id, taken)


def guess_cascade(spec: Spec, rows: int, before: Iterable[Spared]) -> CascadeGuess | None:
    """Return what is known of the job's cascade; None if it has none."""
    task = spec.task
    if not isinstance(task, LabelTask) or task.cascade is None:
        return None
    return CascadeGuess(lesson_count(rows, task.cascade), tuple(before))


def weigh_lessons(texts: Strings, guess: CascadeGuess, spec: Spec, batch: int) -> int:
    """Return what the lessons weigh, which are strewn over the list and share little. Blocks."""
    numbers = np.array(choose_lessons(texts.count, guess.lessons, spec.seed), np.int64)
    rows = list(texts.gather(numbers))
    return sum(weigh_rows(rows[place : place + batch]) for place in range(0, len(rows), batch))


def with_cascade(whole: Forecast, guess: CascadeGuess, weights: Weights) -> Forecast:
    """Return how long the job takes if the classifier takes the shares that are guessed.

    `whole` is the forecast without it. Where nobody knows, the time is that of a classifier that
    takes nothing: it is no shorter, and may be as short as the lessons alone.
    """
    if not guess.lessons or not weights.whole:
        return whole
    least, most = guess.shares
    times = [_times(share, guess.lessons, weights) for share in (guess.likely, most, least)]
    return replace(
        whole,
        span=Span(round(whole.span * times[0])),
        low=Span(round(whole.low * times[1])),
        high=Span(round(whole.high * times[2])),
        rows_per_s=whole.rows_per_s / times[0],
    )


def _times(share: float, lessons: int, weights: Weights) -> float:
    """Return how long it takes, in units of the whole list without a cascade.

    The fewer rows of a list are left, the fewer beginnings they share: by the logarithm of how many
    are left, as in any tree of words.
    """
    rows = (weights.rows - lessons) * (1 - share)
    dense, sparse = weights.whole / weights.rows, weights.lessons / lessons
    if rows < 1:
        return weights.lessons / weights.whole
    thinned = math.log(weights.rows / rows) / math.log(weights.rows / lessons)
    each = dense + max(0.0, sparse - dense) * min(1.0, thinned)
    return (weights.lessons + rows * each) / weights.whole


def words_of_guess(guess: CascadeGuess) -> str:
    """Say in a sentence what is known of a cascade."""
    if not guess.lessons:
        return "The cascade has too few rows to learn from: the model labels them all."
    taught = f"The cascade: the model labels {guess.lessons:,} rows for the classifier to learn"
    if not guess.before:
        return (
            f"{taught}; how much of the rest it then takes, nobody knows before. The longest time "
            "is that of a classifier that takes nothing, and prices are for that; the shortest is "
            "that of the lessons alone. When a job with this task is done, plans say it closer."
        )
    jobs = ", ".join([each.job for each in guess.before[:3]])
    least, most = guess.shares
    return (
        f"{taught}. It took {guess.likely:.0%} of the rows in jobs with this task ({jobs}); the "
        f"range is for {least:.0%} to {most:.0%}."
    )

"""What an answer means for a task, and its bytes on the disk."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from puna.batch.census import Census
from puna.batch.columns import Answers, answer_columns
from puna.batch.outcome import (
    ABSTAINED,
    Fitting,
    Labelled,
    Outcome,
    count_refused,
    judge,
    keep,
    labelled_rows,
    pack,
    unpack,
)
from puna.batch.spec import EmbedTask, Label, LabelTask
from puna.batch.strings import pack_strings
from puna.batch.workers.worker import Refused, Scored, Vector, Written

AB = (Label("a"), Label("b"))
FLOATS = st.floats(allow_nan=False)
PROBABILITY = st.floats(0, 1)
OUTCOMES = st.one_of(
    st.builds(Labelled, st.integers(-1, 2**31 - 1), FLOATS, FLOATS),
    st.builds(Fitting, st.lists(st.tuples(st.integers(0, 99), FLOATS)).map(tuple)),
    st.builds(Written, st.text(), st.text(), st.integers(0), st.integers(0)),
    st.builds(Vector, st.lists(st.floats(width=32, allow_nan=False)).map(tuple)),
    st.builds(Refused, st.text(st.characters(exclude_categories=["Cs"]))),
)


@given(OUTCOMES)
def test_what_is_packed_comes_back(outcome: Outcome) -> None:
    assert unpack(pack(outcome)) == outcome


def test_a_row_gets_the_label_that_fits_best() -> None:
    found = judge(LabelTask(labels=AB), Scored((math.log(3), 0.0)))
    assert found == Labelled(0, pytest.approx(0.75), pytest.approx(0.5))  # type: ignore[arg-type]


def test_scores_may_have_any_constant_in_common() -> None:
    task = LabelTask(labels=AB)
    assert judge(task, Scored((-1000.0, -1001.0))) == judge(task, Scored((1000.0, 999.0)))


@pytest.mark.parametrize(
    ("least", "label"), [(0.5, 0), (0.74, 0), (0.76, ABSTAINED), (1, ABSTAINED)]
)
def test_a_label_that_is_not_sure_enough_is_none(least: float, label: int) -> None:
    task = LabelTask(labels=AB, abstain_below=least)
    found = judge(task, Scored((math.log(3), 0.0)))
    assert isinstance(found, Labelled)
    assert found.label == label
    assert found.probability == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("odds", "least", "labels"),
    [
        ((2.0, -2.0), 0.0, [0]),
        ((2.0, 0.0), 0.0, [0, 1]),
        ((-1.0, -2.0), 0.0, []),
        ((5.0, 1.0), 0.9, [0]),
        ((800.0, -800.0), 0.0, [0]),
    ],
)
def test_several_labels_fit_each_by_itself(
    odds: tuple[float, float], least: float, labels: list[int]
) -> None:
    found = judge(LabelTask(labels=AB, multi=True, abstain_below=least), Scored(odds))
    assert isinstance(found, Fitting)
    assert [place for place, _ in found.labels] == labels


@pytest.mark.parametrize("scores", [(1.0,), (1.0, 2.0, 3.0), (math.nan, 1.0), (math.inf, 0.0)])
def test_scores_that_mean_nothing_are_refused(scores: tuple[float, ...]) -> None:
    assert isinstance(judge(LabelTask(labels=AB), Scored(scores)), Refused)


def test_answers_of_other_tasks_are_kept_as_they_are() -> None:
    assert judge(EmbedTask(), Vector((1.0,))) == Vector((1.0,))
    assert judge(LabelTask(labels=AB), Refused("no")) == Refused("no")


SCORES = st.lists(st.floats(-50, 50), min_size=2, max_size=2).map(tuple)
ANSWERS = st.lists(
    st.one_of(st.builds(Scored, SCORES), st.just(Refused("too long")), st.just(Scored((1.0,)))),
    max_size=9,
)


@given(ANSWERS, st.sampled_from([0.0, 0.7]), st.booleans())
def test_a_shard_is_kept_as_each_row_by_itself(
    answers: list[Scored | Refused], least: float, multi: bool
) -> None:
    task = LabelTask(labels=AB, abstain_below=least, multi=multi)
    outcomes = [judge(task, each) for each in answers]
    kept = keep(task, answers)
    assert list(kept) == [pack(each) for each in outcomes]
    assert count_refused(kept) == sum(isinstance(each, Refused) for each in outcomes)


@given(st.lists(st.builds(Labelled, st.integers(-1, 1), PROBABILITY, PROBABILITY, st.booleans())))
def test_columns_of_labelled_rows_say_what_each_row_says(outcomes: list[Labelled]) -> None:
    task = replace(LabelTask(labels=AB), cascade=0.9)
    rows = labelled_rows(pack_strings([pack(each) for each in outcomes]))
    assert rows is not None
    answers = Answers(task, answer_columns(task, ()))
    one_by_one, at_once = Census(task), Census(task)
    for each in outcomes:
        one_by_one.take(each)
    at_once.take_all(rows)
    assert list(zip(*answers.of_all(rows), strict=True)) == [
        answers.of(each).values for each in outcomes
    ]
    assert at_once.counted() == one_by_one.counted()


@pytest.mark.parametrize("other", [Refused("x" * 20), Fitting(((0, 0.9),)), Written("", "")])
def test_rows_of_several_kinds_have_no_columns(other: Outcome) -> None:
    packed = [pack(Labelled(0, 0.9, 0.8)), pack(other)]
    assert labelled_rows(pack_strings(packed)) is None

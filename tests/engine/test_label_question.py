"""Questions about labels that are none, and what the values say of themselves."""

import pytest

from puna.node.engine.label_question import (
    Choice,
    ComputePath,
    LabelQuestion,
    LabelScores,
    NotLabels,
    check_labels,
)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ((), "at least two labels are needed, not 0"),
        (("a",), "at least two labels are needed, not 1"),
        (("a", ""), "must not be empty"),
        (("a", " "), "must not be empty"),
        (("a", "b", "a"), '"a" is there twice'),
        ((" a", " b", " b"), '"b" is there twice'),
    ],
    ids=["none", "one", "empty", "blank", "twice", "twice, told without spaces"],
)
def test_labels_that_are_none_are_refused(labels: tuple[str, ...], words: str) -> None:
    with pytest.raises(NotLabels, match=words):
        check_labels(LabelQuestion(prefix="", labels=labels))


@pytest.mark.parametrize(
    "labels", [("a", "b"), ("a", "a b"), ("A", "a"), tuple(map(str, range(1000)))], ids=len
)
def test_labels_that_differ_are_fine(labels: tuple[str, ...]) -> None:
    check_labels(LabelQuestion(prefix="", labels=labels))


def test_a_wrong_question_is_the_askers_fault() -> None:
    assert NotLabels("x").status == 400


def test_paths_are_told_by_the_words_that_ask_for_them() -> None:
    assert [str(each) for each in ComputePath] == ["float", "kernels", "card", "slots"]
    assert ComputePath("float") is ComputePath.FLOAT


def test_scores_without_refusals_say_so() -> None:
    found = LabelScores(((-0.1, -2.0), None))
    assert found.refusals == {}
    assert (found.tokens, found.computed) == (0, 0)


def test_a_choice_can_go_without_a_build() -> None:
    assert Choice(ComputePath.SLOTS, "asked for").build == ""

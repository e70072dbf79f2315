"""The words around a row when labels are asked for."""

from puna.batch.spec import Label, LabelTask
from puna.batch.wording import questions, scores_of, without_bias, wording_of

TASK = LabelTask(labels=(Label("shoes", "what goes on feet"), Label("bags")))
MULTI = LabelTask(labels=TASK.labels, multi=True)


def test_a_row_comes_last_and_the_label_right_after_it() -> None:
    words = wording_of(TASK)
    assert words.prefix + "red boots" + words.suffix + words.answers[0] == (
        "Choose the category that fits the text best.\n\n"
        "Categories:\n- shoes: what goes on feet\n- bags\n\n"
        "Text: red boots\nCategory: shoes"
    )


def test_an_instruction_of_ones_own_comes_first() -> None:
    words = wording_of(LabelTask(labels=TASK.labels, instruction="Sort these."))
    assert words.prefix.startswith("Sort these.\n\nCategories:")


def test_several_labels_are_asked_for_one_by_one() -> None:
    words = wording_of(MULTI)
    assert questions(MULTI, "red boots") == [
        "red boots\nCategory: shoes: what goes on feet",
        "red boots\nCategory: bags",
    ]
    assert words.answers == (" yes", " no")


def test_scores_are_of_the_labels() -> None:
    assert questions(TASK, "x") == ["x"]
    assert scores_of(TASK, [(-1.0, -2.0)]) == (-1.0, -2.0)
    assert scores_of(MULTI, [(-1.0, -2.0), (-3.0, -0.5)]) == (1.0, -2.5)


def test_a_bias_is_taken_off() -> None:
    assert without_bias((-1.0, -2.0), (-1.0, -3.0)) == (0.0, 1.0)

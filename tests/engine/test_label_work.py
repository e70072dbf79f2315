"""The child's work: texts to trees, trees to whatever lane is free, answers in the texts' order."""

import queue
import threading
from array import array
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from puna.node.engine.label_work import CannotTell, LabelWork, Task
from puna.node.engine.row_tree import RowTree, Tokens
from puna.node.engine.vocabulary import Vocabulary

LIMIT_S = 90
TASK = Task("Words. Text: ", " is", (" red", " rose", " blue"), "-", 80, 40, 0)


class Letters(Vocabulary):
    """Letters as tokens; a real vocabulary needs a model."""

    def __init__(self) -> None:
        self.size = 0x110000

    def tokens(self, text: str, *, special: bool = False) -> Tokens:
        return ((1,) if special else ()) + tuple(map(ord, text))

    def ends(self) -> Tokens:
        return (10,)


class Merging(Letters):
    """Letters, but any two digits are one token: nothing is safe to cut before."""

    def tokens(self, text: str, *, special: bool = False) -> Tokens:
        plain = super().tokens(text, special=special)
        return tuple(reversed(plain)) if not special else plain


class Counting:
    """A lane whose logits are the sum of a row's tokens, modulo a column's token."""

    def __init__(self) -> None:
        self.prefix: Tokens = ()
        self.columns: Tokens = ()
        self.trees = 0

    def begin(self, prefix: Sequence[int], columns: Sequence[int]) -> None:
        self.prefix, self.columns = tuple(prefix), tuple(columns)

    def logits(self, tree: RowTree) -> NDArray[np.float32]:
        self.trees += 1
        sums = []
        for read in tree.reads:
            above = [node for node in range(read + 1) if read < tree.ends[node]]
            sums.append(sum(tree.tokens[node] for node in above))
        table = [[(each % column) / 50 for column in self.columns] for each in sums]
        return np.array(table, np.float32)


def ask(work: LabelWork, texts: Sequence[str]) -> tuple[NDArray[np.float32], Mapping[str, object]]:
    answers: queue.SimpleQueue[Mapping[str, object]] = queue.SimpleQueue()
    work.ask(texts, answers.put)
    answer = answers.get(timeout=LIMIT_S)
    numbers = array("f")
    numbers.frombytes(b64decode(str(answer["logprobs"])))
    return np.array(numbers, np.float32).reshape(len(texts), -1), answer


def started(lanes: int, task: Task = TASK) -> tuple[LabelWork, list[Counting]]:
    found = [Counting() for _ in range(lanes)]
    work = LabelWork(task, Letters(), found)
    work.start()
    return work, found


def test_answers_stand_in_the_order_of_the_texts_on_any_number_of_lanes() -> None:
    texts = [f"text {number * 7 % 40}" for number in range(60)]
    one, _ = ask(started(1)[0], texts)
    many, _ = ask(started(3)[0], texts)
    assert np.array_equal(one, many)
    assert np.array_equal(one[0], ask(started(1)[0], texts[:1])[0][0])
    assert not np.array_equal(one[0], one[1])


def test_probabilities_add_up_to_one() -> None:
    found, _ = ask(started(2)[0], ["a", "b", "c"])
    assert np.exp(found).sum(1) == pytest.approx([1, 1, 1])


def test_what_never_changes_is_computed_once_and_shared() -> None:
    work, lanes = started(2)
    _, answer = ask(work, ["abc", "abd", "abd"])
    assert {lane.prefix for lane in lanes} == {(1, *map(ord, "Words. Text:"))}
    assert answer["tokens"] == 3 * (len("Words. Text: abc is") + 1)
    # The space before a text, its letters, what follows, and " r" twice where two labels part.
    assert answer["computed"] == len(" ab") + 2 * len("c is r")


def test_only_columns_where_labels_part_are_wanted() -> None:
    assert started(1)[1][0].columns == tuple(sorted(map(ord, "rbeo ")))[1:]


def test_a_text_that_does_not_fit_is_refused_alone() -> None:
    found, answer = ask(started(1)[0], ["a", "b" * 70, ""])
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()
    assert "80 have room" in str(cast("Mapping[str, str]", answer["refusals"])["1"])


def test_many_texts_become_several_trees_of_a_limited_size() -> None:
    work, lanes = started(1)
    ask(work, [f"{number:05}" for number in range(0, 99999, 1001)])
    assert lanes[0].trees > 10


def test_questions_may_be_asked_before_others_are_answered() -> None:
    work, _ = started(2)
    before = threading.active_count()
    answers: queue.SimpleQueue[Mapping[str, object]] = queue.SimpleQueue()
    for number in range(20):
        work.ask([f"{number}", f"{number} more"], answers.put)
    found = [answers.get(timeout=LIMIT_S) for _ in range(20)]
    assert len({str(each["logprobs"]) for each in found}) > 1
    assert threading.active_count() <= before


def test_where_no_cut_is_safe_every_prompt_is_read_whole() -> None:
    lane = Counting()
    work = LabelWork(TASK, Merging(), [lane])
    work.start()
    found, answer = ask(work, ["abc"])
    assert lane.prefix == (1, *map(ord, TASK.prefix))
    assert np.isfinite(found).all()
    assert answer["tokens"] == len("Words. Text: abc is") + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [({"labels": (" a", " b", " a")}, "no tokens of their own"), ({"context": 9}, "13 tokens")],
    ids=["equal labels", "small context"],
)
def test_a_question_that_cannot_be_told_is_refused(
    change: Mapping[str, object], words: str
) -> None:
    parts: dict[str, object] = {name: getattr(TASK, name) for name in Task.__match_args__}
    with pytest.raises(CannotTell, match=words):
        LabelWork(Task.of({**parts, **change}), Letters(), [Counting()])


def test_the_pace_is_tried_out_on_all_lanes() -> None:
    work, lanes = started(2)
    assert 0 < work.pace(1) < work.pace(4) * 2
    assert all(lane.trees for lane in lanes)


class Sure(Counting):
    """A lane that is sure of one letter."""

    def logits(self, tree: RowTree) -> NDArray[np.float32]:
        self.trees += 1
        row = [0.0 if column == ord("b") else -30.0 for column in self.columns]
        return np.array([row] * len(tree.reads), np.float32)


def test_of_many_forks_only_those_that_count_are_computed() -> None:
    labels = tuple(f" {first}{second}" for first in "abcdef" for second in "abc")
    task = Task("Text: ", "=", labels, "-", 200, 100, 0)
    lane = Sure()
    work = LabelWork(task, Letters(), [lane])
    work.start()
    found, answer = ask(work, ["x", "y"])
    assert np.exp(found).sum(1) == pytest.approx([1, 1])
    assert found.argmax(1).tolist() == [labels.index(" bb")] * 2
    # Each row up to where all labels are, and once more up to the one fork that counts.
    assert answer["computed"] == (1 + 2 * len("x= ")) + (1 + 2 * len("x= b"))

"""The words around a row when labels are asked for: the row comes last, the answer right after it.

What stands before the row is the same for all rows, so it is computed once; what stands after it is
short, since that is computed for each. A change here changes answers: then `WORDING` goes up, and
jobs that were begun with the older words are not continued with the newer ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from puna.batch.spec import Label, LabelTask

WORDING = 1
YES, NO = " yes", " no"
NOTHING = "N/A"
"""A text that says nothing: what a model thinks of the labels there is its bias."""


@dataclass(frozen=True, slots=True)
class Wording:
    """What surrounds each text, and the answers, as they stand in the prompt."""

    prefix: str
    suffix: str
    answers: tuple[str, ...]


def wording_of(task: LabelTask) -> Wording:
    """Return the words of a task. With several labels a row, `questions` makes the texts."""
    if task.multi:
        first = task.instruction or "Say for each text and category whether the category fits."
        return Wording(f"{first}\n\nText: ", "\nFits (yes or no):", (YES, NO))
    first = task.instruction or "Choose the category that fits the text best."
    prefix = f"{first}\n\nCategories:\n{_listed(task.labels)}\n\nText: "
    return Wording(prefix, "\nCategory:", tuple(f" {each.name}" for each in task.labels))


def questions(task: LabelTask, text: str) -> list[str]:
    """Return the texts to score for one row: itself, or one for each label that may fit."""
    if not task.multi:
        return [text]
    return [f"{text}\nCategory: {_described(each)}" for each in task.labels]


def scores_of(task: LabelTask, rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return a row's score for each label, from the logarithms of its questions."""
    if not task.multi:
        return tuple(rows[0])
    return tuple(yes - no for yes, no in rows)


def without_bias(scores: Sequence[float], bias: Sequence[float]) -> tuple[float, ...]:
    """Return the scores without what the model thinks of each label anyway."""
    return tuple(score - each for score, each in zip(scores, bias, strict=True))


def _listed(labels: Sequence[Label]) -> str:
    return "\n".join(f"- {_described(each)}" for each in labels)


def _described(label: Label) -> str:
    return f"{label.name}: {label.description}" if label.description else label.name

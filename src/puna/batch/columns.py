"""Which columns the output has after the input's: what a task answers, as names, types and values.

A name that the input has already gets `puna_` before it, so that nothing of the input is replaced.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from puna.batch.outcome import ABSTAINED, Fitting, Labelled, LabelledRows, Outcome
from puna.batch.spec import EmbedTask, LabelTask, SchemaTask, Task
from puna.batch.workers.worker import Refused, Vector, Written

_DIGITS = 6
_VECTOR_DIGITS = 8
ANSWER = "answer"
NOT_WHOLE = "the answer was cut before its JSON was whole; raise --max-tokens"


class AnswerKind(StrEnum):
    """What an answer column holds."""

    TEXT = "text"
    NUMBER = "number"
    WHOLE = "whole"
    FLAG = "flag"
    TEXTS = "texts"
    NUMBERS = "numbers"
    JSON = "json"
    VECTOR = "vector"


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """One column that the job adds."""

    name: str
    kind: AnswerKind
    source: str
    """The name before it gave way to a column of the input."""


def answer_columns(task: Task, taken: Sequence[str]) -> tuple[AnswerColumn, ...]:
    """Return the columns that a task adds to those that are taken."""
    found: list[AnswerColumn] = []
    names = set(taken)
    for wanted, kind in _columns(task):
        name = wanted
        while name in names:
            name = f"puna_{name}"
        names.add(name)
        found.append(AnswerColumn(name, kind, wanted))
    return tuple(found)


def _columns(task: Task) -> list[tuple[str, AnswerKind]]:
    if isinstance(task, LabelTask):
        if task.multi:
            return [("labels", AnswerKind.TEXTS), ("probabilities", AnswerKind.NUMBERS)]
        by = [] if task.cascade is None else [("by", AnswerKind.TEXT)]
        return [
            ("label", AnswerKind.TEXT),
            ("probability", AnswerKind.NUMBER),
            ("margin", AnswerKind.NUMBER),
            *by,
        ]
    if isinstance(task, SchemaTask):
        return [(name, kind) for name, kind in schema_fields(task.schema).items()]
    if isinstance(task, EmbedTask):
        return [("embedding", AnswerKind.VECTOR)]
    return [(ANSWER, AnswerKind.TEXT), ("finish", AnswerKind.TEXT)]


_SCHEMA_KINDS: Mapping[object, AnswerKind] = {
    "string": AnswerKind.TEXT,
    "integer": AnswerKind.WHOLE,
    "number": AnswerKind.NUMBER,
    "boolean": AnswerKind.FLAG,
}


def schema_fields(schema: str) -> dict[str, AnswerKind]:
    """Return the columns of a schema: its properties, or one for the whole answer."""
    value = json.loads(schema)
    properties = value.get("properties") if isinstance(value, dict) else None
    if not isinstance(properties, dict) or not properties:
        return {ANSWER: AnswerKind.JSON}
    return {
        str(name): _SCHEMA_KINDS.get(
            each.get("type") if isinstance(each, dict) and _is_word(each) else None, AnswerKind.JSON
        )
        for name, each in properties.items()
    }


def _is_word(field: Mapping[str, object]) -> bool:
    return isinstance(field.get("type"), str)


@dataclass(frozen=True, slots=True)
class Valued:
    """The values of a row's answer columns, in their order; or why there are none."""

    values: tuple[object, ...]
    reason: str = ""


class Answers:
    """Turns outcomes into the values of the answer columns."""

    def __init__(self, task: Task, columns: Sequence[AnswerColumn]) -> None:
        self._task = task
        self._columns = columns
        names = [each.name for each in task.labels] if isinstance(task, LabelTask) else []
        self._names = np.array([*names, None], object)  # the last is where no label fits
        self.nothing = Valued((None,) * len(columns))

    def of_all(self, rows: LabelledRows) -> list[Sequence[object]]:
        """Return the columns of rows that have one label each."""
        found: list[Sequence[object]] = [
            self._names[rows.labels].tolist(),
            rows.probabilities.round(_DIGITS).tolist(),
            rows.margins.round(_DIGITS).tolist(),
            np.where(rows.guessed, "classifier", "model").tolist(),
        ]
        return found[: len(self._columns)]

    def of(self, outcome: Outcome) -> Valued:
        """Return what stands in the columns for an outcome."""
        match outcome:
            case Refused(reason):
                return Valued(self.nothing.values, reason)
            case Labelled(label, probability, margin, is_guess):
                by = "classifier" if is_guess else "model"
                values = (self._name(label), _short(probability), _short(margin), by)
                return Valued(values[: len(self._columns)])
            case Fitting(labels):
                names = [self._name(place) for place, _ in labels]
                return Valued((names, [_short(each) for _, each in labels]))
            case Vector(values):
                return Valued(([round(each, _VECTOR_DIGITS) for each in values],))
            case Written(text, finish):
                return self._written(text, finish)

    def _name(self, label: int) -> str | None:
        if label == ABSTAINED or not isinstance(self._task, LabelTask):
            return None
        return self._task.labels[label].name

    def _written(self, text: str, finish: str) -> Valued:
        if not isinstance(self._task, SchemaTask):
            return Valued((text, finish))
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            reason = NOT_WHOLE if finish == "length" else f"the answer is no JSON: {text[:80]!r}"
            return Valued(self.nothing.values, reason)
        if len(self._columns) == 1 and self._columns[0].source == ANSWER:
            return Valued((value,))
        if not isinstance(value, dict):
            return Valued(self.nothing.values, "the answer is no JSON object")
        return Valued(tuple(value.get(each.source) for each in self._columns))


def _short(number: float) -> float:
    return float(np.round(number, _DIGITS))

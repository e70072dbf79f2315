"""The columns that a job adds, and what stands in them."""

import json

import pytest

from puna.batch.columns import NOT_WHOLE, AnswerKind, Answers, Valued, answer_columns
from puna.batch.outcome import ABSTAINED, Fitting, Labelled
from puna.batch.spec import EmbedTask, Label, LabelTask, PromptTask, SchemaTask, Task
from puna.batch.workers.worker import Refused, Vector, Written

LABELS = LabelTask(labels=(Label("a"), Label("b")))
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "n": {"type": "integer"},
            "x": {"type": "number"},
            "ok": {"type": "boolean"},
            "s": {"type": "string"},
            "list": {"type": "array"},
            "any": {"type": ["string", "null"]},
            "odd": True,
        },
    }
)


def names(task: Task, *taken: str) -> list[str]:
    return [each.name for each in answer_columns(task, taken)]


def values(task: Task, outcome: object) -> Valued:
    return Answers(task, answer_columns(task, ())).of(outcome)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "added"),
    [
        (LABELS, ["label", "probability", "margin"]),
        (LabelTask(labels=LABELS.labels, multi=True), ["labels", "probabilities"]),
        (PromptTask(), ["answer", "finish"]),
        (SchemaTask(schema=SCHEMA), ["n", "x", "ok", "s", "list", "any", "odd"]),
        (SchemaTask(schema='{"type": "array"}'), ["answer"]),
        (EmbedTask(), ["embedding"]),
    ],
    ids=lambda each: each.kind if not isinstance(each, list) else "",
)
def test_each_task_adds_its_columns(task: Task, added: list[str]) -> None:
    assert names(task) == added


def test_no_column_of_the_input_is_replaced() -> None:
    assert names(LABELS, "label", "puna_label", "margin") == [
        "puna_puna_label",
        "probability",
        "puna_margin",
    ]


def test_columns_of_a_schema_have_its_types() -> None:
    kinds = [each.kind for each in answer_columns(SchemaTask(schema=SCHEMA), ())]
    assert kinds == [
        AnswerKind.WHOLE,
        AnswerKind.NUMBER,
        AnswerKind.FLAG,
        AnswerKind.TEXT,
        AnswerKind.JSON,
        AnswerKind.JSON,
        AnswerKind.JSON,
    ]


@pytest.mark.parametrize(
    ("task", "outcome", "found"),
    [
        (LABELS, Labelled(1, 0.123456789, 0.5), ("b", 0.123457, 0.5)),
        (LABELS, Labelled(ABSTAINED, 0.4, 0.1), (None, 0.4, 0.1)),
        (LABELS, Fitting(((0, 0.9), (1, 0.8))), (["a", "b"], [0.9, 0.8])),
        (PromptTask(), Written("hi", "length"), ("hi", "length")),
        (EmbedTask(), Vector((0.1,)), ([0.1],)),
        (SchemaTask(schema='{"type": "array"}'), Written("[1]", "stop"), ([1],)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_an_outcome_fills_the_columns(task: Task, outcome: object, found: tuple[object]) -> None:
    assert values(task, outcome) == Valued(found)


def test_fields_of_an_answer_go_to_their_columns() -> None:
    task = SchemaTask(schema=SCHEMA)
    found = values(task, Written('{"s": "x", "n": 1, "other": 2}', "stop"))
    assert found == Valued((1, None, None, "x", None, None, None))


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (Written('{"s": "x', "length"), NOT_WHOLE),
        (Written("no json", "stop"), "the answer is no JSON: 'no json'"),
        (Written("[1]", "stop"), "the answer is no JSON object"),
    ],
    ids=["cut", "words", "list"],
)
def test_an_answer_that_is_not_what_was_asked_for_is_none(written: Written, reason: str) -> None:
    found = values(SchemaTask(schema=SCHEMA), written)
    assert (set(found.values), found.reason) == ({None}, reason)


def test_a_refused_row_has_no_values() -> None:
    assert values(LABELS, Refused("too long")) == Valued((None, None, None), "too long")

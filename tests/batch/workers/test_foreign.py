"""Tasks in OpenAI's words: what is asked, and what a label is read from, in each of three ways."""

import json
import math

import pytest

from puna.batch.spec import Label, LabelTask, SchemaTask, Spec
from puna.batch.workers.foreign import (
    CERTAIN,
    Manner,
    Way,
    chat_body,
    label_bodies,
    read_chat,
    read_labels,
    read_vectors,
)
from puna.batch.workers.worker import Answer, Refused, Scored, Vector, Written
from puna.node.replies import Fields

ONE = LabelTask(labels=(Label("animal"), Label("plant", "it grows"), Label("thing")))
MANY = LabelTask(labels=(Label("red"), Label("green")), multi=True)


def said(text: str) -> Fields:
    return Fields({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})


def likely(**logprobs: float) -> Fields:
    top = [{"token": name.replace("_", " "), "logprob": n} for name, n in logprobs.items()]
    return Fields({"choices": [{"logprobs": {"content": [{"top_logprobs": top}]}}]})


def test_one_token_is_asked_for_with_the_likeliest_ones() -> None:
    (body,) = label_bodies(Spec(model="m", task=ONE), "a horse", Manner())
    asked = body["messages"][0]["content"]  # type: ignore[index]
    assert (body["max_tokens"], body["logprobs"], body["top_logprobs"]) == (1, True, 20)
    assert "A: animal\nB: plant: it grows\nC: thing" in asked
    assert "Text: a horse" in asked


def test_each_label_is_asked_about_where_several_may_fit() -> None:
    bodies = label_bodies(Spec(model="m", task=MANY), "a leaf", Manner())
    asked = [body["messages"][0]["content"] for body in bodies]  # type: ignore[index]
    assert [("Category: red" in each, "Category: green" in each) for each in asked] == [
        (True, False),
        (False, True),
    ]


def test_a_schema_can_hold_nothing_but_a_label() -> None:
    (body,) = label_bodies(Spec(model="m", task=MANY), "x", Manner(Way.SCHEMA))
    schema = body["response_format"]["json_schema"]["schema"]  # type: ignore[index]
    assert schema["properties"]["label"]["items"]["enum"] == ["red", "green"]


def test_probabilities_are_added_over_the_ways_to_say_a_key() -> None:
    reply = likely(A=math.log(0.25), _a=math.log(0.25), B=math.log(0.125), zzz=math.log(0.1))
    answer = read_labels(ONE, [reply], Way.LOGPROBS)
    assert isinstance(answer, Scored)
    assert [math.exp(each) for each in answer.scores[:2]] == pytest.approx([0.5, 0.125])
    assert answer.scores[2] == pytest.approx(math.log(0.1) - 1)


def test_several_labels_are_odds_of_yes_against_no() -> None:
    replies = [likely(Yes=-0.1, No=-2.1), likely(yes=-3.0, _no=-0.5)]
    answer = read_labels(MANY, replies, Way.LOGPROBS)
    assert isinstance(answer, Scored)
    assert answer.scores == pytest.approx((2.0, -2.5))


SURE, NOT = CERTAIN, -CERTAIN
ROWS: dict[str, tuple[LabelTask, Way, Fields, Answer | type[Refused]]] = {
    "json": (ONE, Way.SCHEMA, said('{"label": "plant"}'), Scored((NOT, 0.0, NOT))),
    "several in json": (MANY, Way.SCHEMA, said('{"label": ["red"]}'), Scored((SURE, NOT))),
    "none in json": (MANY, Way.SCHEMA, said('{"label": []}'), Scored((NOT, NOT))),
    "json that is cut": (ONE, Way.SCHEMA, said('{"label": "pl'), Refused),
    "a label that is none": (ONE, Way.SCHEMA, said('{"label": "cloud"}'), Refused),
    "a word": (ONE, Way.WORDS, said(" Plant.\n"), Scored((NOT, 0.0, NOT))),
    "words": (MANY, Way.WORDS, said("Green, red"), Scored((SURE, SURE))),
    "none in words": (MANY, Way.WORDS, said("None."), Scored((NOT, NOT))),
    "a sentence": (ONE, Way.WORDS, said("I think it is a plant"), Refused),
    "nothing": (ONE, Way.WORDS, Fields({}), Refused),
    "a token that is no key": (ONE, Way.LOGPROBS, likely(zz=-0.1, yy=-2.0), Refused),
    "no probabilities": (ONE, Way.LOGPROBS, said("A"), Refused),
}


@pytest.mark.parametrize(("task", "way", "reply", "expected"), ROWS.values(), ids=ROWS)
def test_a_label_is_read_off(
    task: LabelTask, way: Way, reply: Fields, expected: Answer | type[Refused]
) -> None:
    answer = read_labels(task, [reply], way)
    assert isinstance(answer, Refused) if expected is Refused else answer == expected


def test_a_schema_task_sends_its_schema_and_the_newer_word_for_the_limit() -> None:
    spec = Spec(model="m", task=SchemaTask(schema='{"type": "object"}', system="be brief"))
    body = chat_body(spec, "x", 3, Manner(limit_name="max_completion_tokens"))
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}  # type: ignore[index]
    assert (body["max_completion_tokens"], body["seed"]) == (512, 3)
    assert json.dumps(body["messages"]).count("be brief") == 1


def test_what_was_written_is_read() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    reply = Fields({**said("hi").values, "usage": usage})
    assert read_chat(reply) == Written("hi", "stop", 3, 2)


def test_vectors_come_in_order_and_of_length_one() -> None:
    data = [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}]
    assert read_vectors(Fields({"data": data})) == [Vector((0.6, 0.8)), Vector((0.0, 1.0))]
    assert isinstance(read_vectors(Fields({"data": [{"embedding": [0, 0]}]}))[0], Refused)

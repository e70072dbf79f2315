"""Tasks in the words of OpenAI's API, for servers that offer nothing better. Pure.

Prompts, schemas and vectors are what such servers are made for. A label is not: no such server
scores given answers. So it is read off in one of three ways, the best that the server offers: by
the probabilities of one token (`LOGPROBS`), as JSON that can hold nothing but a label (`SCHEMA`),
or as plain words that are looked up (`WORDS`). None of them gives the numbers that puna's own
scores are, and all say so.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from puna.batch.spec import Label, LabelTask, PromptTask, SchemaTask, Spec
from puna.batch.workers.worker import Answer, Refused, Scored, Vector, Written
from puna.node.replies import Fields

MOST_KEYS = 20
"""As many likely tokens as OpenAI's API tells."""
CERTAIN = 50.0
"""The score of what was chosen where nobody tells how likely it was: its probability is 1."""
_KEYS = "ABCDEFGHIJKLMNOPQRST"
_YES, _NO = "Yes", "No"
_UNSEEN = 1.0
"""How much less likely than the least likely token that was told one is that was not."""
_WORDS = 24
_STRIPPED = " \t\r\n.,:;!?\"'`*()[]"


class Way(StrEnum):
    """How labels are read off."""

    LOGPROBS = "logprobs"
    SCHEMA = "schema"
    WORDS = "words"


REASONS: Mapping[Way, str] = {
    Way.LOGPROBS: "approximate: the probabilities of one token, not scores of whole labels",
    Way.SCHEMA: "no probabilities: the label that was chosen counts as 1",
    Way.WORDS: "no probabilities and no guarantee: the label that was named counts as 1",
}


@dataclass(frozen=True, slots=True)
class Manner:
    """What is known of a server's manner of speaking."""

    way: Way = Way.LOGPROBS
    limit_name: str = "max_tokens"
    """Newer servers want `max_completion_tokens`."""


def chat_body(spec: Spec, text: str, seed: int, manner: Manner) -> dict[str, object]:
    """Return the request for a row of a prompt or schema task."""
    task = spec.task
    assert isinstance(task, PromptTask | SchemaTask)  # noqa: S101 - the caller looked
    system = [{"role": "system", "content": task.system}] if task.system else []
    body: dict[str, object] = {
        "model": spec.model,
        "messages": [*system, {"role": "user", "content": text}],
        "temperature": task.temperature,
        manner.limit_name: task.max_tokens,
        "seed": seed,
    }
    if isinstance(task, SchemaTask):
        body["response_format"] = _format("row", json.loads(task.schema))
    return body


def read_chat(reply: Fields) -> Answer:
    """Return what a server wrote."""
    choice = next(reply.each("choices"), Fields({}))
    usage = reply.fields("usage")
    return Written(
        choice.fields("message").text("content"),
        "length" if choice.text("finish_reason") == "length" else "stop",
        usage.whole("prompt_tokens"),
        usage.whole("completion_tokens"),
    )


def embed_body(spec: Spec, texts: Sequence[str], dimensions: int | None) -> dict[str, object]:
    """Return the request for vectors."""
    body: dict[str, object] = {"model": spec.model, "input": list(texts)}
    return body | ({"dimensions": dimensions} if dimensions else {})


def read_vectors(reply: Fields) -> list[Answer]:
    """Return the vectors of a reply in the order of the texts, each of length 1."""
    found = sorted(reply.each("data"), key=lambda each: each.whole("index"))
    return [_unit(each.values.get("embedding")) for each in found]


def _unit(value: object) -> Answer:
    numbers = [float(each) for each in value] if isinstance(value, list) else []
    length = math.sqrt(math.fsum(each * each for each in numbers))
    if not numbers or not math.isfinite(length) or length == 0:
        return Refused("the endpoint gave no vector for it")
    return Vector(tuple(each / length for each in numbers))


def label_bodies(spec: Spec, text: str, manner: Manner) -> list[dict[str, object]]:
    """Return the requests for one row of a label task: one, or one for each label that may fit."""
    task = spec.task
    assert isinstance(task, LabelTask)  # noqa: S101 - the caller looked
    if task.multi and manner.way is Way.LOGPROBS:
        asked = [_asked_yes_no(task, text, each) for each in task.labels]
    else:
        asked = [_asked(task, text, manner.way)]
    return [_label_body(spec, task, each, manner) for each in asked]


def _label_body(spec: Spec, task: LabelTask, asked: str, manner: Manner) -> dict[str, object]:
    body: dict[str, object] = {
        "model": spec.model,
        "messages": [{"role": "user", "content": asked}],
        "temperature": 0,
        "seed": spec.seed,
    }
    if manner.way is Way.LOGPROBS:
        return body | {manner.limit_name: 1, "logprobs": True, "top_logprobs": MOST_KEYS}
    body[manner.limit_name] = _WORDS * (len(task.labels) if task.multi else 1)
    if manner.way is Way.SCHEMA:
        body["response_format"] = _format("label", _label_schema(task))
    return body


def read_labels(task: LabelTask, replies: Sequence[Fields], way: Way) -> Answer:
    """Return a row's answer from the replies to its requests."""
    if way is Way.LOGPROBS:
        return _by_logprobs(task, replies)
    if not replies:
        return Refused("the endpoint gave no answer")
    text = next(replies[0].each("choices"), Fields({})).fields("message").text("content")
    names = _named_in_json(text) if way is Way.SCHEMA else _named_in_words(task, text)
    chosen = {label.name for label in task.labels} & set(names)
    if task.multi:
        if not chosen and names:
            return Refused("the model named none of the labels")
        return Scored(tuple(CERTAIN if e.name in chosen else -CERTAIN for e in task.labels))
    if len(chosen) != 1:
        return Refused("the model named no label, or several")
    return Scored(tuple(0.0 if each.name in chosen else -CERTAIN for each in task.labels))


def _by_logprobs(task: LabelTask, replies: Sequence[Fields]) -> Answer:
    keys = (_YES, _NO) if task.multi else tuple(_KEYS[: len(task.labels)])
    rows = [_scores(reply, keys) for reply in replies]
    found = [row for row in rows if row is not None]
    if len(found) < len(rows):
        return Refused("the model answers with no category")
    if not task.multi:
        return Scored(found[0])
    return Scored(tuple(yes - no for yes, no in found))


def _scores(reply: Fields, keys: Sequence[str]) -> tuple[float, ...] | None:
    """Return the logarithm of each key's probability, over every way in which a token says it."""
    likely = _likely(reply)
    if not likely:
        return None
    least = min(likely.values()) - _UNSEEN
    shares: dict[str, float] = {}
    for token, logprob in likely.items():
        key = token.strip(_STRIPPED).casefold()
        shares[key] = shares.get(key, 0.0) + math.exp(logprob)
    if not any(shares.get(key.casefold()) for key in keys):
        return None
    return tuple(
        math.log(share) if (share := shares.get(key.casefold(), 0.0)) else least for key in keys
    )


def _likely(reply: Fields) -> dict[str, float]:
    choice = next(reply.each("choices"), Fields({}))
    first = next(choice.fields("logprobs").each("content"), Fields({}))
    found = {}
    for each in first.each("top_logprobs"):
        number = each.values.get("logprob")
        if isinstance(number, int | float) and math.isfinite(number):
            found[each.text("token")] = float(number)
    return found


def _asked(task: LabelTask, text: str, way: Way) -> str:
    first = task.instruction or (
        "Name every category that fits the text."
        if task.multi
        else "Choose the category that fits the text best."
    )
    keys = _KEYS if way is Way.LOGPROBS else ("-",) * len(task.labels)
    listed = "\n".join(
        f"{key}{':' if way is Way.LOGPROBS else ''} {_described(each)}"
        for key, each in zip(keys, task.labels, strict=False)
    )
    last = {
        Way.LOGPROBS: "Answer with the letter of the category alone.",
        Way.SCHEMA: "Answer with the name of the category in JSON.",
        Way.WORDS: "Answer with the name of the category alone, and with nothing else.",
    }[way]
    last = last.replace("name of the category", "names of the categories") if task.multi else last
    return f"{first}\n\nCategories:\n{listed}\n\nText: {text}\n\n{last}"


def _asked_yes_no(task: LabelTask, text: str, label: Label) -> str:
    first = task.instruction or "Say whether the category fits the text."
    return (
        f"{first}\n\nText: {text}\n\nCategory: {_described(label)}\n\nAnswer with Yes or No alone."
    )


def _label_schema(task: LabelTask) -> dict[str, object]:
    one: dict[str, object] = {"type": "string", "enum": [each.name for each in task.labels]}
    field: dict[str, object] = {"type": "array", "items": one} if task.multi else one
    return {
        "type": "object",
        "properties": {"label": field},
        "required": ["label"],
        "additionalProperties": False,
    }


def _format(name: str, schema: object) -> dict[str, object]:
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "strict": True, "schema": schema},
    }


def _named_in_json(text: str) -> list[str]:
    try:
        value = Fields(json.loads(text)).values.get("label")
    except ValueError:
        return [text]
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _named_in_words(task: LabelTask, text: str) -> list[str]:
    """Return the labels that a text is, or, where several may fit, that its parts are."""
    by_word = {each.name.casefold(): each.name for each in task.labels}
    parts = text.replace("\n", ",").split(",") if task.multi else [text]
    words = [part.strip(_STRIPPED) for part in parts if part.strip(_STRIPPED)]
    if task.multi and [word.casefold() for word in words] == ["none"]:
        return []
    return [by_word.get(word.casefold(), word) for word in words]


def _described(label: Label) -> str:
    return f"{label.name}: {label.description}" if label.description else label.name

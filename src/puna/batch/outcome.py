"""From a worker's answer to what the job keeps of it, and back from the bytes on the disk.

What is kept is decided by the task alone: the label and how sure it is, not the scores of a hundred
labels, so ten million rows of labels are 200 MB on the disk.
"""

import json
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

import numpy as np

from puna.batch.spec import LabelTask, Task
from puna.batch.strings import Packed, pack_strings
from puna.batch.workers.worker import Answer, Known, Refused, Scored, Vector, Written

ABSTAINED = -1
_FITS = 0.5
_ONE = Struct("<cidd")
_MANY = Struct("<id")
_COLUMNS = np.dtype([("kind", "S1"), ("label", "<i4"), ("probability", "<f8"), ("margin", "<f8")])
"""`_ONE`, for many at once."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """The label that fits best, by its place in the task; `ABSTAINED` where none is sure enough."""

    label: int
    probability: float
    margin: float
    """By how much its probability exceeds the next one's; 1 where there is no other."""
    is_guess: bool = False
    """Whether a cascade's classifier gave it, and not the model."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """All labels that fit, each with its probability, in the task's order."""

    labels: tuple[tuple[int, float], ...]


Outcome = Labelled | Fitting | Written | Vector | Refused


def keep(task: Task, answers: Sequence[Answer]) -> Packed:
    """Return what is kept of the answers of a shard."""
    if isinstance(task, LabelTask) and not task.multi:
        rows = [each.scores for each in answers if isinstance(each, Scored)]
        if len(rows) == len(answers) and {len(each) for each in rows} == {len(task.labels)}:
            scores = np.array(rows, float)
            if np.isfinite(scores).all():
                return _best_of(task, scores)
    return pack_strings([pack(judge(task, each)) for each in answers])


def least_bytes(task: Task) -> int:
    """Return how many bytes an outcome of a task has, at least for most rows."""
    is_one = isinstance(task, LabelTask) and not task.multi
    return _ONE.size if is_one else 1


def count_refused(outcomes: Packed) -> int:
    """Return how many of some outcomes are refusals."""
    return int(np.count_nonzero(outcomes.firsts == ord("R")))


def judge(task: Task, answer: Answer) -> Outcome:
    """Return what an answer means for the task."""
    if isinstance(answer, Known):
        return unpack(answer.outcome)
    if not isinstance(answer, Scored):
        return answer
    if not isinstance(task, LabelTask) or len(answer.scores) != len(task.labels):
        return Refused(f"the worker gave {len(answer.scores)} scores")
    if not all(map(math.isfinite, answer.scores)):
        return Refused("the model gives no probabilities for it")
    if task.multi:
        return _fitting(task, answer.scores)
    found = unpack(next(iter(_best_of(task, np.array([answer.scores], float)))))
    assert isinstance(found, Labelled)  # noqa: S101 - it is what was packed
    return found


def _best_of(
    task: LabelTask, scores: "np.ndarray[tuple[int, int], np.dtype[np.float64]]"
) -> Packed:
    """Return the packed label of each row of scores."""
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    found = np.zeros(len(scores), _COLUMNS)
    found["kind"] = b"L"
    found["label"] = scores.argmax(axis=1)
    shares.sort(axis=1)
    found["probability"] = shares[:, -1]
    found["margin"] = shares[:, -1] - shares[:, -2] if len(task.labels) > 1 else 1.0
    found["label"][found["probability"] < task.abstain_below] = ABSTAINED
    return Packed(found.tobytes(), np.arange(1, len(scores) + 1) * _COLUMNS.itemsize)


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Outcomes of rows that have one label each, as columns."""

    labels: "np.ndarray[tuple[int], np.dtype[np.int32]]"
    probabilities: "np.ndarray[tuple[int], np.dtype[np.float64]]"
    margins: "np.ndarray[tuple[int], np.dtype[np.float64]]"
    guessed: "np.ndarray[tuple[int], np.dtype[np.bool_]]"


def labelled_rows(outcomes: Packed) -> LabelledRows | None:
    """Return outcomes as columns; None if not all are labels."""
    if (outcomes.lengths != _ONE.size).any():
        return None
    found = np.frombuffer(outcomes.content, _COLUMNS)
    if not np.isin(found["kind"], (b"L", b"G")).all():
        return None
    guessed = found["kind"] == b"G"
    return LabelledRows(found["label"], found["probability"], found["margin"], guessed)


def _fitting(task: LabelTask, scores: Sequence[float]) -> Fitting:
    least = max(_FITS, task.abstain_below)
    chances = [_chance(each) for each in scores]
    return Fitting(tuple((place, each) for place, each in enumerate(chances) if each >= least))


def _chance(odds: float) -> float:
    if odds >= 0:
        return 1 / (1 + math.exp(-odds))
    share = math.exp(odds)
    return share / (1 + share)


def pack(outcome: Outcome) -> bytes:
    """Return an outcome as bytes; equal outcomes are equal bytes."""
    match outcome:
        case Labelled(label, probability, margin, is_guess):
            return _ONE.pack(b"G" if is_guess else b"L", label, probability, margin)
        case Fitting(labels):
            return b"F" + b"".join(_MANY.pack(*each) for each in labels)
        case Written(text, finish, prompt_tokens, output_tokens):
            fields = [text, finish, prompt_tokens, output_tokens]
            return b"W" + json.dumps(fields).encode()
        case Vector(values):
            return b"V" + array("f", values).tobytes()
        case Refused(reason):
            return b"R" + reason.encode(errors="replace")


def unpack(packed: bytes) -> Outcome:
    """Return the outcome that was packed."""
    kind, body = packed[:1], packed[1:]
    match kind:
        case b"L" | b"G":
            _, label, probability, margin = _ONE.unpack(packed)
            return Labelled(label, probability, margin, is_guess=kind == b"G")
        case b"F":
            return Fitting(tuple(_MANY.iter_unpack(body)))
        case b"W":
            return Written(*json.loads(body))
        case b"V":
            return Vector(tuple(array("f", body)))
    return Refused(body.decode())

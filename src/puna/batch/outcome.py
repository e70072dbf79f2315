"""From a worker's answer to what the job keeps of it, and back from the bytes on the disk.

What is kept is decided by the task alone: the label and how sure it is, not the scores of a hundred
labels, so ten million rows of labels are 200 MB on the disk.
"""

import json
import math
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from puna.batch.spec import LabelTask, Task
from puna.batch.workers.worker import Answer, Known, Refused, Scored, Vector, Written

ABSTAINED = -1
_FITS = 0.5
_ONE = struct.Struct("<cidd")
_MANY = struct.Struct("<id")


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
    return _fitting(task, answer.scores) if task.multi else _best(task, answer.scores)


def _best(task: LabelTask, scores: Sequence[float]) -> Labelled:
    top = max(scores)
    shares = [math.exp(each - top) for each in scores]
    total = math.fsum(shares)
    first, *others = sorted((each / total for each in shares), reverse=True)
    margin = first - others[0] if others else 1.0
    label = scores.index(top) if first >= task.abstain_below else ABSTAINED
    return Labelled(label, first, margin)


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

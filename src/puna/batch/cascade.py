"""A small classifier takes the clear rows, the model the rest: as far as a sample proves it.

The model labels a random sample of the distinct rows, the lessons. Most of them teach a classifier;
some choose from which margin on it may answer; the rest, which neither has seen, are the proof. Of
those that it would answer, so many must agree with the model that the exact one-sided 95 % bound
reaches what was asked for; else the model labels every row, and that is said.

Several margins are tried on the proof, in an order that was fixed before, the likeliest first, and
the first that fails ends it. Tried so, all that passed hold together with 95 % (a fixed sequence of
tests needs no correction); taking the best of many would not.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from puna.batch.bound import lower_bound, rows_to_prove
from puna.batch.ngrams import BadClassifier, Classifier, Guess, train
from puna.errors import Invalid

_LEAST_LESSONS, _MOST_LESSONS = 1500, 40_000
_SHARE_OF_ROWS = 8
"""One row of so many is a lesson, where that is enough."""
_MOST_SHARE = 3
"""At most one row of so many is a lesson: else there is too little left to save."""
_TAUGHT, _CHOSEN = 0.5, 0.65
"""Lessons up to here teach, and up to there choose."""
_COVERAGES = tuple(percent / 100 for percent in range(5, 101, 5))
_HIGHEST = 0.999
_NEVER = -1
"""The margin of a row that the classifier must leave to the model whatever its real one."""
_LEAST_HOPE = 1.0
"""Below this many units of noise above the target, a proof would be luck."""


class NoCascade(Invalid):
    """The job cannot have a cascade at all; the message says why."""

    code = "no_cascade"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the proof showed. Without a margin the classifier answers nothing."""

    target: float
    why: str
    margin: int | None = None
    agreed: int = 0
    of: int = 0
    """Rows of the proof that the classifier would answer."""
    proof: int = 0
    """Rows of the proof."""
    bound: float = 0.0
    least: float = 0.0
    """The classifier answers only where it gives its label this probability."""

    def takes(self, guess: Guess) -> bool:
        """Whether the classifier's answer counts, so that the model is spared the row."""
        if self.margin is None or guess.margin < self.margin:
            return False
        return not self.least or guess.chances[0] >= self.least

    @property
    def words(self) -> str:
        """The verdict in a sentence."""
        if self.margin is None:
            return f"The classifier answers no rows: {self.why}"
        return (
            f"The classifier answers about {self.of / self.proof:.0%} of the rows. At least "
            f"{self.bound:.2%} of those agree with the model, with 95 % confidence: {self.agreed} "
            f"of {self.of} held-out rows do"
        )


@dataclass(frozen=True, slots=True)
class Cascade:
    """A classifier and how far it may be trusted: what decides which rows the model is spared."""

    classifier: Classifier | None
    verdict: Verdict

    def answers(self, texts: Sequence[str]) -> list[Guess | None]:
        """Return the classifier's answers, None where a row is for the model."""
        if self.classifier is None:
            return [None] * len(texts)
        guesses = self.classifier.guess(texts)
        return [guess if self.verdict.takes(guess) else None for guess in guesses]

    def to_bytes(self) -> bytes:
        """Return the content of the job's file: the verdict in JSON, then the weights."""
        head = json.dumps(asdict(self.verdict), sort_keys=True).encode()
        return head + b"\n" + (self.classifier.to_bytes() if self.classifier else b"")

    @classmethod
    def from_bytes(cls, content: bytes) -> "Cascade":
        """Read what `to_bytes` wrote. Raises `BadClassifier`."""
        head, _, body = content.partition(b"\n")
        try:
            verdict = Verdict(**json.loads(head))
        except (ValueError, TypeError) as error:
            raise BadClassifier("the classifier of the job cannot be read") from error
        return cls(Classifier.from_bytes(body) if body else None, verdict)


def check_target(target: float) -> None:
    """Raise `NoCascade` for an agreement that nothing can prove or that proves nothing."""
    if not 0.5 <= target <= _HIGHEST:  # noqa: PLR2004 - half is a coin
        raise NoCascade(
            f"an agreement of {target:g} makes no cascade",
            hint="ask for 0.5 to 0.999, such as 0.98",
        )


def lesson_count(rows: int, target: float) -> int:
    """Return how many of the distinct rows the model labels first; 0 where that saves nothing."""
    held_out = 1 - _CHOSEN
    needed = max(_LEAST_LESSONS, round(4 * rows_to_prove(target) / held_out))
    if needed > rows // _MOST_SHARE:
        return 0
    return max(needed, min(_MOST_LESSONS, rows // _SHARE_OF_ROWS))


def choose_lessons(rows: int, count: int, seed: int) -> tuple[int, ...]:
    """Return the numbers of the lessons among the distinct rows, in order."""
    dice = np.random.Generator(np.random.PCG64(seed))
    chosen: dict[int, None] = {}
    while len(chosen) < count:
        more = dice.integers(0, rows, size=count - len(chosen)).tolist()
        chosen.update(dict.fromkeys(more))
    return tuple(sorted(chosen))


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a classifier is to learn."""

    labels: int
    """How many labels there are."""
    target: float
    """The agreement that must be proved."""
    least: float = 0.0
    """The probability below which a row gets no label."""
    seed: int = 0


def learn(texts: Sequence[str], labels: Sequence[int | None], aim: Aim) -> Cascade:
    """Make the classifier from rows that the model labelled, and prove how far it agrees.

    A row without a label, since the model abstained or refused, teaches nothing and never agrees.
    """
    count, target, seed = aim.labels, aim.target, aim.seed
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(texts)).tolist()
    taught, chosen = (round(share * len(order)) for share in (_TAUGHT, _CHOSEN))
    known = [row for row in order[:taught] if labels[row] is not None]
    if len(known) < 2 * count:
        why = f"the model labelled {len(known)} of its {taught} lessons"
        return Cascade(None, Verdict(target=target, why=why))
    truth = [label for row in known if (label := labels[row]) is not None]
    classifier = train([texts[row] for row in known], truth, count=count, seed=seed)

    def marks(rows: Sequence[int]) -> list[tuple[int, bool]]:
        guesses = classifier.guess([texts[row] for row in rows])
        return [
            (guess.margin if _may(guess, aim) else _NEVER, guess.label == labels[row])
            for guess, row in zip(guesses, rows, strict=True)
        ]

    margins = candidate_margins(marks(order[taught:chosen]), target)
    verdict = replace(prove(marks(order[chosen:]), margins, target), least=aim.least)
    return Cascade(classifier if verdict.margin is not None else None, verdict)


def _may(guess: Guess, aim: Aim) -> bool:
    return not aim.least or guess.chances[0] >= aim.least


def candidate_margins(marks: Sequence[tuple[int, bool]], target: float) -> tuple[int, ...]:
    """Return the margins worth a proof, in the order of trial, by rows that are no part of it.

    A mark is the classifier's margin on a row, and whether it agrees with the model there. First
    comes the margin that is likeliest to pass, then those below it, each of which takes more rows.
    """
    ordered = sorted((margin for margin, _ in marks), reverse=True)
    margins = dict.fromkeys(
        ordered[max(1, round(share * len(ordered))) - 1] for share in _COVERAGES if ordered
    )
    hopes = {
        margin: _agreement(marks, margin).hope(target) for margin in margins if margin > _NEVER
    }
    if not hopes or max(hopes.values()) < _LEAST_HOPE:
        return ()
    best = max(hopes, key=lambda margin: hopes[margin])
    return tuple(margin for margin in hopes if margin <= best)


def prove(marks: Sequence[tuple[int, bool]], margins: Sequence[int], target: float) -> Verdict:
    """Try the margins in their order on held-out rows, up to the first whose bound is too low."""
    nothing = Verdict(target=target, proof=len(marks), why=_hopeless(target))
    passed, failed = None, None
    for margin in margins:
        found = _agreement(marks, margin)
        if found.of < rows_to_prove(target):
            continue  # by its number alone it proves nothing, whatever agrees
        if found.bound < target:
            failed = found
            break
        passed = Verdict(
            target=target,
            why="",
            margin=margin,
            agreed=found.agreed,
            of=found.of,
            proof=len(marks),
            bound=found.bound,
        )
    if passed is not None:
        return passed
    if failed is None:
        return nothing
    why = f"{failed.agreed} of {failed.of} held-out rows agree, which proves {failed.bound:.2%}"
    return Verdict(
        target=target,
        proof=len(marks),
        agreed=failed.agreed,
        of=failed.of,
        bound=failed.bound,
        why=f"{why} and not {target:.2%}",
    )


def _hopeless(target: float) -> str:
    return f"on no part of the lessons does it come near an agreement of {target:.2%}"


@dataclass(frozen=True, slots=True)
class _Agreement:
    agreed: int
    of: int

    @property
    def bound(self) -> float:
        return lower_bound(self.agreed, self.of)

    def hope(self, target: float) -> float:
        """How far above the target the agreement will be in a proof, in units of its noise.

        A row more of each kind is added, so that few rows of which all agree promise little.
        """
        share = (self.agreed + 1) / (self.of + 2)
        return (share - target) * math.sqrt(self.of / (target * (1 - target)))


def _agreement(marks: Sequence[tuple[int, bool]], margin: int) -> _Agreement:
    taken = [agrees for each, agrees in marks if each >= margin]
    return _Agreement(sum(taken), len(taken))

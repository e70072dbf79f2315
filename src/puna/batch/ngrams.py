"""A small classifier that reads letters, not meaning: for the clear rows of a long list.

A row is the bag of its words and of its runs of two to five bytes; each has a place by its hash
and there a weight for each label. Training is multinomial logistic regression. Weights are whole
numbers, and so is everything that decides a row: the answer is the same on every processor, in
any order and in any company, which is what makes a resumed job equal to an unbroken one.
"""

import json
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from puna.errors import Failed

Ints = npt.NDArray[np.int64]
_Hashes = npt.NDArray[np.uint64]
_Floats = npt.NDArray[np.float64]

_PLACES = 2**16
_SHORTEST, _LONGEST = 2, 5
_MOST_BYTES = 2048
"""Of a longer text the beginning counts."""
_UNIT = 2**12
"""A weight of 1 as a whole number."""
_MOST_WEIGHT = 30
"""So that the weights of the longest text add up within 32 bits."""
_ODD = 0x9E3779B97F4A7C15
"""The base of the hash; odd, so that it has an inverse among 64-bit numbers."""
_INVERSE = pow(_ODD, -1, 2**64)
_WORD_SALT = 0xD6E8FEB86659FD93
_MIX = 0xBF58476D1CE4E5B9
_SPACE = 32
_ROUNDS = 12
_STEP_ROWS = 256
_AT_ONCE = 256
_RATE = 0.5
_SHRINK = 0.02
_MAGIC = "puna classifier 1"


class BadClassifier(Failed):
    """A stored classifier is damaged."""

    code = "bad_classifier"


@dataclass(frozen=True, slots=True)
class Guess:
    """What the classifier says of one text."""

    label: int
    margin: int
    """What the best label has before the next, in 4096ths of a natural logarithm."""
    scores: tuple[float, ...]
    """Natural logarithms of the labels' probabilities, up to a constant that they share."""

    @property
    def chances(self) -> tuple[float, float]:
        """The probability of the label, and what it has before the next one's."""
        top = max(self.scores)
        shares = sorted((math.exp(each - top) for each in self.scores), reverse=True)
        total = math.fsum(shares)
        return shares[0] / total, (shares[0] - shares[1]) / total


class Classifier:
    """Weights for each place and label."""

    def __init__(self, weights: npt.NDArray[np.int32]) -> None:
        self._weights = weights

    @property
    def labels(self) -> int:
        """The number of labels."""
        return int(self._weights.shape[1])

    def guess(self, texts: Sequence[str]) -> list[Guess]:
        """Say which label fits each text."""
        return [
            guess
            for place in range(0, len(texts), _AT_ONCE)
            for guess in self._guess(texts[place : place + _AT_ONCE])
        ]

    def _guess(self, texts: Sequence[str]) -> list[Guess]:
        totals = self._totals(texts)
        ordered = np.sort(totals, axis=1)
        margins = ordered[:, -1] - ordered[:, -2]
        best = totals.argmax(axis=1)
        return [
            Guess(int(label), int(margin), tuple((row / _UNIT).tolist()))
            for label, margin, row in zip(best, margins, totals, strict=True)
        ]

    def _totals(self, texts: Sequence[str]) -> Ints:
        places, starts = _features(texts)
        sums = np.add.reduceat(self._weights[places], starts, axis=0).astype(np.int64)
        counts = np.diff(np.append(starts, len(places)))
        totals: Ints = sums * _scale(counts)[:, None] // _UNIT
        return totals

    def to_bytes(self) -> bytes:
        """Return the weights for a file."""
        head = json.dumps({"made": _MAGIC, "labels": self.labels}).encode()
        return head + b"\n" + zlib.compress(self._weights.astype("<i4").tobytes(), 6)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what `to_bytes` wrote. Raises `BadClassifier`."""
        head, _, body = content.partition(b"\n")
        try:
            labels = json.loads(head)["labels"]
            numbers = np.frombuffer(zlib.decompress(body), "<i4")
            weights = numbers.reshape(_PLACES, labels).astype(np.int32)
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise BadClassifier("the classifier of the job cannot be read") from error
        return cls(weights)


def train(texts: Sequence[str], labels: Sequence[int], *, count: int, seed: int) -> Classifier:
    """Learn which label belongs to which texts. The same seed gives the same weights."""
    dice = np.random.Generator(np.random.PCG64(seed))
    weights = np.zeros((_PLACES, count))
    steps = np.full((_PLACES, count), 1e-8)
    places, starts = _features(texts)
    ends = np.append(starts[1:], len(places))
    truth = np.asarray(labels)
    for _ in range(_ROUNDS):
        order = dice.permutation(len(texts))
        for some in _stretches(order):
            rows = [places[starts[row] : ends[row]] for row in some]
            _learn(weights, steps, rows, truth[some])
    kept = np.clip(weights, -_MOST_WEIGHT, _MOST_WEIGHT)
    return Classifier(np.rint(kept * _UNIT).astype(np.int32))


def _learn(weights: _Floats, steps: _Floats, rows: Sequence[Ints], truth: Ints) -> None:
    """Take one step of Adagrad."""
    counts = np.array([len(row) for row in rows])
    starts = np.append(0, np.cumsum(counts)[:-1])
    places = np.concatenate(rows)
    share = _scale(counts)[:, None] / _UNIT
    logits = np.add.reduceat(weights[places], starts, axis=0) * share
    logits -= logits.max(axis=1, keepdims=True)
    chances = np.exp(logits)
    chances /= chances.sum(axis=1, keepdims=True)
    chances[np.arange(len(rows)), truth] -= 1
    pulls = np.repeat(chances * share, counts, axis=0)
    order = np.argsort(places, kind="stable")
    touched, first = np.unique(places[order], return_index=True)
    slope = np.add.reduceat(pulls[order], first, axis=0) + _SHRINK * weights[touched]
    steps[touched] += slope * slope
    weights[touched] -= _RATE * slope / np.sqrt(steps[touched])


def _stretches(order: Ints) -> Iterator[Ints]:
    for place in range(0, len(order), _STEP_ROWS):
        yield order[place : place + _STEP_ROWS]


def _scale(counts: Ints) -> Ints:
    """Return one over the square root of each count, as whole numbers: long rows weigh no more."""
    scaled: Ints = np.rint(_UNIT / np.sqrt(counts.astype(np.float64))).astype(np.int64)
    return scaled


def _features(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """Return the places of all features, text after text, and where each text begins.

    All runs of bytes are hashed together: with the sums of byte times power at each position, the
    hash of any run is a difference of two sums, moved back to the beginning by the inverse power.
    """
    raw = [b" " + _plain(text) + b" " for text in texts]
    letters = np.frombuffer(b"".join(raw), np.uint8)
    lengths = np.array([len(each) for each in raw])
    owner = np.repeat(np.arange(len(raw)), lengths)
    with np.errstate(over="ignore"):
        sums, back = _sums(letters)
        hashes, owners = [], []
        for size in range(_SHORTEST, _LONGEST + 1):
            first = np.arange(max(0, len(letters) - size + 1))
            first = first[owner[first] == owner[first + size - 1]]
            hashes.append((sums[first + size] - sums[first]) * back[first] + np.uint64(size))
            owners.append(owner[first])
        first, last = _words(letters, owner)
        salted = (sums[last] - sums[first]) * back[first] ^ np.uint64(_WORD_SALT)
        hashes.append(salted)
        owners.append(owner[first])
        places = _place(np.concatenate(hashes))
    owned = np.concatenate(owners)
    order = np.argsort(owned, kind="stable")
    starts = np.searchsorted(owned[order], np.arange(len(raw)))
    return places[order], starts


def _plain(text: str) -> bytes:
    words = " ".join(text.casefold().split())
    return words.encode("utf-8", "replace")[:_MOST_BYTES]


def _sums(letters: npt.NDArray[np.uint8]) -> tuple[_Hashes, _Hashes]:
    size = len(letters)
    powers = np.cumprod(np.append(np.uint64(1), np.full(size, _ODD, np.uint64)), dtype=np.uint64)
    back = np.cumprod(np.append(np.uint64(1), np.full(size, _INVERSE, np.uint64)), dtype=np.uint64)
    terms = (letters.astype(np.uint64) + np.uint64(1)) * powers[:size]
    return np.append(np.uint64(0), np.cumsum(terms, dtype=np.uint64)), back


def _words(letters: npt.NDArray[np.uint8], owner: Ints) -> tuple[Ints, Ints]:
    """Return where each word begins and ends."""
    del owner  # every text begins and ends with a blank: no word crosses a border
    is_word = letters != _SPACE
    turns = np.flatnonzero(np.diff(is_word.astype(np.int8)))
    return turns[0::2] + 1, turns[1::2] + 1


def _place(hashes: _Hashes) -> Ints:
    mixed = hashes ^ (hashes >> np.uint64(29))
    mixed *= np.uint64(_MIX)
    mixed ^= mixed >> np.uint64(32)
    placed: Ints = (mixed % np.uint64(_PLACES)).astype(np.int64)
    return placed

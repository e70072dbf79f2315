"""What the rows of a job came to: counted while its output is written, kept for its report."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from puna.batch.outcome import ABSTAINED, Fitting, Labelled, LabelledRows, Outcome
from puna.batch.report import BINS
from puna.batch.spec import LabelTask, Task
from puna.batch.workers.worker import Written

CENSUS = "census.json"
"""Its name in the job's folder."""
_MOST_REASONS = 50
_OTHERS = "other reasons"
_NUMBER = re.compile(r"\d[\d,.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The counts of a job's rows."""

    labels: dict[str, int] = field(default_factory=dict)
    confidence: tuple[int, ...] = ()
    failures: dict[str, int] = field(default_factory=dict)
    done: int = 0
    abstained: int = 0
    by_classifier: int = 0
    cut: int = 0

    def to_json(self) -> bytes:
        """Return it as it stands in the job's folder."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(values).encode()

    @classmethod
    def from_json(cls, content: bytes | None) -> "Counted":
        """Read what `to_json` wrote; what cannot be read counts nothing."""
        try:
            values = json.loads(content or b"{}")
            return cls(**{**values, "confidence": tuple(values.get("confidence", ()))})
        except (ValueError, TypeError, AttributeError):
            return cls()


class Census:
    """Counts rows one by one."""

    def __init__(self, task: Task) -> None:
        self._names = _names(task)
        self._labels = [0] * len(self._names)
        self._bins = [0] * BINS if self._names else []
        self._failures: Counter[str] = Counter()
        self._done = self._abstained = self._by_classifier = self._cut = 0

    def take(self, outcome: Outcome) -> None:
        """Count a row that has an answer."""
        self._done += 1
        match outcome:
            case Labelled(label, probability, _, is_guess):
                self._bins[_bin(probability)] += 1
                self._by_classifier += is_guess
                if label == ABSTAINED:
                    self._abstained += 1
                else:
                    self._labels[label] += 1
            case Fitting(labels):
                self._abstained += not labels
                for label, probability in labels:
                    self._labels[label] += 1
                    self._bins[_bin(probability)] += 1
            case Written(finish=finish):
                self._cut += finish == "length"
            case _:
                pass

    def take_all(self, rows: LabelledRows) -> None:
        """Count rows that have one label each."""
        self._done += len(rows.labels)
        self._by_classifier += int(np.count_nonzero(rows.guessed))
        self._abstained += int(np.count_nonzero(rows.labels == ABSTAINED))
        found = np.bincount(rows.labels[rows.labels >= 0], minlength=len(self._labels))
        bins = np.clip((rows.probabilities * BINS).astype(int), 0, BINS - 1)
        for counts, more in ((self._labels, found), (self._bins, np.bincount(bins))):
            for place, count in enumerate(more.tolist()):
                counts[place] += count

    def fail(self, reason: str) -> None:
        """Count a row without an answer. Reasons that differ in numbers alone are one."""
        said = _NUMBER.sub("N", reason)
        if said not in self._failures and len(self._failures) >= _MOST_REASONS:
            said = _OTHERS
        self._failures[said] += 1

    def counted(self) -> Counted:
        """Return the counts."""
        return Counted(
            labels=dict(zip(self._names, self._labels, strict=True)),
            confidence=tuple(self._bins),
            failures=dict(self._failures),
            done=self._done,
            abstained=self._abstained,
            by_classifier=self._by_classifier,
            cut=self._cut,
        )


def _names(task: Task) -> tuple[str, ...]:
    return tuple(each.name for each in task.labels) if isinstance(task, LabelTask) else ()


def _bin(probability: float) -> int:
    return min(BINS - 1, max(0, int(probability * BINS)))

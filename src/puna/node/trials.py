"""Whether guessing ahead pays: a while with it, a while without, then the faster way is kept.

What speculation gains depends on the model, the machine and what people ask, and a guess that fails
costs as much as the tokens that it was to save. llama.cpp cannot switch it for one request, so each
arm of the trial is a load of its own, and the change comes when the model is idle. Pure.
"""

from dataclasses import dataclass, field
from pathlib import Path

from puna.units import Span

ENOUGH_TOKENS = 256
"""Tokens generated in each arm before it is judged: some seconds of answers."""


@dataclass(slots=True)
class _Arm:
    tokens: int = 0
    span: int = 0

    @property
    def is_known(self) -> bool:
        return self.tokens >= ENOUGH_TOKENS

    @property
    def pace(self) -> float:
        """Tokens a second."""
        return self.tokens * 1e9 / max(1, self.span)


@dataclass(slots=True)
class _Trial:
    guessing: _Arm = field(default_factory=_Arm)
    plain: _Arm = field(default_factory=_Arm)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How fast a model answered with speculation and without, in tokens a second."""

    guessing: float
    plain: float

    @property
    def pays(self) -> bool:
        """Whether speculation stays on."""
        return self.guessing > self.plain

    def __str__(self) -> str:
        return f"{self.guessing:.1f} tokens/s with speculation, {self.plain:.1f} without"


class SpeedTrials:
    """One trial for each model, kept while the node runs."""

    def __init__(self) -> None:
        self._trials: dict[Path, _Trial] = {}

    def verdict(self, weights: Path) -> Verdict | None:
        """Return what was found; None while the trial goes on."""
        trial = self._trials.get(weights)
        if trial is None or not (trial.guessing.is_known and trial.plain.is_known):
            return None
        return Verdict(trial.guessing.pace, trial.plain.pace)

    def is_on(self, weights: Path) -> bool:
        """Tell whether the next load of a model should guess ahead."""
        if verdict := self.verdict(weights):
            return verdict.pays
        trial = self._trials.get(weights)
        return trial is None or not trial.guessing.is_known

    def is_open(self, weights: Path) -> bool:
        """Tell whether a trial has begun and wants to know more."""
        return weights in self._trials and self.verdict(weights) is None

    def told(self, weights: Path, *, guessing: bool, tokens: int, span: Span) -> Verdict | None:
        """Count an answer that was computed alone; return the verdict that this brings, if any."""
        if self.verdict(weights) is not None:
            return None
        trial = self._trials.setdefault(weights, _Trial())
        arm = trial.guessing if guessing else trial.plain
        arm.tokens += tokens
        arm.span += span
        return self.verdict(weights)

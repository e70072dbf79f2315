"""When speculation is on: tried, compared, and the faster way kept."""

from pathlib import Path

import pytest

from puna.node.trials import ENOUGH_TOKENS, SpeedTrials
from puna.units import Span

MODEL = Path("/a")


def told(trials: SpeedTrials, *, guessing: bool, seconds: float, tokens: int = 0) -> None:
    trials.told(
        MODEL, guessing=guessing, tokens=tokens or ENOUGH_TOKENS, span=Span.of(seconds=seconds)
    )


def test_a_model_begins_with_speculation_and_then_goes_on_without() -> None:
    trials = SpeedTrials()
    assert trials.is_on(MODEL)
    told(trials, guessing=True, seconds=1, tokens=ENOUGH_TOKENS - 1)
    assert trials.is_on(MODEL)
    told(trials, guessing=True, seconds=1, tokens=1)
    assert not trials.is_on(MODEL)
    assert trials.verdict(MODEL) is None


@pytest.mark.parametrize(("guessing", "plain", "is_on"), [(1, 2, True), (2, 1, False)])
def test_the_faster_way_is_kept(guessing: float, plain: float, is_on: bool) -> None:
    trials = SpeedTrials()
    told(trials, guessing=True, seconds=guessing)
    told(trials, guessing=False, seconds=plain)
    assert trials.is_on(MODEL) is is_on
    told(trials, guessing=not is_on, seconds=0.001)
    assert trials.is_on(MODEL) is is_on


def test_a_verdict_says_both_speeds() -> None:
    trials = SpeedTrials()
    told(trials, guessing=True, seconds=2)
    told(trials, guessing=False, seconds=1)
    said = "128.0 tokens/s with speculation, 256.0 without"
    assert str(trials.verdict(MODEL)) == said
    assert trials.verdict(Path("/b")) is None

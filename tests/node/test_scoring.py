"""Scores asked of the scheduler itself: how many texts go together, and what is said of each."""

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from puna.errors import Invalid
from puna.node.engine.request import LoadSpec, Purpose
from puna.node.engine.scores import NotLoadedFor, Scored, ScoreQuestion
from puna.node.engine.scripted import Script, ScriptedEngine
from puna.node.scheduler.scheduler import Scheduler
from puna.node.scheduler.state import Limits, Wanted
from puna.node.scoring import ScoreAsk, Scores, judged, score
from puna.units import Size, Span
from tests.worlds import FakeWorld

SPEC = LoadSpec(Path("/m"), 64, slots=1, memory=Size(1), purpose=Purpose.SCORE)
LOGPROBS = st.lists(st.floats(-5000, 0), min_size=1, max_size=12)


class Noted(ScriptedEngine):
    """A scripted engine that keeps what it was asked to score, call by call."""

    calls: list[ScoreQuestion]

    async def score(self, question: ScoreQuestion) -> Scored:
        self.calls.append(question)
        return await super().score(question)


class Bench:
    """A scheduler with one such engine."""

    def __init__(self) -> None:
        self.world = FakeWorld()
        self.calls: list[ScoreQuestion] = []
        self.scheduler = Scheduler(self._load, Limits(Size(10)), self.world)

    async def _load(self, spec: LoadSpec) -> Noted:
        engine = Noted(spec, Script(), self.world)
        engine.calls = self.calls
        return engine

    async def score(self, *texts: str, prefix: str = "") -> Scores:
        question = ScoreQuestion(prefix, texts, ("yes", "no"))
        return await score(self.scheduler, ScoreAsk(Wanted("m", SPEC), question), self.world)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    one = Bench()
    yield one
    await one.scheduler.close(limit=Span(0))


async def test_many_texts_go_in_few_calls_with_the_same_beginning(bench: Bench) -> None:
    found = await bench.score(*(str(number) for number in range(600)), prefix="p")
    assert [len(each.texts) for each in bench.calls] == [255, 255, 90]
    assert {each.prefix for each in bench.calls} == {"p"}
    assert len(found.scores) == 600


async def test_texts_that_begin_alike_go_in_one_call(bench: Bench) -> None:
    await bench.score(*(f"{number % 3} and {number}" for number in range(300)))
    assert [len({text[0] for text in each.texts}) for each in bench.calls] == [3, 1]
    assert list(bench.calls[0].texts) == sorted(bench.calls[0].texts)


async def test_scores_keep_the_order_of_the_texts(bench: Bench) -> None:
    found = await bench.score("yes", "no", "yes")
    assert [each.best for each in found.scores] == [0, 1, 0]


async def test_tokens_of_all_calls_are_counted(bench: Bench) -> None:
    one = await bench.score("yes")
    many = await bench.score(*["yes"] * 100)
    assert many.tokens == 100 * one.tokens


async def test_without_texts_the_model_is_only_loaded(bench: Bench) -> None:
    found = await bench.score()
    assert found.scores == ()
    assert bench.calls == []
    assert bench.scheduler.loaded(SPEC.weights, Purpose.SCORE) == SPEC


async def test_a_text_that_does_not_fit_is_an_error_for_all(bench: Bench) -> None:
    with pytest.raises(Invalid, match="context 64"):
        await bench.score("yes", "a " * 100)


async def test_a_dead_engine_is_told_and_another_is_loaded(bench: Bench) -> None:
    first = await bench.score("yes")
    await bench.scheduler.unload("m")
    second = await bench.score("yes")
    assert first.scores == second.scores


@given(LOGPROBS)
@settings(max_examples=30)
def test_probabilities_are_shares_of_the_candidates(logprobs: list[float]) -> None:
    found = judged(logprobs)
    assert math.fsum(found.probabilities) == pytest.approx(1)
    assert found.logprobs == tuple(logprobs)
    assert 0 <= found.margin <= 1
    assert logprobs[found.best] == max(logprobs) or found.margin == pytest.approx(0)


def test_an_engine_says_what_it_was_not_loaded_for() -> None:
    assert NotLoadedFor("score").message == "this engine was not loaded to score"
    assert NotLoadedFor("embed").status == 400

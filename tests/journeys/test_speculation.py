"""Guessing ahead: it is tried, measured, and kept only where it is faster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import LLAMA, LLAMA_TENSORS, a_gguf
from tests.serving import Serving
from tests.stores import put

pytestmark = pytest.mark.journey


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    put(tmp_path / "models", "tiny", a_gguf(LLAMA, LLAMA_TENSORS))
    settings = {"PUNA_ENGINE": "scripted", "PUNA_SPECULATION": "ngram"}
    with Serving(tmp_path, PUNA_MODELS=str(tmp_path / "models"), **settings) as one:
        yield one


def count_to(serving: Serving, number: int) -> str:
    """Have the model count, and return how it guesses ahead afterwards."""
    body = {"model": "tiny", "prompt": f"count to {number}", "stream": False}
    assert serving.ask("/api/generate", body).status == 200
    models = serving.ask("/api/ps", method="GET").last["models"]
    assert isinstance(models, list)
    return str(models[0].get("speculation", ""))


def test_a_model_is_tried_with_and_without(serving: Serving) -> None:
    assert count_to(serving, 3) == "ngram"
    assert count_to(serving, 400) == "ngram"
    assert count_to(serving, 3) == ""


@pytest.mark.model
def test_looking_up_what_was_said_changes_no_answer(tmp_path: Path) -> None:
    body = {
        "model": "smollm2",
        "prompt": "Repeat: one two three four five six seven one two three four five six seven",
        "stream": False,
        "options": {"temperature": 0, "num_predict": 40, "seed": 1},
    }
    answers = []
    for way in ("off", "ngram"):
        with Serving(tmp_path / way, PUNA_SPECULATION=way) as serving:
            answers.append(str(serving.ask("/api/generate", body).last["response"])[:60])
    assert answers[0] == answers[1]

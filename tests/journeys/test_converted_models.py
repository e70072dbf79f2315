"""Converted models compute what their makers' code does: llama.cpp against the book."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from puna.models.strict_json import JsonValue
from tests.serving import Serving
from tests.weights.huggingface import GEMMA, tiny_folder
from tests.weights.reference import logprobs

pytestmark = [pytest.mark.journey, pytest.mark.model]

LETTERS = "abcdefghijklmnopqrstuvwxyz"
FIRST = 33
"""The letter of the tokenizer's first token."""
PROMPT = "hello, world: 12345 hell"
LLAMA_3: dict[str, JsonValue] = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("home"), PUNA_CONTEXT_LENGTH="512") as one:
        yield one


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        pytest.param("LlamaForCausalLM", {}, id="llama"),
        pytest.param("LlamaForCausalLM", {"rope_scaling": LLAMA_3}, id="llama-3"),
        pytest.param(
            "LlamaForCausalLM", {"rope_scaling": {"type": "linear", "factor": 4.0}}, id="linear"
        ),
        pytest.param("LlamaForCausalLM", {"tie_word_embeddings": True}, id="tied"),
        pytest.param("LlamaForCausalLM", {"attention_bias": True}, id="biases"),
        pytest.param("MistralForCausalLM", {"head_dim": 32}, id="mistral"),
        pytest.param("Qwen2ForCausalLM", {}, id="qwen2"),
        pytest.param("Qwen3ForCausalLM", {"head_dim": 32}, id="qwen3"),
        pytest.param("Gemma3ForCausalLM", GEMMA, id="gemma3"),
    ],
)
def test_chances_are_those_of_the_book(
    serving: Serving, tmp_path: Path, architecture: str, changes: dict[str, JsonValue]
) -> None:
    folder = tmp_path / "m"
    changed: dict[str, JsonValue] = {"architectures": [architecture], **changes}
    tiny_folder(folder, kind="F32", loud=3, **changed)
    (tmp_path / "Modelfile").write_text("FROM ./m\n")
    done = serving.run("create", "tiny", "-f", str(tmp_path / "Modelfile"))
    assert done.returncode == 0, done.stderr
    words = {"model": "tiny", "content": PROMPT, "prefix": PROMPT, "texts": [""]}
    tokens = serving.ask("/api/tokenize", words).last["tokens"]
    reply = serving.ask("/api/score", {**words, "candidates": list(LETTERS)}).last
    (scored,) = cast("list[dict[str, list[float]]]", reply["scores"])
    # Rows in a wrong order would move these by 0.1 to 4; a cache of 16 bits moves them by 0.003.
    book = logprobs(folder, cast("list[int]", tokens))
    wanted = [book[ord(letter) - FIRST] for letter in LETTERS]
    assert np.allclose(wanted, scored["logprobs"], atol=0.01)

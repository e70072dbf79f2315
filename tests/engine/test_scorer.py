"""Probabilities of given answers are those of the model's own distribution, token by token."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from puna.node.engine.parameters import offload_parameters
from puna.node.engine.scorer import CannotScore, Scorer
from tests.engine.floats.test_forward import library
from tests.tiny_models import Tiny, plain_logits, write_tiny

pytestmark = pytest.mark.model

LOAD: Mapping[str, object] = {
    "context": 200,
    "batch": 64,
    "rows": 20,
    "threads": 1,
    **offload_parameters((), 0),
    "cache_type": "f16",
    "flash_attention": -1,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.gguf", Tiny())


@pytest.fixture
def scorer(path: Path) -> Scorer:
    return Scorer(library(), {**LOAD, "path": str(path)})


def scored(scorer: Scorer, *texts: str, prefix: str = "", answers: list[str]) -> list[list[float]]:
    found = scorer.score({"prefix": prefix, "texts": texts, "candidates": answers})
    return cast("list[list[float]]", found["logprobs"])


def plain(path: Path, text: str, answer: str) -> float:
    """Return the logarithm of an answer's probability, from the plainest computation."""
    total = 0.0
    for place, letter in enumerate(answer):
        logits = plain_logits(path, tuple((text + answer[:place]).encode()))  # a token is a byte
        total += float(logits[ord(letter)] - np.logaddexp.reduce(logits))
    return total


def test_an_answer_is_as_likely_as_its_tokens_together(scorer: Scorer, path: Path) -> None:
    found = scored(scorer, "ab", "ac", prefix="xyz", answers=["q", "qr", "s"])
    for text, row in zip(("xyzab", "xyzac"), found, strict=True):
        expected = [plain(path, text, answer) for answer in ("q", "qr", "s")]
        assert row == pytest.approx(expected, abs=0.1)


def test_all_single_tokens_together_are_certain(scorer: Scorer) -> None:
    answers = [chr(code) for code in range(33, 127)]
    assert 0 < math.fsum(map(math.exp, scored(scorer, "ab", answers=answers)[0])) <= 1


def test_more_texts_than_rows_take_several_steps(scorer: Scorer) -> None:
    texts = [chr(code) * 3 for code in range(40, 90)]
    found = scored(scorer, *texts, prefix="sort:", answers=["a", "bc"])
    alone = scored(scorer, texts[31], prefix="sort:", answers=["a", "bc"])
    assert found[31] == pytest.approx(alone[0], abs=0.05)


@pytest.mark.parametrize(
    ("prefix", "text", "words"),
    [("a" * 300, "b", "the context 200"), ("a", "b" * 90, "64 have room"), ("", "", "no tokens")],
    ids=["prefix", "text", "nothing"],
)
def test_what_has_no_room_is_refused(scorer: Scorer, prefix: str, text: str, words: str) -> None:
    with pytest.raises(CannotScore, match=words):
        scored(scorer, text, "c", prefix=prefix, answers=["a", "b"])

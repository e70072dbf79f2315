"""What llama.cpp says of vectors, and what becomes of it: pure."""

import math
from array import array
from base64 import b64encode

import pytest
from hypothesis import given, strategies as st

from puna.node.engine.events import EngineFailed
from puna.node.engine.vectors import (
    embed_question,
    normalized,
    read_ranking,
    read_vectors,
    shortened,
)

NUMBERS = st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=20)


def an_entry(index: int, *numbers: float) -> dict[str, object]:
    return {"index": index, "embedding": b64encode(array("f", numbers).tobytes()).decode()}


def an_answer(*entries: object, tokens: int = 7) -> dict[str, object]:
    return {"data": list(entries), "usage": {"prompt_tokens": tokens}}


def test_many_texts_and_tokens_go_in_one_question() -> None:
    question = embed_question(["a", (1, 2)], normalize=True)
    assert question["input"] == ["a", (1, 2)]
    assert (question["encoding_format"], question["embd_normalize"]) == ("base64", 2)
    assert embed_question(["a"], normalize=False)["embd_normalize"] == -1


def test_vectors_come_in_the_order_of_the_texts() -> None:
    answer = an_answer(an_entry(1, 0.25, 4), an_entry(0, 1, 2))
    found = read_vectors(answer, 2)
    assert [list(each) for each in found.vectors] == [[1, 2], [0.25, 4]]
    assert found.tokens == 7


@pytest.mark.parametrize("answer", [{}, {"data": "x"}, an_answer(an_entry(0, 1))])
def test_an_answer_without_all_vectors_is_a_failure(answer: dict[str, object]) -> None:
    with pytest.raises(EngineFailed):
        read_vectors(answer, 2)


def test_scores_come_in_the_order_of_the_documents() -> None:
    results = [{"index": 1, "relevance_score": 2}, {"index": 0, "relevance_score": -0.5}]
    answer = {"results": results, "usage": {"prompt_tokens": 9}}
    assert read_ranking(answer, 2).scores == (-0.5, 2.0)
    assert read_ranking(answer, 2).tokens == 9


@pytest.mark.parametrize("results", [[], [{"index": 5, "relevance_score": 1}], None])
def test_a_ranking_without_all_documents_is_a_failure(results: object) -> None:
    with pytest.raises(EngineFailed):
        read_ranking({"results": results}, 1)


@given(NUMBERS)
def test_a_normalized_vector_has_length_one_or_is_zero(numbers: list[float]) -> None:
    length = math.hypot(*normalized(numbers))
    assert length == pytest.approx(1, rel=1e-5) or not any(numbers)


@given(NUMBERS, st.integers(-3, 30))
def test_a_shortened_vector_points_where_its_first_numbers_do(
    numbers: list[float], dimensions: int
) -> None:
    vector = normalized(numbers)
    short = shortened(vector, dimensions)
    assert len(short) == (dimensions if 0 < dimensions < len(numbers) else len(numbers))
    assert all(a * b >= 0 for a, b in zip(short, vector, strict=False))

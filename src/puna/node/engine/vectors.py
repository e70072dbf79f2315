"""Texts as vectors, and documents by how well they fit a query: values, and llama.cpp's words.

Vectors travel as 32-bit floats in base64: as JSON numbers they are four times as long, and to read
them takes as long as a small model needs to make them.
"""

import math
from array import array
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from puna.chat.messages import Json
from puna.node.engine.events import EngineFailed

Vector: TypeAlias = "array[float]"
"""32-bit floats."""
Input = str | tuple[int, ...]
"""A text, or its tokens with those that the model wants at its beginning and end."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """One vector for each text, in their order."""

    vectors: tuple[Vector, ...]
    tokens: int
    """Tokens of all texts together."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """How well each document fits the query, in the order of the documents: the higher the better.

    A reranker's own number: of most models any number, of some a probability.
    """

    scores: tuple[float, ...]
    tokens: int


def embed_question(inputs: Sequence[Input], *, normalize: bool) -> dict[str, Json]:
    """Return the body of llama.cpp's `/v1/embeddings` for many texts in one call."""
    return {
        "input": list(inputs),
        "encoding_format": "base64",
        "embd_normalize": 2 if normalize else -1,
    }


def read_vectors(answer: Mapping[str, object], count: int) -> Embedded:
    """Read the answer of `/v1/embeddings`. Raises `EngineFailed` for one that is none."""
    vectors: list[Vector | None] = [None] * count
    for entry in _entries(answer, "data"):
        vectors[cast("int", entry["index"])] = _vector(str(entry["embedding"]))
    found = tuple(each for each in vectors if each is not None)
    if len(found) != count:
        raise EngineFailed(f"the engine gave {len(found)} vectors for {count} texts")
    return Embedded(found, _tokens(answer))


def read_ranking(answer: Mapping[str, object], count: int) -> Ranked:
    """Read the answer of `/rerank`. Raises `EngineFailed` for one that is none."""
    scores = {
        cast("int", entry["index"]): float(cast("float", entry["relevance_score"]))
        for entry in _entries(answer, "results")
    }
    if sorted(scores) != list(range(count)):
        raise EngineFailed(f"the engine gave {len(scores)} scores for {count} documents")
    return Ranked(tuple(scores[number] for number in range(count)), _tokens(answer))


def shortened(vector: Vector, dimensions: int) -> Vector:
    """Return the first numbers of a vector, of length 1 again; the whole one for 0."""
    if not 0 < dimensions < len(vector):
        return vector
    return normalized(vector[:dimensions])


def normalized(vector: Sequence[float]) -> Vector:
    """Return a vector of length 1 in the same direction; one of zeros stays."""
    length = math.sqrt(math.fsum(number * number for number in vector))
    return array("f", (number / length for number in vector) if length else vector)


def _entries(answer: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    entries = answer.get(name)
    if not isinstance(entries, list):
        raise EngineFailed(f"the engine's answer has no {name}")
    return entries


def _vector(text: str) -> Vector:
    vector = array("f")
    vector.frombytes(b64decode(text))
    return vector


def _tokens(answer: Mapping[str, object]) -> int:
    usage = answer.get("usage")
    return int(usage["prompt_tokens"]) if isinstance(usage, dict) else 0

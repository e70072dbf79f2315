"""Vectors, tokens and scores to the byte: order, omissions, numbers."""

from array import array

import pytest
from pydantic import ValidationError

from puna.node.api.vectors import BrokenVector, cut_headers, vector_json, vectors_json
from puna.node.embedding import TextCut
from puna.wire.openai_vectors import (
    EmbeddingUsage,
    OpenAIEmbeddingsReply,
    RankedDocument,
    RankedEntry,
    RerankReply,
    RerankRequest,
)
from puna.wire.puna import ScoreReply, ScoreRequest, TextScore
from puna.wire.vectors import (
    DetokenizeReply,
    DetokenizeRequest,
    EmbedReply,
    EmbedRequest,
    TokenizeReply,
    TruncatedText,
)

USAGE = EmbeddingUsage(prompt_tokens=3, total_tokens=3)


def test_a_vector_has_nine_digits() -> None:
    vector = array("f", (0.1, -1 / 3, 0, 1e-20))
    assert vector_json(vector) == b"[0.100000001,-0.333333343,0,9.99999968e-21]"
    assert vectors_json([vector[:1], vector[2:3]]) == b"[[0.100000001],[0]]"
    assert vectors_json([]) == b"[]"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_vector_without_numbers_is_a_failure(number: float) -> None:
    with pytest.raises(BrokenVector):
        vector_json(array("f", (1, number)))


def test_cuts_and_options_are_said_in_headers() -> None:
    cuts = (TextCut(1, 600, 512), TextCut(4, 9, 8))
    assert cut_headers(cuts, ("mirostat", "x\ny")) == {
        "Puna-Truncated": "input[1]=512 of 600 tokens; input[4]=8 of 9 tokens",
        "Puna-Ignored-Options": "mirostat, x y",
    }
    assert cut_headers(()) == {}


def test_vectors_of_ollama() -> None:
    cut = TruncatedText(index=1, tokens=9, kept_tokens=4)
    reply = EmbedReply(model="m", embeddings=[[1.0]], total_duration=7, truncated=[cut])
    assert reply.to_json() == (
        b'{"model":"m","embeddings":[[1.0]],"total_duration":7,'
        b'"truncated":[{"index":1,"tokens":9,"kept_tokens":4}]}'
    )


def test_vectors_of_openai() -> None:
    reply = OpenAIEmbeddingsReply(object="list", data=[], model="m", usage=USAGE)
    assert reply.to_json() == (
        b'{"object":"list","data":[],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}'
    )


def test_documents_by_fit() -> None:
    entries = [
        RankedEntry(index=2, relevance_score=0.5),
        RankedEntry(index=0, relevance_score=0.25, document=RankedDocument(text="x")),
    ]
    assert RerankReply(model="m", results=entries, usage=USAGE).to_json() == (
        b'{"model":"m","results":[{"index":2,"relevance_score":0.5},'
        b'{"index":0,"relevance_score":0.25,"document":{"text":"x"}}],'
        b'"usage":{"prompt_tokens":3,"total_tokens":3}}'
    )


def test_tokens_and_their_text() -> None:
    assert TokenizeReply(model="m", tokens=[1, 2], count=2).to_json() == (
        b'{"model":"m","tokens":[1,2],"count":2}'
    )
    assert DetokenizeReply(model="m", content="", load_duration=5).to_json() == (
        b'{"model":"m","content":"","load_duration":5}'
    )


def test_scores() -> None:
    one = TextScore(probabilities=[0.75, 0.25], logprobs=[-1.0, -2.0], best="a", margin=0.5)
    assert ScoreReply(model="m", scores=[one], prompt_eval_count=4).to_json() == (
        b'{"model":"m","scores":[{"probabilities":[0.75,0.25],"logprobs":[-1.0,-2.0],'
        b'"best":"a","margin":0.5}],"prompt_eval_count":4}'
    )


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        (EmbedRequest, '{"truncate": "yes"}'),
        (EmbedRequest, '{"dimensions": 1.5}'),
        (DetokenizeRequest, '{"tokens": ["1"]}'),
        (RerankRequest, '{"top_n": "3"}'),
        (ScoreRequest, '{"texts": [1]}'),
        (ScoreRequest, '{"candidates": "a"}'),
    ],
)
def test_wrong_types_are_refused(shape: type[EmbedRequest], body: str) -> None:
    with pytest.raises(ValidationError):
        shape.model_validate_json(body)


def test_null_and_unknown_fields_say_nothing() -> None:
    asked = EmbedRequest.model_validate_json('{"model": "m", "truncate": null, "more": 1}')
    assert (asked.model, asked.truncate, asked.input) == ("m", None, None)

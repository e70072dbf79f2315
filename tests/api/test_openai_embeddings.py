"""`/v1/embeddings` and `/v1/rerank`: what clients see, with a scripted engine."""

import math
from array import array
from base64 import b64decode

import pytest

from tests.api.stage import Reply, Stage, a_model

RANKER = {
    "general.architecture": "bert",
    "bert.block_count": 2,
    "bert.context_length": 64,
    "bert.embedding_length": 64,
    "bert.attention.head_count": 4,
    "bert.pooling_type": 4,
}
DOCUMENTS = ["bonds rose", "a llama eats grass", "grass grows"]


async def embed(stage: Stage, given: object = "hello", **fields: object) -> Reply:
    return await stage.ask("POST", "/v1/embeddings", {"model": "tiny", "input": given, **fields})


async def rerank(stage: Stage, **fields: object) -> Reply:
    stage.add_model("ranker", a_model(**RANKER))
    body = {"model": "ranker", "query": "llama grass", "documents": DOCUMENTS, **fields}
    return await stage.ask("POST", "/v1/rerank", body)


def items(reply: Reply, name: str) -> list[dict[str, object]]:
    found = reply.json[name]
    assert isinstance(found, list)
    return found


def vectors(reply: Reply) -> list[object]:
    return [each["embedding"] for each in items(reply, "data")]


def message(reply: Reply) -> object:
    error = reply.json["error"]
    assert isinstance(error, dict)
    assert error["type"] == ("invalid_request_error" if reply.status == 400 else "not_found_error")
    return error["message"]


async def test_a_reply_has_openais_form(stage: Stage) -> None:
    reply = (await embed(stage, ["a", "b"])).json
    assert list(reply) == ["object", "data", "model", "usage"]
    assert (reply["object"], reply["model"]) == ("list", "tiny")
    assert reply["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    entries = reply["data"]
    assert isinstance(entries, list)
    assert [(each["object"], each["index"]) for each in entries] == [
        ("embedding", 0),
        ("embedding", 1),
    ]


async def test_base64_holds_the_same_numbers(stage: Stage) -> None:
    (text,) = vectors(await embed(stage, encoding_format="base64"))
    (numbers,) = vectors(await embed(stage))
    assert list(array("f", b64decode(str(text)))) == pytest.approx(numbers)


async def test_tokens_are_taken_as_they_are(stage: Stage) -> None:
    found = await stage.ask("POST", "/api/tokenize", {"model": "tiny", "content": "hello"})
    tokens = found.json["tokens"]
    text = vectors(await embed(stage, "hello"))
    assert vectors(await embed(stage, tokens)) == text
    assert vectors(await embed(stage, [tokens, "hello"])) == text * 2


async def test_dimensions_are_of_length_one_again(stage: Stage) -> None:
    (short,) = vectors(await embed(stage, "a b c d e f g h i", dimensions=16))
    assert isinstance(short, list)
    assert len(short) == 16
    assert math.hypot(*short) == pytest.approx(1)


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"model": None}, 400, "model is required"),
        ({"model": "absent"}, 404, "model 'absent' not found"),
        ({"input": None}, 400, "input must be a text, a list of texts, or tokens, and not empty"),
        ({"input": []}, 400, "input must be a text, a list of texts, or tokens, and not empty"),
        ({"input": [[]]}, 400, "input must be a text, a list of texts, or tokens, and not empty"),
        ({"input": [True]}, 400, "input must be a text, a list of texts, or tokens, and not empty"),
        ({"input": ""}, 400, "input must not be an empty text"),
        ({"input": [-5]}, 400, "token -5 is not in the vocabulary"),
        ({"encoding_format": "x"}, 400, "encoding_format must be float or base64"),
        ({"dimensions": 0}, 400, "dimensions must be at least 1, not 0"),
    ],
)
async def test_mistakes_are_told_in_openais_form(
    stage: Stage, fields: dict[str, object], status: int, words: str
) -> None:
    body = {"model": "tiny", "input": "x", **fields}
    reply = await stage.ask("POST", "/v1/embeddings", body)
    assert (reply.status, message(reply)) == (status, words)


async def test_documents_come_best_first(stage: Stage) -> None:
    results = items(await rerank(stage), "results")
    assert [each["index"] for each in results] == [1, 2, 0]
    assert results[0]["relevance_score"] == pytest.approx(1 / (1 + math.exp(-2)))
    assert results[2]["relevance_score"] == 0.5
    assert "document" not in results[0]


async def test_as_many_documents_come_as_are_wanted(stage: Stage) -> None:
    results = items(await rerank(stage, top_n=1, return_documents=True), "results")
    assert [each["document"] for each in results] == [{"text": DOCUMENTS[1]}]


async def test_documents_may_be_objects(stage: Stage) -> None:
    documents = [{"text": each} for each in DOCUMENTS]
    assert items(await rerank(stage, documents=documents), "results")[0]["index"] == 1


async def test_a_document_that_is_cut_is_said(stage: Stage) -> None:
    reply = await rerank(stage, documents=["grass", "grass " * 200])
    assert reply.headers["Puna-Truncated"].startswith("input[1]=")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": ""}, "model is required"),
        ({"model": "tiny"}, '"tiny" is no reranker'),
        ({"query": ""}, "query is required"),
        ({"documents": []}, "documents must be a list of texts, and not empty"),
        ({"documents": [5]}, "documents must be texts, or objects with a text"),
        ({"top_n": 0}, "top_n must be at least 1, not 0"),
        ({"query": "long " * 100}, "the input length exceeds the context length"),
    ],
)
async def test_what_cannot_be_ranked_is_refused(
    stage: Stage, fields: dict[str, object], words: str
) -> None:
    reply = await rerank(stage, **fields)
    assert (reply.status, message(reply)) == (400, words)

"""`/api/embed`, `/api/embeddings`, `/api/tokenize`, `/api/detokenize`: what clients see."""

import math
from pathlib import Path

import pytest

from tests.api.stage import Reply, Stage, a_model, staged

BERT = {
    "general.architecture": "bert",
    "bert.block_count": 2,
    "bert.context_length": 16,
    "bert.embedding_length": 64,
    "bert.attention.head_count": 4,
    "bert.pooling_type": 1,
}


async def embed(stage: Stage, given: object = "hello", **fields: object) -> Reply:
    return await stage.ask("POST", "/api/embed", {"model": "tiny", "input": given, **fields})


def vectors(reply: Reply) -> list[list[float]]:
    found = reply.json["embeddings"]
    assert isinstance(found, list)
    return found


def items(reply: Reply, name: str) -> list[dict[str, object]]:
    found = reply.json[name]
    assert isinstance(found, list)
    return found


async def test_each_text_gets_a_vector_of_length_one_in_its_place(stage: Stage) -> None:
    reply = await embed(stage, ["a llama", "two words", "a llama"])
    first, second, third = vectors(reply)
    assert first == third != second
    assert math.hypot(*first) == pytest.approx(1)
    assert list(reply.json) == ["model", "embeddings", "prompt_eval_count"]
    assert reply.json["prompt_eval_count"] == 12


async def test_one_text_and_a_list_of_it_are_the_same(stage: Stage) -> None:
    assert vectors(await embed(stage, "hello")) == vectors(await embed(stage, ["hello"]))


@pytest.mark.parametrize("nothing", ["", None, []])
async def test_without_text_the_model_is_loaded(stage: Stage, nothing: object) -> None:
    reply = await embed(stage, nothing)
    assert reply.json == {"model": "tiny", "embeddings": []}
    assert (await stage.ask("GET", "/api/ps")).json["models"]


@pytest.mark.parametrize("wrong", [5, True, {"a": 1}, ["a", 5], [["a"]], [None]])
async def test_other_types_are_refused(stage: Stage, wrong: object) -> None:
    reply = await embed(stage, wrong)
    assert (reply.status, reply.error) == (400, "invalid input type")


async def test_dimensions_are_the_first_ones_of_length_one_again(stage: Stage) -> None:
    text = " ".join("abcdefghijklmnop")
    whole = vectors(await embed(stage, text))[0]
    short = vectors(await embed(stage, text, dimensions=8))[0]
    assert len(short) == 8
    assert math.hypot(*short) == pytest.approx(1)
    assert short == pytest.approx([each / math.hypot(*whole[:8]) for each in whole[:8]])
    assert vectors(await embed(stage, text, dimensions=10**6))[0] == whole


async def test_what_is_cut_is_said(stage: Stage) -> None:
    reply = await embed(stage, ["a", "b" + " b" * 30, "c"], options={"num_ctx": 10, "mirostat": 1})
    cut = {"index": 1, "tokens": 32, "kept_tokens": 10}
    assert reply.json["truncated"] == [cut]
    assert reply.headers["Puna-Truncated"] == "input[1]=10 of 32 tokens"
    assert reply.json["ignored"] == ["mirostat"]


@pytest.mark.parametrize(
    ("context", "truncate", "words"),
    [
        (10, False, "the input length exceeds the context length"),
        (1, True, "input after truncation exceeds maximum context length"),
        (0, True, "input after truncation exceeds maximum context length"),
    ],
)
async def test_a_text_that_may_not_be_cut_is_refused(
    stage: Stage, context: int, truncate: bool, words: str
) -> None:
    reply = await embed(stage, "a " * 30, truncate=truncate, options={"num_ctx": context})
    assert (reply.status, reply.error) == (400, words)


async def test_a_huge_text_is_cut_without_being_counted(stage: Stage) -> None:
    reply = await embed(stage, "word " * 200_000, options={"num_ctx": 100})
    cut = items(reply, "truncated")[0]
    assert cut["kept_tokens"] == 100
    assert cut["is_estimate"]


async def test_a_smaller_context_loads_nothing_again(stage: Stage) -> None:
    await embed(stage)
    await embed(stage, options={"num_ctx": 100})
    models = items(await stage.ask("GET", "/api/ps"), "models")
    assert [each["context_length"] for each in models] == [2048]


async def test_a_model_answers_and_embeds_side_by_side(stage: Stage) -> None:
    await stage.generate()
    await embed(stage)
    assert len((await stage.ask("GET", "/api/ps")).json["models"]) == 2  # type: ignore[arg-type]
    await stage.ask("POST", "/api/generate", {"model": "tiny", "keep_alive": 0, "stream": False})
    assert (await stage.ask("GET", "/api/ps")).json["models"] == []


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"model": ""}, 404, "model '' not found"),
        ({"model": "absent"}, 404, "model 'absent' not found"),
        ({"dimensions": -1}, 400, "dimensions must be 0 or more, not -1"),
        ({"keep_alive": "x"}, 400, 'time: invalid duration "x"'),
        ({"options": {"num_ctx": "x"}}, 500, 'option "num_ctx" must be of type integer'),
    ],
)
async def test_mistakes_have_one_clear_line(
    stage: Stage, fields: dict[str, object], status: int, words: str
) -> None:
    reply = await embed(stage, **fields)
    assert (reply.status, reply.error) == (status, words)


async def test_the_older_path_gives_one_vector(stage: Stage) -> None:
    body = {"model": "tiny", "prompt": "hello"}
    reply = await stage.ask("POST", "/api/embeddings", body)
    assert reply.json == {"embedding": vectors(await embed(stage))[0]}
    empty = await stage.ask("POST", "/api/embeddings", {"model": "tiny"})
    assert empty.body == b'{"embedding":[]}'


async def test_the_older_path_gives_a_berts_vectors_as_they_are(stage: Stage) -> None:
    stage.add_model("bert", a_model(**BERT))
    body = {"model": "bert", "prompt": "a a b"}
    reply = await stage.ask("POST", "/api/embeddings", body)
    assert set(reply.json["embedding"]) == {0, 1, 2}  # type: ignore[call-overload]


async def test_the_older_path_cuts_nothing(stage: Stage) -> None:
    stage.add_model("bert", a_model(**BERT))
    body = {"model": "bert", "prompt": "a " * 30}
    reply = await stage.ask("POST", "/api/embeddings", body)
    assert (reply.status, reply.error) == (400, "the input length exceeds the context length")


async def test_an_embedding_model_computes_many_texts_at_once(stage: Stage) -> None:
    stage.add_model("bert", a_model(**BERT))
    await embed(stage, model="bert")
    loaded = items(await stage.ask("GET", "/api/ps"), "models")[0]
    assert (loaded["slots"], loaded["context_length"]) == (16, 16)


async def test_a_reranker_gives_no_vectors(stage: Stage) -> None:
    stage.add_model("ranker", a_model(**BERT | {"bert.pooling_type": 4}))
    reply = await embed(stage, model="ranker")
    assert (reply.status, reply.error) == (400, '"ranker" is a reranker: it gives no vectors')


async def test_where_nothing_may_be_cut_no_text_is(tmp_path: Path) -> None:
    async with staged(tmp_path, truncate=False) as stage:
        reply = await embed(stage, "a " * 30, options={"num_ctx": 10})
    assert reply.status == 400


async def test_tokens_and_text_are_each_other(stage: Stage) -> None:
    body = {"model": "tiny", "content": "two words"}
    found = (await stage.ask("POST", "/api/tokenize", body)).json
    assert found["count"] == len(found["tokens"]) == 3  # type: ignore[arg-type]
    back = {"model": "tiny", "tokens": found["tokens"]}
    assert (await stage.ask("POST", "/api/detokenize", back)).json["content"] == "two words"
    special = await stage.ask("POST", "/api/tokenize", body | {"add_special": True})
    assert special.json["count"] == 4


@pytest.mark.parametrize(
    ("path", "fields", "words"),
    [
        ("/api/tokenize", {}, "content is required"),
        ("/api/detokenize", {}, "tokens is required"),
        ("/api/detokenize", {"tokens": [-1]}, "token -1 is not in the vocabulary"),
    ],
)
async def test_wrong_tokens_are_refused(
    stage: Stage, path: str, fields: dict[str, object], words: str
) -> None:
    reply = await stage.ask("POST", path, {"model": "tiny", **fields})
    assert (reply.status, reply.error) == (400, words)

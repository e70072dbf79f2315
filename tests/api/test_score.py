"""`/api/score`: what clients see, with a scripted engine."""

import math

import pytest

from puna.node.scoring import judged
from tests.api.stage import Reply, Stage, a_model

TEXTS = ["good it is", "bad it is"]
BERT = {
    "general.architecture": "bert",
    "bert.block_count": 2,
    "bert.context_length": 64,
    "bert.embedding_length": 64,
    "bert.attention.head_count": 4,
}


async def score(stage: Stage, **fields: object) -> Reply:
    body = {"model": "tiny", "prefix": "It ", "texts": TEXTS, "candidates": ["good", "bad"]}
    return await stage.ask("POST", "/api/score", body | fields)


def scores(reply: Reply) -> list[dict[str, object]]:
    found = reply.json["scores"]
    assert isinstance(found, list)
    return found


async def test_each_text_has_its_likeliest_answer(stage: Stage) -> None:
    reply = await score(stage)
    first, second = scores(reply)
    assert (first["best"], second["best"]) == ("good", "bad")
    assert list(first) == ["probabilities", "logprobs", "best", "margin"]
    assert first["logprobs"] == pytest.approx([-math.log(2), -3 * math.log(2)])
    assert first["probabilities"] == pytest.approx([0.8, 0.2])
    assert first["margin"] == pytest.approx(0.6)
    assert reply.json["prompt_eval_count"] == 10


async def test_many_texts_keep_their_order(stage: Stage) -> None:
    found = scores(await score(stage, texts=TEXTS * 100))
    assert [each["best"] for each in found] == ["good", "bad"] * 100


async def test_without_texts_the_model_is_loaded(stage: Stage) -> None:
    assert scores(await score(stage, texts=[], candidates=None)) == []
    assert (await stage.ask("GET", "/api/ps")).json["models"]


async def test_options_without_effect_are_said(stage: Stage) -> None:
    reply = await score(stage, options={"mirostat": 1})
    assert reply.headers["Puna-Ignored-Options"] == "mirostat"
    assert reply.json["ignored"] == ["mirostat"]


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"model": ""}, 400, "model is required"),
        ({"model": "absent"}, 404, "model 'absent' not found"),
        ({"model": "bert"}, 400, '"bert" does not support score'),
        (
            {"candidates": []},
            400,
            "candidates are required: the answers whose probability is wanted",
        ),
        ({"candidates": ["a", ""]}, 400, "a candidate must not be empty"),
        ({"candidates": ["a", "a"]}, 400, "a candidate must not be there twice"),
        ({"candidates": [str(n) for n in range(1001)]}, 400, "at most 1000 candidates, not 1001"),
        ({"texts": "x"}, 400, "texts: input should be a valid array"),
    ],
)
async def test_mistakes_have_one_clear_line(
    stage: Stage, fields: dict[str, object], status: int, words: str
) -> None:
    stage.add_model("bert", a_model(**BERT))
    reply = await score(stage, **fields)
    assert (reply.status, reply.error) == (status, words)


async def test_a_text_that_does_not_fit_is_refused(stage: Stage) -> None:
    reply = await score(stage, texts=["a " * 5000])
    assert reply.status == 400


@pytest.mark.parametrize(
    ("logprobs", "best", "margin"),
    [
        ((-1.0,), 0, 1.0),
        ((-1.0, -1.0), 0, 0.0),
        ((-9000.0, -8000.0), 1, 1.0),
        ((-1.0, -1.0 - math.log(3)), 0, 0.5),
    ],
)
def test_the_margin_is_what_the_best_has_before_the_next(
    logprobs: tuple[float, ...], best: int, margin: float
) -> None:
    found = judged(logprobs)
    assert found.best == best
    assert found.margin == pytest.approx(margin)
    assert math.fsum(found.probabilities) == pytest.approx(1)

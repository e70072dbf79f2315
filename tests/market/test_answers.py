"""What a market with one history answers, word for word: RunPod's shapes and puna's own.

`ANSWERS` is what it answered when somebody last read it through; `python -m tests.market.answering`
writes it anew.
"""

from typing import Any

import pytest
import pytest_asyncio

from tests.market.answering import PATHS, answers
from tests.market.answers import ANSWERS


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told() -> dict[str, Any]:
    return await answers()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", PATHS)
async def test_an_answer_is_word_for_word_what_it_was(told: dict[str, Any], path: str) -> None:
    assert told[path] == ANSWERS[path]


def test_every_answer_is_looked_at() -> None:
    assert list(ANSWERS) == list(PATHS)

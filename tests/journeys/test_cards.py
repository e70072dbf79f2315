"""SmolLM2 on a card through the engine, wherever `GGML_BACKEND_PATH` names a backend for one.

Mesa's software driver (llvmpipe) will do: `GGML_VK_VISIBLE_DEVICES=0` makes llama.cpp take it. See
docs/cards.md for how such a backend is made.
"""

import math
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio

from puna.node.api.server import serving
from puna.node.engine.asking_cards import engine_cards
from puna.node.engine.card_report import BACKEND_VARIABLE
from puna.node.engine.labels import ComputePath, LabelQuestion, open_scorer
from puna.settings import load_settings, read_variable
from puna.units import Span
from puna.world import RealWorld
from tests.engine.test_labels import smollm2

pytestmark = [
    pytest.mark.journey,
    pytest.mark.model,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not read_variable(BACKEND_VARIABLE), reason="no backend for cards here"),
]
ASKED = {"num_predict": 1, "temperature": 0, "num_ctx": 512}
PROMPT = "The capital of France is"
QUESTION = LabelQuestion(
    prefix="Review: I loved it.\nFeeling: good\nReview: It was awful.\nFeeling: bad\nReview: ",
    labels=(" good", " bad"),
    suffix="\nFeeling:",
    blank="N/A",
)
TEXTS = ("A wonderful film.", "Terrible, dull.", "I left before the end.")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[aiohttp.ClientSession]:
    """A node with the card; a software driver takes a minute to compile for a model."""
    home = str(tmp_path_factory.mktemp("home"))
    node = load_settings({"PUNA_HOME": home}).node
    settings = replace(node, load_timeout=Span.of(minutes=20))
    async with serving(settings, RealWorld()) as url, aiohttp.ClientSession(url) as session:
        yield session


async def chances(
    http: aiohttp.ClientSession, layers: int
) -> tuple[dict[str, float], dict[str, int]]:
    """Ask for the likeliest next tokens with so many layers on cards; return what `ps` says too."""
    options = {**ASKED, "num_gpu": layers}
    body = {"model": "smollm2", "prompt": PROMPT, "raw": True, "stream": False}
    body |= {"options": options, "logprobs": True, "top_logprobs": 5}
    async with http.post("/api/generate", json=body) as answer:
        reply = await answer.json()
    async with http.get("/api/ps") as answer:
        running = (await answer.json())["models"][0]
    likely = {each["token"]: each["logprob"] for each in reply["logprobs"][0]["top_logprobs"]}
    return likely, running


async def test_the_engine_tells_its_cards() -> None:
    found = engine_cards(load_settings({}).node)

    assert found.fault == ""
    assert found.cards
    assert all(each.memory.total > 0 and each.description for each in found.cards)


async def test_answers_on_a_card_are_the_processors(http: aiohttp.ClientSession) -> None:
    alone, running = await chances(http, 0)
    assert running["size_vram"] == 0

    for layers, is_whole in ((10, False), (99, True)):
        likely, running = await chances(http, layers)

        assert next(iter(likely)) == next(iter(alone))
        shared = likely.keys() & alone.keys()
        assert len(shared) >= 3
        assert all(math.isclose(likely[each], alone[each], abs_tol=0.3) for each in shared)
        assert 0 < running["size_vram"] <= running["size"]
        assert (running["size_vram"] == running["size"]) is is_whole


async def test_labels_on_a_card_are_the_processors() -> None:
    found = []
    for path in (ComputePath.CARD, ComputePath.KERNELS):
        async with open_scorer(smollm2(), QUESTION, RealWorld(), path=path) as scorer:
            found.append((await scorer.score(TEXTS)).rows)

    for one, other in zip(*found, strict=True):
        assert one == pytest.approx(other, abs=0.6)

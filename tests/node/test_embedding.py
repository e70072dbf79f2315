"""Vectors and rankings asked of the scheduler itself: what is computed once, cut and counted."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from puna.node.embedding import EmbedAsk, Embedding, InputTooLong, TextCut, embed
from puna.node.engine.request import LoadSpec, Purpose
from puna.node.engine.scripted import Script, ScriptedEngine
from puna.node.engine.vectors import Embedded, Input
from puna.node.reranking import RerankAsk, Reranking, best, rerank
from puna.node.scheduler.scheduler import Scheduler
from puna.node.scheduler.state import Limits, Wanted
from puna.units import Size, Span
from tests.worlds import FakeWorld

SPEC = LoadSpec(Path("/m"), 32, slots=2, memory=Size(1), purpose=Purpose.EMBED)
WANTED = Wanted("m", SPEC)
NOTHING = EmbedAsk(wanted=WANTED, inputs=())
RANKING = Reranking((0.2, 0.9, 0.2, 0.5), 9, (), Span(0))
QUERY = RerankAsk(wanted=WANTED, query="a", documents=("a", "b"))


class Noted(ScriptedEngine):
    """A scripted engine that keeps what it was asked to embed, call by call."""

    calls: list[tuple[Input, ...]]

    async def embed(self, inputs: Sequence[Input], *, normalize: bool = True) -> Embedded:
        self.calls.append(tuple(inputs))
        return await super().embed(inputs, normalize=normalize)


class Bench:
    """A scheduler with one such engine."""

    def __init__(self) -> None:
        self.world = FakeWorld()
        self.calls: list[tuple[Input, ...]] = []
        limits = Limits(Size(10))
        self.scheduler = Scheduler(self._load, limits, self.world)

    async def _load(self, spec: LoadSpec) -> Noted:
        engine = Noted(spec, Script(), self.world)
        engine.calls = self.calls
        return engine

    async def embed(self, *inputs: Input, **changes: object) -> Embedding:
        ask = replace(NOTHING, inputs=inputs, **changes)  # type: ignore[arg-type]
        return await embed(self.scheduler, ask, self.world)

    async def rerank(self, **changes: object) -> Reranking:
        ask = replace(QUERY, **changes)  # type: ignore[arg-type]
        return await rerank(self.scheduler, ask, self.world)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    one = Bench()
    yield one
    await one.scheduler.close(limit=Span(0))


async def test_equal_texts_are_computed_once_and_counted_each_time(bench: Bench) -> None:
    found = await bench.embed("a", "b", "a", "a")
    assert bench.calls == [("a", "b")]
    assert found.vectors[0] == found.vectors[2] == found.vectors[3]
    assert found.tokens == 8


async def test_many_texts_are_few_calls(bench: Bench) -> None:
    found = await bench.embed(*(str(number) for number in range(600)))
    assert [len(each) for each in bench.calls] == [256, 256, 88]
    assert len(found.vectors) == 600


async def test_a_short_text_goes_to_the_engine_as_it_is(bench: Bench) -> None:
    await bench.embed("a b", "c " * 12)
    assert bench.calls[0][0] == "a b"
    assert isinstance(bench.calls[0][1], tuple)


async def test_a_text_is_cut_at_its_end(bench: Bench) -> None:
    found = await bench.embed("x" + " a" * 60)
    whole = await bench.embed("x" + " a" * 30)
    assert found.cuts == (TextCut(0, 62, 32),)
    assert found.vectors == whole.vectors


async def test_tokens_are_cut_too(bench: Bench) -> None:
    engine = Noted(SPEC, Script(), bench.world)
    tokens = await engine.tokenize("a" * 40, add_special=False)
    found = await bench.embed(tokens * 10)
    assert found.cuts == (TextCut(0, len(tokens) * 10, 32),)


@pytest.mark.parametrize("changes", [{"truncate": False}, {"most_tokens": 0}])
async def test_what_may_not_be_cut_is_refused(bench: Bench, changes: dict[str, object]) -> None:
    with pytest.raises(InputTooLong):
        await bench.embed("a " * 60, **changes)


@pytest.mark.parametrize(
    ("count", "places"), [(None, (1, 3, 0, 2)), (2, (1, 3)), (9, (1, 3, 0, 2)), (0, ())]
)
def test_the_best_come_first_and_equal_ones_in_their_order(
    count: int | None, places: tuple[int, ...]
) -> None:
    assert best(RANKING, count) == places


async def test_a_score_becomes_a_share_unless_it_is_one(bench: Bench) -> None:
    assert (await bench.rerank()).scores == pytest.approx((0.731, 0.5), abs=1e-3)
    assert (await bench.rerank(is_probability=True)).scores == (1.0, 0.0)


async def test_a_document_beside_its_query_is_cut(bench: Bench) -> None:
    found = await bench.rerank(documents=("a", "a " * 60))
    assert [each.index for each in found.cuts] == [1]
    with pytest.raises(InputTooLong):
        await bench.rerank(documents=("a " * 60,), truncate=False)


async def test_a_query_that_leaves_no_room_is_refused(bench: Bench) -> None:
    with pytest.raises(InputTooLong):
        await bench.rerank(query="a " * 60)

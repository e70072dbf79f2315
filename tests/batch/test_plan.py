"""A plan: what it finds in the input, and that its forecast is what the job will take."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from puna.batch.events import Preparing, Reading
from puna.batch.forecast import weigh_rows
from puna.batch.job import NothingToDo
from puna.batch.plan import ModelSize, PlanEvent, Sampling, Survey, bids_of, survey, work_of
from puna.batch.prices import shipped_prices
from puna.batch.shards import Shard
from puna.batch.spared import Spared
from puna.batch.spec import EmbedTask, PromptTask, Task
from puna.batch.workers.worker import Answer, Spent
from puna.units import Size, Span
from tests.batch.stage import ANIMAL_OR_PLANT, EchoWorker, an_order, write_csv
from tests.worlds import FakeWorld

SIZE = ModelSize(135_000_000, Size(100_000_000))
PREFIX = 40


class HandWorld(FakeWorld):
    """Time moves when a worker works."""

    def spend(self, span: Span) -> None:
        self._elapsed = Span(self._elapsed + span)


class PacedWorker(EchoWorker):
    """Takes a millisecond for each thing that neighbours do not share, and counts tokens so too."""

    def __init__(self, world: HandWorld, places: int = 1) -> None:
        super().__init__(places=places)
        self._world = world
        self.spent = Spent()

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        weight = weigh_rows([text.encode() for text in shard.texts])
        self._world.spend(Span.of(ms=weight))
        asked = sum(PREFIX + len(text) for text in shard.texts)
        self.spent += Spent(asked, sum(len(text) for text in shard.texts))
        return await super().compute(shard)


def idle() -> float:
    return 0.0


def words(count: int) -> list[str]:
    """Texts of which neighbours share more and more, from the front of the list to its end."""
    return [f"{'abcdefghij'[number % 10]}{number:06d}" for number in range(count)]


async def events_of(
    tmp_path: Path, texts: Sequence[str], task: Task = ANIMAL_OR_PLANT, wanted: int = 200
) -> list[PlanEvent]:
    world = HandWorld()
    order = an_order(write_csv(tmp_path / "in.csv", texts), Path(), task=task, column="text")
    return [event async for event in survey(order, [PacedWorker(world)], world, wanted, look=idle)]


async def found_in(
    tmp_path: Path, texts: Sequence[str], task: Task = ANIMAL_OR_PLANT, wanted: int = 200
) -> Survey:
    last = (await events_of(tmp_path, texts, task, wanted))[-1]
    assert isinstance(last, Survey)
    return last


async def test_rows_repeats_and_bad_rows_are_counted(tmp_path: Path) -> None:
    found = await found_in(tmp_path, ["one", "two", "one", "", "  two "])
    assert (found.intake.rows, found.intake.distinct, found.intake.bad) == (5, 2, 1)


async def test_the_forecast_is_what_the_whole_list_takes(tmp_path: Path) -> None:
    texts = words(4000)
    ordered = sorted(text.encode() for text in texts)
    batches = [ordered[place : place + 255] for place in range(0, 4000, 255)]
    truth = sum(weigh_rows(batch) for batch in batches) / 1000
    found = await found_in(tmp_path, texts)
    assert found.sampled < 1500
    assert found.forecast.span.seconds == pytest.approx(truth, rel=0.02)
    assert found.forecast.low <= Span.of(seconds=truth) <= found.forecast.high


async def test_on_a_busy_machine_the_range_says_what_else_may_be(tmp_path: Path) -> None:
    world = HandWorld()
    order = an_order(write_csv(tmp_path / "in.csv", words(1000)), Path(), column="text")
    steps = survey(order, [PacedWorker(world)], world, 200, look=lambda: 0.5)
    found = [event async for event in steps][-1]
    assert isinstance(found, Survey)
    idle_one = (await found_in(tmp_path, words(1000))).forecast
    assert (found.busy, found.forecast.span) == (0.5, idle_one.span)
    assert found.forecast.low == pytest.approx(idle_one.low / 2)
    assert found.forecast.high == pytest.approx(idle_one.high * 1.5)


async def test_what_happens_is_told(tmp_path: Path) -> None:
    told = [type(event) for event in await events_of(tmp_path, words(300))]
    assert told[0] is Reading
    assert told[-1] is Survey
    assert {Preparing, Sampling} <= set(told)


async def test_tokens_are_counted_by_the_worker(tmp_path: Path) -> None:
    tokens = (await found_in(tmp_path, words(1000))).tokens
    assert (tokens.shared, tokens.own, tokens.is_counted) == (PREFIX, 7, True)
    assert tokens.computed == pytest.approx(7, rel=0.05)


async def test_an_answer_that_is_written_is_counted(tmp_path: Path) -> None:
    found = await found_in(tmp_path, words(100), PromptTask(system="s" * 8))
    tokens = found.tokens
    assert (tokens.shared, tokens.own, tokens.written, tokens.answer) == (2, 1, 4, 4)
    assert work_of(found, SIZE).written == 400


async def test_several_labels_a_row_are_one_chat_elsewhere(tmp_path: Path) -> None:
    found = await found_in(tmp_path, words(100), replace(ANIMAL_OR_PLANT, multi=True))
    assert not found.tokens.is_counted
    assert found.tokens.own < 20


async def test_vectors_have_no_price_at_hosted_models_of_words(tmp_path: Path) -> None:
    found = await found_in(tmp_path, words(100), EmbedTask())
    bids = bids_of(found, SIZE, shipped_prices())
    assert (bids.hosted, len(bids.cards)) == ((), len(shipped_prices().cards))


async def test_without_the_size_of_the_model_cards_are_left_out(tmp_path: Path) -> None:
    found = await found_in(tmp_path, words(100))
    assert bids_of(found, ModelSize(), shipped_prices()).cards == ()


async def test_rows_without_an_answer_are_counted(tmp_path: Path) -> None:
    found = await found_in(tmp_path, [*words(40), *(f"refuse {n}" for n in range(10))])
    assert (found.sampled, found.refused) == (50, 10)


@pytest.mark.parametrize("texts", [["", " "], []], ids=["bad rows alone", "no rows"])
async def test_an_input_without_rows_has_no_plan(tmp_path: Path, texts: list[str]) -> None:
    with pytest.raises(NothingToDo):
        await found_in(tmp_path, texts)


async def test_two_at_a_time_take_no_longer_than_one_after_the_other(tmp_path: Path) -> None:
    world = HandWorld()
    order = an_order(write_csv(tmp_path / "in.csv", words(1000)), Path(), column="text")
    events = [
        event async for event in survey(order, [PacedWorker(world, 2)], world, 200, look=idle)
    ]
    found = events[-1]
    assert isinstance(found, Survey)
    alone = await found_in(tmp_path, words(1000))
    assert found.forecast.span == pytest.approx(alone.forecast.span, rel=0.1)


async def test_a_cascade_is_forecast_as_a_range(tmp_path: Path) -> None:
    world = HandWorld()
    task = replace(ANIMAL_OR_PLANT, cascade=0.9)
    order = an_order(write_csv(tmp_path / "in.csv", words(9000)), Path(), task=task, column="text")
    known = [Spared("job", 0.5)]
    found = [
        [each async for each in survey(order, [PacedWorker(world)], world, 200, **more)][-1]
        for more in ({"look": idle}, {"look": idle, "before": known})
    ]
    unknown, closer = (each for each in found if isinstance(each, Survey))
    assert unknown.cascade is not None
    assert unknown.cascade.lessons == 1500
    assert unknown.forecast.low < unknown.forecast.span / 2
    assert unknown.forecast.low < closer.forecast.low < closer.forecast.span < unknown.forecast.span
    assert closer.tokens.computed < unknown.tokens.computed


async def test_several_share_a_sample_and_their_speeds_add_up(tmp_path: Path) -> None:
    world = HandWorld()
    order = an_order(write_csv(tmp_path / "in.csv", words(4000)), Path(), column="text")
    pair = [PacedWorker(world), PacedWorker(world)]
    found = [event async for event in survey(order, pair, world, 200, look=idle)][-1]
    assert isinstance(found, Survey)
    assert found.where == ("echo", "echo")
    asked = [shard.first for worker in pair for shard in worker.asked if len(shard.texts) > 16]
    assert len(asked) == len(set(asked))


class Settling(PacedWorker):
    """Slow until it has been asked often enough."""

    @property
    def is_settled(self) -> bool:
        return len(self.asked) > 5

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        if not self.is_settled:
            self._world.spend(Span.of(seconds=4))
        return await super().compute(shard)


async def test_what_a_worker_does_before_it_has_found_its_pace_is_no_forecast(
    tmp_path: Path,
) -> None:
    world = HandWorld()
    order = an_order(write_csv(tmp_path / "in.csv", words(4000)), Path(), column="text")
    steps = survey(order, [Settling(world)], world, 200, look=idle)
    found = [event async for event in steps][-1]
    assert isinstance(found, Survey)
    usual = (await found_in(tmp_path, words(4000))).forecast.span
    assert found.forecast.span == pytest.approx(usual, rel=0.03)

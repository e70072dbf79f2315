"""A job over workers of unequal speed that vanish and return, in a world whose time the test owns.

Whatever happens, by seed: every row once and in order, no shard computed more often than it was
lost or overtaken, and the end not much later than the speeds allow.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from puna.batch.job import Job
from puna.batch.shards import Shard
from puna.batch.spec import PromptTask, Spec
from puna.batch.workers.worker import Answer, Identity, WorkerGone
from puna.units import Span
from tests.batch.stage import an_order, answer, folder_of, records, write_csv
from tests.worlds import FakeWorld

STEP = Span.of(ms=250)
SHARD_ROWS = 64
"""Of a job of prompts with eight such shards or more."""


@dataclass
class SlowWorker:
    """Takes a fixed time for a shard, one after another, and is away from time to time."""

    name: str
    world: FakeWorld
    shard_s: float
    away: Sequence[tuple[float, float]] = ()
    done: list[int] = field(default_factory=list)
    lost: int = 0
    places: int = 2
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_away(self) -> bool:
        now = self.world.elapsed().seconds
        return any(begin <= now < end for begin, end in self.away)

    async def prepare(self, spec: Spec) -> Identity:
        if self.is_away:
            raise WorkerGone(f"{self.name} is away")
        self.task = spec.task
        return Identity("0" * 64, "simulated")

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        async with self.turn:
            for _ in range(4):
                await self.world.wait(Span.of(seconds=self.shard_s / 4))
                if self.is_away:
                    self.lost += 1
                    raise WorkerGone(f"{self.name} went away")
        self.done.append(shard.number)
        return [answer(self.task, text) for text in shard.texts]

    async def close(self) -> None:
        """Nothing is open."""


async def run_job(home: Path, world: FakeWorld, workers: Sequence[SlowWorker], rows: int) -> float:
    """Run a job to its end and return how long it took in the world's time."""
    source = write_csv(home / "in.csv", [f"row {n}" for n in range(rows)])
    order = an_order(source, home / "out.jsonl", task=PromptTask())
    checkpoint = folder_of(order, home)

    async def running() -> None:
        async with aclosing(Job(checkpoint, order, world).run(workers, anew=False)) as events:
            async for _ in events:
                pass

    began = world.elapsed()
    with checkpoint.lock():
        task = asyncio.create_task(running())
        while not task.done():
            await world.advance(STEP)
            await asyncio.sleep(0.002)  # what goes to the disk takes real time
        await task
    return Span(world.elapsed() - began).seconds


def check_rows(home: Path, rows: int) -> None:
    texts = [each["text"] for each in records(home / "out.jsonl")]
    assert texts == [f"row {n}" for n in range(rows)]


async def test_fast_ones_do_more_and_nobody_waits_long_for_the_slow(tmp_path: Path) -> None:
    world = FakeWorld()
    spans = {"fast": 1.0, "middle": 4.0, "slow": 20.0}
    workers = [SlowWorker(name, world, span) for name, span in spans.items()]
    shards = 60
    took = await run_job(tmp_path, world, workers, shards * SHARD_ROWS)
    check_rows(tmp_path, shards * SHARD_ROWS)
    ideal = shards / sum(1 / span for span in spans.values())
    assert took <= 1.5 * ideal + 8  # the disk takes real time, while the world goes on
    counts = [len(each.done) for each in workers]
    assert counts == sorted(counts, reverse=True)


async def test_without_anybody_faster_nothing_is_computed_twice(tmp_path: Path) -> None:
    world = FakeWorld()
    workers = [SlowWorker(name, world, 4.0) for name in ("one", "two")]
    await run_job(tmp_path, world, workers, 20 * SHARD_ROWS)
    check_rows(tmp_path, 20 * SHARD_ROWS)
    assert sorted(number for each in workers for number in each.done) == list(range(20))


async def test_one_that_is_away_at_the_start_joins_later(tmp_path: Path) -> None:
    world = FakeWorld()
    late = SlowWorker("late", world, 1.0, away=[(0, 10)])
    there = SlowWorker("there", world, 2.0)
    await run_job(tmp_path, world, [late, there], 40 * SHARD_ROWS)
    check_rows(tmp_path, 40 * SHARD_ROWS)
    assert len(late.done) > 5


@pytest.mark.parametrize("seed", range(4))
async def test_whoever_vanishes_and_returns_no_row_is_lost_or_doubled(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - chance that repeats
    world = FakeWorld(seed=seed)
    workers = []
    for number in range(3):
        begins = [dice.uniform(2, 40) for _ in range(3)]
        away = [(begin, begin + dice.uniform(1, 8)) for begin in begins]
        workers.append(SlowWorker(f"w{number}", world, dice.choice([1.0, 2.0, 6.0]), away))
    shards = 40
    await run_job(tmp_path, world, workers, shards * SHARD_ROWS)
    check_rows(tmp_path, shards * SHARD_ROWS)
    computed = [number for each in workers for number in each.done]
    assert set(computed) == set(range(shards))
    overtaken = 2 * len(workers)
    assert len(computed) <= shards + overtaken


async def test_a_job_that_is_left_and_taken_up_computes_only_what_was_in_flight(
    tmp_path: Path,
) -> None:
    world = FakeWorld()
    source = write_csv(tmp_path / "in.csv", [f"row {n}" for n in range(20 * SHARD_ROWS)])
    order = an_order(source, tmp_path / "out.jsonl", task=PromptTask())
    first = SlowWorker("first", world, 1.0)
    checkpoint = folder_of(order, tmp_path)
    with checkpoint.lock():
        job = Job(checkpoint, order, world).run([first], anew=False)
        async with aclosing(job) as events:
            following = asyncio.ensure_future(_drain(events))
            while len(first.done) < 8:
                await world.advance(STEP)
                await asyncio.sleep(0.002)
            following.cancel()
            await asyncio.wait({following})
    second = SlowWorker("second", world, 1.0)
    await run_job(tmp_path, world, [second], 20 * SHARD_ROWS)
    check_rows(tmp_path, 20 * SHARD_ROWS)
    assert len(set(first.done) & set(second.done)) <= first.places


async def _drain(events: object) -> None:
    async for _ in events:  # type: ignore[attr-defined]
        pass

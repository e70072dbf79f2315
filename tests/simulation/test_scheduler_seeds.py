"""The whole scheduler under a crowd that comes, waits, computes and vanishes as a seed says."""

import asyncio
import random

import pytest

from puna.errors import PunaError
from puna.node.engine.engine import LoadFailed
from puna.node.scheduler.scheduler import Scheduler
from puna.node.scheduler.state import Limits
from puna.units import Size, Span
from tests.scheduler.stage import Workshop, a_spec, a_wanted
from tests.worlds import FakeWorld, settle

SECOND = Span.of(seconds=1)
ENOUGH = Span.of(hours=1)


class Crowd:
    """Clients with plans: a model, a time to come, a time to use it, perhaps a time to vanish."""

    def __init__(self, seed: int, limits: Limits, *, names: str = "abcde") -> None:
        self.dice = random.Random(seed)  # noqa: S311 - chance that repeats
        self.world = FakeWorld(seed=seed)
        self.workshop = Workshop(self.world)
        self.scheduler = Scheduler(self.workshop, limits, self.world)
        self.models = [
            a_wanted(a_spec(name, memory=self.dice.randint(1, 10), slots=self.dice.randint(1, 3)))
            for name in names
        ]
        self.outcomes: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    def invite(self, clients: int, *, within_s: float, vanishing: float) -> None:
        for _ in range(clients):
            task = asyncio.create_task(self._visit(self._some_span(within_s)))
            self._tasks.append(task)
            if self.dice.random() < vanishing:
                self._tasks.append(asyncio.create_task(self._interrupt(task, within_s)))

    async def everyone_done(self) -> None:
        await self.world.advance(ENOUGH)
        assert all(each.done() for each in self._tasks)

    async def _visit(self, arrival: Span) -> None:
        outcome = "vanished"
        keep_alive = self.dice.choice([None, Span(0), SECOND, Span(-1)])
        try:
            await self.world.wait(arrival)
            self.workshop.load_span = self._some_span(2)
            wanted = self.dice.choice(self.models)
            async with self.scheduler.lease(wanted, keep_alive=keep_alive) as lease:
                await self.world.wait(self._some_span(3))
                assert wanted.spec.weights.name in self.workshop.held
                assert lease.engine.facts.slots == wanted.spec.slots
            outcome = "served"
        except PunaError as error:
            outcome = error.code
        finally:
            self.outcomes.append(outcome)

    async def _interrupt(self, task: asyncio.Task[None], within_s: float) -> None:
        await self.world.wait(self._some_span(within_s + 3))
        task.cancel()

    def _some_span(self, below_s: float) -> Span:
        return Span.of(seconds=self.dice.uniform(0, below_s))


@pytest.mark.parametrize("seed", range(20))
async def test_a_crowd_is_served_within_the_memory(seed: int) -> None:
    crowd = Crowd(seed, Limits(Size(12)))
    crowd.invite(60, within_s=20, vanishing=0)
    await crowd.everyone_done()
    assert crowd.outcomes == ["served"] * 60
    assert crowd.workshop.peak <= 12
    assert max(crowd.workshop.held.values()) <= 1


@pytest.mark.parametrize("seed", range(20))
async def test_a_storm_of_cancellations_leaves_nothing_behind(seed: int) -> None:
    crowd = Crowd(seed, Limits(Size(12), max_queue=15))
    crowd.invite(120, within_s=5, vanishing=0.7)
    await crowd.everyone_done()
    await crowd.scheduler.close()
    await settle()
    assert len(crowd.outcomes) == 120
    assert set(crowd.outcomes) <= {"served", "vanished", "queue_full"}
    assert (crowd.workshop.memory, crowd.workshop.live, crowd.world.sleepers) == (0, [], 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("seed", range(10))
async def test_failing_loads_and_dying_engines_harm_nobody_else(seed: int) -> None:
    crowd = Crowd(seed, Limits(Size(12)))
    crowd.invite(80, within_s=30, vanishing=0.2)
    for _ in range(30):
        await crowd.world.advance(SECOND)
        crowd.workshop.fails_with = LoadFailed("no") if crowd.dice.random() < 0.2 else None
        for engine in crowd.workshop.live:
            if crowd.dice.random() < 0.1:
                engine.kill()
    crowd.workshop.fails_with = None
    await crowd.everyone_done()
    assert set(crowd.outcomes) <= {"served", "vanished", "load_failed"}
    assert crowd.workshop.peak <= 12


@pytest.mark.parametrize("seed", range(10))
async def test_closing_in_the_middle_answers_everyone(seed: int) -> None:
    crowd = Crowd(seed, Limits(Size(12)))
    crowd.invite(60, within_s=10, vanishing=0.2)
    await crowd.world.advance(Span(5 * SECOND))
    closing = asyncio.create_task(crowd.scheduler.close(limit=SECOND))
    await crowd.everyone_done()
    await closing
    assert len(crowd.outcomes) == 60
    assert set(crowd.outcomes) <= {"served", "vanished", "shutting_down"}
    assert (crowd.workshop.memory, crowd.workshop.live) == (0, [])

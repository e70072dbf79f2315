"""Deadlines are by the market's clock: counted on through steps of the machine's, and kills."""

from datetime import UTC, datetime, timedelta

import pytest

from puna.agent.deadman import MarketClock, Reading, this_boot
from puna.units import Span
from tests.worlds import NOON, FakeWorld

HOUR = timedelta(hours=1)
TOLD = NOON + 5 * HOUR


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


async def a_kept_reading(world: FakeWorld) -> Reading:
    """Return what an agent keeps that heard the market half an hour ago."""
    await world.advance(Span.of(minutes=10))
    clock = MarketClock(world, boot="one")
    clock.hear(TOLD)
    await world.advance(Span.of(minutes=30))
    assert clock.reading is not None
    return clock.reading


async def test_without_a_word_it_is_the_machines_own(world: FakeWorld) -> None:
    clock = MarketClock(world, boot="one")
    assert (clock.now(), clock.reading) == (NOON, None)


async def test_a_step_of_the_machines_clock_moves_nothing(world: FakeWorld) -> None:
    clock = MarketClock(world)
    clock.hear(TOLD)
    world.jump(-HOUR)
    await world.advance(Span.of(minutes=1))
    assert clock.now() == TOLD + timedelta(minutes=1)


async def test_an_agent_that_was_killed_counts_on(world: FakeWorld) -> None:
    """Cut off from its market, and by a clock that is wrong, it still stops what must stop."""
    reading = await a_kept_reading(world)
    world.jump(-2 * HOUR)
    assert MarketClock(world, reading, boot="one").now() == TOLD + timedelta(minutes=30)


@pytest.mark.parametrize("boot", ["two", ""])
async def test_a_machine_that_began_anew_goes_by_its_clock(world: FakeWorld, boot: str) -> None:
    """Nothing runs there, and what its monotonic clock shows means something else now."""
    reading = await a_kept_reading(world)
    assert MarketClock(world, reading, boot=boot).now() == world.now()


async def test_what_is_kept_changes_only_with_the_market(world: FakeWorld) -> None:
    clock = MarketClock(world, boot="one")
    clock.hear(TOLD)
    before = clock.reading
    await world.advance(Span.of(minutes=1))
    clock.hear(TOLD + timedelta(minutes=1, milliseconds=300))
    assert clock.reading is before
    clock.hear(TOLD + HOUR)
    assert clock.reading != before


def test_a_start_of_the_machine_has_a_name() -> None:
    assert this_boot() == this_boot()


@pytest.mark.parametrize(
    "said", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
async def test_a_time_beyond_all_calendars_is_none(world: FakeWorld, said: datetime) -> None:
    clock = MarketClock(world, boot="one")
    clock.hear(TOLD)
    clock.hear(said)
    await world.advance(Span.of(minutes=1))
    assert clock.now() == TOLD + timedelta(minutes=1)

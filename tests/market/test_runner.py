"""Loops: each takes its turn in time and when something changed, and no failure ends it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from puna.market.bells import Bell
from puna.market.db.database import Database, sqlite_address
from puna.market.db.sealing import Seal
from puna.market.loops.runner import Loop, keep_turning, loops_of, take_turn
from puna.market.market import Market, tariff_of
from puna.market.settings import load_market_settings
from puna.units import Span
from tests.worlds import FakeWorld, becomes, settle

MINUTE = Span.of(minutes=1)


@asynccontextmanager
async def a_quiet_market(folder: Path) -> AsyncIterator[tuple[Market, FakeWorld]]:
    """A market without loops or routes."""
    settings = load_market_settings({"PUNA_HOME": str(folder)})
    world = FakeWorld()
    database = await Database.open(sqlite_address(folder / "market.db"))
    try:
        yield (
            Market(
                database=database,
                world=world,
                tariff=tariff_of(settings),
                settings=settings,
                seal=Seal(bytes(32)),
            ),
            world,
        )
    finally:
        await database.close()


class Counted:
    """A turn that counts how often it was taken, and fails when told to."""

    def __init__(self) -> None:
        self.turns = 0
        self.fails = False

    async def __call__(self, market: Market) -> None:
        del market
        self.turns += 1
        if self.fails:
            raise OSError("the database went away")


@asynccontextmanager
async def turning(market: Market, loop: Loop) -> AsyncIterator[None]:
    task = asyncio.create_task(keep_turning(market, loop))
    await settle()
    yield
    task.cancel()
    await asyncio.wait({task})


async def rests(world: FakeWorld) -> None:
    """Return once the loop has done its work and waits for time or a ring."""
    await becomes(lambda: world.sleepers)
    await settle()


async def test_a_loop_takes_its_turn_every_so_often(tmp_path: Path) -> None:
    counted = Counted()
    async with (
        a_quiet_market(tmp_path) as (market, world),
        turning(market, Loop(name="count", every=MINUTE, turn=counted)),
    ):
        for turns in range(1, 5):
            await becomes(lambda turns=turns: counted.turns == turns)  # type: ignore[misc]
            await rests(world)
            await world.advance(MINUTE)
    assert counted.turns >= 4


async def test_a_nudge_makes_it_hurry_once(tmp_path: Path) -> None:
    counted, hurried = Counted(), Counted()
    async with (
        a_quiet_market(tmp_path) as (market, world),
        turning(market, Loop(name="count", every=MINUTE, turn=counted, hurry=hurried)),
    ):
        await rests(world)
        market.nudge()
        market.nudge()
        await world.advance(Span.of(seconds=1))
        await rests(world)
    assert (counted.turns, hurried.turns) == (1, 1)


async def test_a_loop_without_hurry_waits_for_its_time(tmp_path: Path) -> None:
    counted = Counted()
    async with (
        a_quiet_market(tmp_path) as (market, world),
        turning(market, Loop(name="count", every=MINUTE, turn=counted)),
    ):
        await rests(world)
        market.nudge()
        await world.advance(Span.of(seconds=1))
        await rests(world)
    assert counted.turns == 1


async def test_a_turn_that_fails_is_logged_and_the_next_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counted = Counted()
    counted.fails = True
    async with (
        a_quiet_market(tmp_path) as (market, world),
        turning(market, Loop(name="count", every=MINUTE, turn=counted)),
    ):
        await rests(world)
        await world.advance(MINUTE)
        await becomes(lambda: counted.turns == 2)
    assert "a turn of `count` failed" in caplog.text


async def test_every_loop_of_the_market_can_take_a_turn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with a_quiet_market(tmp_path) as (market, _):
        for loop in loops_of(market):
            await take_turn(market, loop)
            if loop.hurry:
                await loop.hurry(market)
    assert not caplog.records


async def test_of_two_processes_one_takes_the_turn(tmp_path: Path) -> None:
    counted = Counted()
    async with a_quiet_market(tmp_path) as (market, world):
        loop = Loop(name="count", every=MINUTE, turn=counted)
        await take_turn(market, loop)
        await take_turn(market, loop)
        assert counted.turns == 1
        await world.advance(MINUTE)
        await take_turn(market, loop)
    assert counted.turns == 2


async def test_a_turn_taken_by_a_wrong_clock_holds_nobody_up(tmp_path: Path) -> None:
    counted = Counted()
    async with a_quiet_market(tmp_path) as (market, world):
        loop = Loop(name="count", every=MINUTE, turn=counted)
        world.jump(timedelta(days=1))
        await take_turn(market, loop)
        world.jump(timedelta(days=-1))
        await take_turn(market, loop)
    assert counted.turns == 2


async def test_a_bell_wakes_all_who_took_its_next_ring() -> None:
    bell = Bell()
    first, second = bell.next, bell.next
    bell.ring()
    assert first.is_set()
    assert second.is_set()
    assert not bell.next.is_set()

"""The scheduler at work: clients, engines that need no weights, and time that the test owns."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from puna.errors import Failed
from puna.node.engine.engine import LoadFailed
from puna.node.scheduler.effects import NoRoom, QueueFull, ShuttingDown
from puna.node.scheduler.scheduler import Scheduler
from puna.node.scheduler.state import EngineState, Limits, Wanted
from puna.units import Size, Span
from tests.scheduler.stage import Client, Workshop, a_spec, a_wanted
from tests.worlds import NOON, FakeWorld, settle

A, B, BIG, HUGE = (
    a_wanted(a_spec(name, memory=memory))
    for name, memory in (("a", 4), ("b", 4), ("big", 10), ("huge", 11))
)
SECOND, MINUTE = Span.of(seconds=1), Span.of(minutes=1)
LIMITS = Limits(Size(10))


class House:
    """A scheduler with everything around it."""

    def __init__(self, limits: Limits = LIMITS, *, load_span: Span = SECOND) -> None:
        self.world = FakeWorld()
        self.workshop = Workshop(self.world, load_span=load_span)
        self.scheduler = Scheduler(self.workshop, limits, self.world)


async def test_a_model_is_loaded_used_and_kept() -> None:
    house = House()
    client = Client(house.scheduler, A)
    await house.world.advance(SECOND)
    assert client.lease is not None
    assert (client.lease.engine.facts.slots, client.lease.load_span) == (1, SECOND)
    client.leave()
    again = Client(house.scheduler, A)
    await settle()
    assert again.lease is not None
    assert again.lease.load_span == 0
    assert house.workshop.begun == ["a"]


async def test_an_idle_model_is_gone_after_its_keep_alive() -> None:
    house = House()
    await load(house, A)
    await house.world.advance(Span(5 * MINUTE - 1))
    assert len(house.workshop.live) == 1
    await house.world.advance(Span(1))
    assert house.workshop.live == []
    assert house.scheduler.running() == ()


async def test_each_use_prolongs_the_stay() -> None:
    house = House()
    await load(house, A)
    for _ in range(3):
        await house.world.advance(Span(4 * MINUTE))
        await load(house, A)
    assert house.workshop.begun == ["a"]


async def test_jumps_of_the_clock_on_the_wall_end_nothing() -> None:
    house = House()
    await load(house, A)
    house.world.jump(timedelta(days=-400))
    await house.world.advance(MINUTE)
    house.world.jump(timedelta(days=900))
    await house.world.advance(MINUTE)
    [running] = house.scheduler.running()
    assert running.expires_at == house.world.now() + timedelta(minutes=3)


async def test_the_memory_is_never_over_the_limit_and_idle_models_make_room() -> None:
    house = House()
    for wanted in (A, B, BIG, A):
        await load(house, wanted)
    assert house.workshop.begun == ["a", "b", "big", "a"]
    assert (house.workshop.peak, house.workshop.memory) == (10, 4)


async def test_two_models_load_at_the_same_time() -> None:
    house = House()
    clients = [Client(house.scheduler, A), Client(house.scheduler, B)]
    await house.world.advance(SECOND)
    assert all(each.is_served for each in clients)


async def test_a_hundred_models_with_room_for_one_are_all_served_in_turn() -> None:
    house = House(Limits(Size(10)))
    order: list[str] = []

    async def use(name: str) -> None:
        wanted = a_wanted(a_spec(name, memory=6))
        async with house.scheduler.lease(wanted):
            order.append(name)
            await house.world.wait(SECOND)

    names = [f"model {number}" for number in range(100)]
    clients = [asyncio.create_task(use(name)) for name in names]
    await house.world.advance(Span(300 * SECOND))
    assert all(each.done() for each in clients)
    assert order == names
    assert (house.workshop.peak, max(house.workshop.held.values())) == (6, 1)


async def test_a_failed_load_is_told_to_everyone_who_waits_and_the_next_one_tries_afresh() -> None:
    house = House()
    house.workshop.fails_with = LoadFailed("tensor 7 is cut short")
    clients = [Client(house.scheduler, A) for _ in range(3)]
    await house.world.advance(SECOND)
    assert [str(each.error) for each in clients] == ["tensor 7 is cut short"] * 3
    assert house.workshop.memory == 0
    house.workshop.fails_with = None
    await load(house, A)
    assert house.workshop.begun == ["a", "a"]


async def test_a_failure_told_to_many_does_not_grow_with_each() -> None:
    house = House()
    house.workshop.fails_with = LoadFailed("no")
    clients = [Client(house.scheduler, A) for _ in range(50)]
    await house.world.advance(SECOND)
    assert all(len(each.told_through) < 10 for each in clients)


async def test_a_failure_that_nobody_foresaw_fails_the_load_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    house.workshop.fails_with = OSError("out of processes")
    client = Client(house.scheduler, A)
    await house.world.advance(SECOND)
    assert isinstance(client.error, LoadFailed)
    assert str(client.error) == 'model "a" could not be loaded: out of processes'
    assert "out of processes" in caplog.text
    house.workshop.fails_with = None
    await load(house, A)


async def test_a_load_that_takes_too_long_is_ended() -> None:
    house = House(load_span=Span(10 * MINUTE))
    client = Client(house.scheduler, A)
    await house.world.advance(Span(5 * MINUTE))
    assert str(client.error) == 'model "a" was not loaded within 5m0s'
    assert house.workshop.memory == 0


async def test_leaving_during_a_load_calls_it_off() -> None:
    house = House()
    client = Client(house.scheduler, A)
    await settle()
    client.vanish()
    await settle()
    assert (house.workshop.memory, house.scheduler.running()) == (0, ())


async def test_leaving_does_not_call_off_a_load_that_others_wait_for() -> None:
    house = House()
    first, second = Client(house.scheduler, A), Client(house.scheduler, A)
    await settle()
    first.vanish()
    await house.world.advance(SECOND)
    assert second.is_served
    assert house.workshop.begun == ["a"]


async def test_a_client_that_vanishes_while_it_computes_gives_its_slot_back() -> None:
    house = House()
    first, second = Client(house.scheduler, A), Client(house.scheduler, A)
    await house.world.advance(SECOND)
    assert (first.is_served, second.waits) == (True, True)
    first.vanish()
    await settle()
    assert second.is_served


async def test_a_client_that_vanishes_while_it_waits_for_a_slot_is_forgotten() -> None:
    house = House()
    clients = [Client(house.scheduler, A) for _ in range(3)]
    await house.world.advance(SECOND)
    clients[1].vanish()
    clients[0].leave()
    await settle()
    assert (clients[2].is_served, house.scheduler.waiting) == (True, 0)


async def test_an_error_inside_the_block_ends_the_lease() -> None:
    house = House(load_span=Span(0))
    with pytest.raises(Failed, match="mine"):
        async with house.scheduler.lease(A):
            raise Failed("mine")
    await settle()
    assert [each.in_use for each in house.scheduler.running()] == [0]


async def test_slots_are_shared_first_come_first_served() -> None:
    house = House()
    wanted = a_wanted(a_spec(slots=4))
    clients = [Client(house.scheduler, wanted) for _ in range(6)]
    await house.world.advance(SECOND)
    assert [each.is_served for each in clients] == [True] * 4 + [False] * 2
    clients[2].leave()
    await settle()
    assert [each.is_served for each in clients] == [True] * 5 + [False]


async def test_a_full_queue_refuses_whatever_one_waits_for() -> None:
    house = House(Limits(Size(10), max_queue=2))
    clients = [Client(house.scheduler, wanted) for wanted in (A, BIG, A, B)]
    await settle()
    assert [type(each.error) for each in clients[2:]] == [QueueFull, QueueFull]
    await house.world.advance(SECOND)
    assert clients[0].is_served


async def test_a_model_that_cannot_fit_is_refused_without_touching_the_others() -> None:
    house = House()
    await load(house, A)
    client = Client(house.scheduler, HUGE)
    await settle()
    assert isinstance(client.error, NoRoom)
    assert [each.label for each in house.scheduler.running()] == ["a"]


async def test_a_busy_model_is_never_ended_for_another() -> None:
    house = House()
    busy = await served(house, A)
    waits = Client(house.scheduler, BIG)
    await house.world.advance(MINUTE)
    assert (waits.waits, len(house.workshop.live)) == (True, 1)
    busy.leave()
    await house.world.advance(SECOND)
    assert waits.is_served


async def test_a_steady_stream_for_one_model_does_not_keep_another_out_for_ever() -> None:
    house = House(load_span=Span(0))
    served_at: list[Span] = []

    async def stream() -> None:
        while not served_at:
            async with house.scheduler.lease(a_wanted(a_spec(slots=4))):
                await house.world.wait(Span(2 * SECOND))

    async def once() -> None:
        async with house.scheduler.lease(BIG):
            served_at.append(house.world.elapsed())

    streams = [asyncio.create_task(stream())]
    await house.world.advance(SECOND)
    streams += [asyncio.create_task(stream()), asyncio.create_task(once())]
    await house.world.advance(MINUTE)
    assert served_at == [Span(7 * SECOND)]
    assert all(each.done() for each in streams)


async def test_no_ping_pong_between_who_sets_the_context_and_who_does_not() -> None:
    house = House()
    with_context = a_wanted(a_spec(context=8192))
    without = a_wanted(a_spec(context=4096), auto=["context"])
    for wanted in (with_context, without, with_context, without):
        await load(house, wanted)
    assert house.workshop.begun == ["a"]


async def test_two_names_of_the_same_weights_share_one_engine() -> None:
    house = House()
    await load(house, A)
    await load(house, a_wanted(a_spec(), label="copy-of-a"))
    [running] = house.scheduler.running()
    assert (house.workshop.begun, running.labels) == (["a"], ("a", "copy-of-a"))


@pytest.mark.parametrize("target", ["a", Path("/models/a")])
async def test_unload_returns_when_an_idle_model_is_gone(target: Path | str) -> None:
    house = House()
    await load(house, A)
    assert await house.scheduler.unload(target)
    assert (house.workshop.live, house.scheduler.running()) == ([], ())


async def test_unload_of_what_is_not_loaded_says_so() -> None:
    assert not await House().scheduler.unload("a")


async def test_unload_lets_those_who_use_it_finish_and_is_not_put_off_by_newcomers() -> None:
    house = House()
    first = await served(house, A)
    assert await house.scheduler.unload("a")
    newcomer = Client(house.scheduler, A)
    await settle()
    assert [each.state for each in house.scheduler.running()] == [EngineState.STOPPING]
    assert newcomer.waits
    first.leave()
    await house.world.advance(SECOND)
    assert newcomer.is_served
    assert house.workshop.begun == ["a", "a"]


async def test_keep_alive_zero_unloads_with_the_last_lease() -> None:
    house = House()
    client = await served(house, A, keep_alive=Span(0))
    client.leave()
    await settle()
    assert house.workshop.live == []


async def test_a_short_keep_alive_ends_while_a_longer_one_lasts() -> None:
    house = House()
    await load(house, A)
    client = await served(house, B, keep_alive=SECOND)
    client.leave()
    await house.world.advance(SECOND)
    assert [each.label for each in house.scheduler.running()] == ["a"]


async def test_a_negative_keep_alive_keeps_for_ever() -> None:
    house = House()
    client = await served(house, A, keep_alive=Span(-1))
    client.leave()
    await house.world.advance(Span(10**6 * MINUTE))
    assert [each.expires_at for each in house.scheduler.running()] == [None]


async def test_running_shows_when_it_will_end() -> None:
    house = House()
    await load(house, A)
    await house.world.advance(MINUTE)
    [running] = house.scheduler.running()
    assert running.expires_at == NOON + timedelta(minutes=5, seconds=1)
    assert (running.state, running.in_use) == (EngineState.READY, 0)


async def test_an_engine_that_dies_idle_is_replaced_for_the_next_request() -> None:
    house = House()
    await load(house, A)
    house.workshop.engines[0].kill()
    await settle()
    assert (house.workshop.memory, house.scheduler.running()) == (0, ())
    await load(house, A)
    assert house.workshop.begun == ["a", "a"]


async def test_who_waits_for_a_slot_of_an_engine_that_dies_gets_a_new_one() -> None:
    house = House()
    victim = await served(house, A)
    waits = Client(house.scheduler, A)
    await settle()
    house.workshop.engines[0].kill()
    await house.world.advance(SECOND)
    assert waits.is_served
    assert house.workshop.begun == ["a", "a"]
    victim.leave()
    await settle()
    assert [each.in_use for each in house.scheduler.running()] == [1]


async def test_an_engine_that_cannot_stop_cleanly_is_gone_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    await load(house, A)
    house.workshop.engines[0].fails_to_stop = True
    assert await house.scheduler.unload("a")
    assert house.scheduler.running() == ()
    assert "the test says no" in caplog.text


async def test_close_refuses_who_waits_and_lets_who_computes_finish() -> None:
    house = House()
    computes = await served(house, A)
    waits = Client(house.scheduler, BIG)
    await settle()
    closing = asyncio.create_task(house.scheduler.close(limit=MINUTE))
    await settle()
    assert isinstance(waits.error, ShuttingDown)
    assert len(house.workshop.live) == 1
    computes.leave()
    await closing
    assert (house.workshop.live, house.workshop.memory) == ([], 0)


async def test_close_ends_who_computes_too_long() -> None:
    house = House()
    await served(house, A)
    closing = asyncio.create_task(house.scheduler.close(limit=SECOND))
    await house.world.advance(SECOND)
    await closing
    assert house.workshop.live == []


async def test_close_calls_loads_off_and_leaves_nothing_behind() -> None:
    house = House()
    client = Client(house.scheduler, A)
    await settle()
    await house.scheduler.close()
    await settle()
    assert isinstance(client.error, ShuttingDown)
    assert (house.workshop.memory, house.world.sleepers) == (0, 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_after_close_everyone_is_refused() -> None:
    house = House()
    await load(house, A)
    await house.scheduler.close()
    await house.scheduler.close()
    with pytest.raises(ShuttingDown):
        await house.scheduler.load(A)


async def test_close_before_any_use_returns() -> None:
    await House().scheduler.close()


async def test_the_memory_is_asked_for_before_each_load() -> None:
    world = FakeWorld()
    free = [Size(3)]
    scheduler = Scheduler(Workshop(world), LIMITS, world, memory=lambda: free[0])
    with pytest.raises(NoRoom, match="3 B can be used"):
        await scheduler.load(A)
    free[0] = Size(4)
    await scheduler.load(A)
    free[0] = Size(0)
    await scheduler.load(A)


async def test_a_measurement_that_fails_leaves_the_last_one_in_force(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> Size:
        raise OSError("no /proc here")

    world = FakeWorld()
    scheduler = Scheduler(Workshop(world), LIMITS, world, memory=broken)
    assert await scheduler.load(A) == 0
    assert "no /proc here" in caplog.text


async def test_a_request_that_cannot_be_decided_is_refused_and_the_others_go_on() -> None:
    house = House(load_span=Span(0))
    broken = a_wanted(a_spec("a", memory=4))
    object.__setattr__(broken, "spec", None)
    with pytest.raises(Failed, match="could not be scheduled"):
        await house.scheduler.load(broken)
    assert await house.scheduler.load(A) == 0


async def load(house: House, wanted: Wanted) -> None:
    client = await served(house, wanted)
    client.leave()
    await settle()


async def served(house: House, wanted: Wanted, *, keep_alive: Span | None = None) -> Client:
    client = Client(house.scheduler, wanted, keep_alive=keep_alive)
    await house.world.advance(SECOND)
    assert client.is_served
    return client

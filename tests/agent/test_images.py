"""Images of renters that no pod needs are removed when they take more than their owner says."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from puna.agent.images import SWEEP, Idle, ImageWatch, taken_by, too_many
from puna.units import Size
from tests.agent.hosts import IMAGE, Host, a_host, an_order
from tests.worlds import NOON

GB = 10**9
OTHERS = tuple(f"reg.example/img:{number}" for number in (2, 3))


def idle(name: str, size: int, age_s: int, id_: str = "") -> Idle:
    return Idle(name, id_ or name, Size(size), NOON - timedelta(seconds=age_s))


@pytest.mark.parametrize(
    ("limit", "going"),
    [
        (60, []),
        (59, ["old"]),
        (31, ["old"]),
        (29, ["old", "middle"]),
        (0, ["old", "middle", "new"]),
    ],
)
def test_who_was_needed_longest_ago_goes_first(limit: int, going: list[str]) -> None:
    every = [idle("new", 10, 1), idle("old", 30, 9), idle("middle", 20, 5)]
    assert [each.name for each in too_many(every, Size(limit))] == going


def test_two_names_of_one_image_take_its_room_once() -> None:
    assert taken_by([idle("a", 10, 1, "same"), idle("b", 10, 2, "same"), idle("c", 5, 3)]) == 15


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """A host that has run three images, of which one is needed; each takes two gigabytes."""
    async with a_host(tmp_path) as made:
        made.there.registry |= set(OTHERS)
        made.there.sizes = dict.fromkeys([IMAGE, *OTHERS], 2 * GB)
        for number, image in enumerate(OTHERS):
            await needs(made, an_order(f"p{number}", image=image))
        await needs(made, an_order())
        yield made


async def needs(host: Host, *orders: object) -> None:
    host.order(*orders)  # type: ignore[arg-type]
    await host.turns(6)


async def swept(host: Host, limit: int) -> ImageWatch:
    watch = ImageWatch(host.world, host.engine, host.keeper, Size(limit))
    for _ in range(2):
        await host.world.advance(SWEEP)
        await watch.look()
    return watch


async def test_what_is_within_the_limit_stays(host: Host) -> None:
    watch = await swept(host, 4 * GB)
    assert host.there.images == {IMAGE, *OTHERS}
    assert (watch.unused.count, watch.unused.size, watch.unused.removed) == (2, 4 * GB, 0)


async def test_what_is_too_much_goes_and_what_is_needed_stays(host: Host) -> None:
    watch = await swept(host, 2 * GB)
    assert len(host.there.images) == 2
    assert IMAGE in host.there.images
    assert (watch.unused.count, watch.unused.removed) == (1, 1)
    await swept(host, 0)
    assert host.there.images == {IMAGE}
    assert host.there.running("p1")


async def test_what_was_removed_is_fetched_again_when_it_is_needed(host: Host) -> None:
    await swept(host, 0)
    await needs(host, an_order(), an_order("p9", image=OTHERS[0]))
    assert host.there.running("p9")
    assert OTHERS[0] in host.there.images


async def test_the_owners_images_are_never_removed(host: Host) -> None:
    mine = "reg.example/mine:1"
    host.there.images.add(mine)
    host.there.registry.add(mine)
    host.there.sizes[mine] = 90 * GB
    await needs(host, an_order("p8", image=mine))
    assert host.there.running("p8")
    await needs(host)
    await swept(host, 0)
    assert host.there.images == {mine}


async def test_an_image_that_a_strange_container_has_stays(host: Host) -> None:
    made = host.there.of("p1")[0]
    body = {**made.body, "Image": OTHERS[0], "Labels": {}}
    host.there.containers["strange"] = type(made)("strange", "strange", body)
    watch = await swept(host, 0)
    assert host.there.images == {IMAGE, OTHERS[0]}
    assert watch.unused.count == 1


async def test_before_the_market_has_spoken_nothing_is_removed(host: Host) -> None:
    await needs(host)
    host.restart()
    await swept(host, 0)
    assert host.there.images == {IMAGE, *OTHERS}
    host.keeper.obey(host.orders)
    await swept(host, 0)
    assert host.there.images == set()


async def test_the_image_of_a_stopped_pod_is_needed(host: Host) -> None:
    await needs(host, an_order(want="stop"))
    await swept(host, 0)
    assert IMAGE in host.there.images


async def test_an_image_that_its_owner_removed_is_forgotten(host: Host) -> None:
    host.there.images.discard(OTHERS[0])
    watch = await swept(host, 90 * GB)
    assert watch.unused.count == 1
    assert OTHERS[0] not in host.keeper.fetched

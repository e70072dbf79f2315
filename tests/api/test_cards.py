"""A node with cards, as its clients see it; the scripted engine says what it was loaded with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from puna.hardware.engine_cards import EngineCard, EngineCards
from puna.hardware.memory import Memory
from puna.models.fit_offload import CARD_OVERHEAD
from puna.node.cards import CardWatch
from puna.units import Size
from tests.api.stage import Stage, a_model, staged

GB = 10**9
ROOM = CARD_OVERHEAD + 20_000_000


def cards(*free: int) -> CardWatch:
    found = tuple(
        EngineCard(f"CUDA{number}", "Tesla T4", Memory(Size(16 * GB), Size(each)), number=number)
        for number, each in enumerate(free)
    )
    watch = CardWatch(lambda: EngineCards(found, is_for_cards=True))
    watch.measure({})
    return watch


def one_card(free: int) -> EngineCards:
    memory = Memory(Size(16 * GB), Size(free))
    return EngineCards((EngineCard("CUDA0", "Tesla T4", memory),), is_for_cards=True)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Stage]:
    """A node with two cards, each with room for one model."""
    async with staged(tmp_path, cards=cards(ROOM, ROOM)) as stage:
        stage.add_model("second", a_model(**{"general.name": "Second"}))
        stage.add_model("third", a_model(**{"general.name": "Third"}))
        yield stage


async def running(stage: Stage) -> dict[str, dict[str, object]]:
    models = (await stage.ask("GET", "/api/ps")).json["models"]
    assert isinstance(models, list)
    return {each["name"].partition(":")[0]: each for each in models}


async def test_a_model_on_a_card_is_all_there(two: Stage) -> None:
    await two.chat("hi")

    entry = (await running(two))["tiny"]

    assert entry["size"] == entry["size_vram"]
    assert isinstance(entry["size_vram"], int)
    assert entry["size_vram"] > 0
    assert entry["processor"] == "Tesla T4"


@pytest.mark.parametrize(
    ("options", "processor"),
    [
        ({"num_gpu": 0}, "CPU, 1 thread"),
        ({"num_gpu": 2}, "2 of 3 layers on Tesla T4, the rest on CPU, 1 thread"),
        ({"num_gpu": 99}, "Tesla T4"),
        ({"num_gpu": -1, "main_gpu": 1}, "Tesla T4"),
    ],
    ids=str,
)
async def test_what_is_asked_of_cards_is_done(
    two: Stage, options: dict[str, int], processor: str
) -> None:
    await two.chat("hi", options=options)

    entry = (await running(two))["tiny"]

    assert entry["processor"] == processor
    assert (entry["size_vram"] == 0) is ("Tesla" not in processor)
    assert (entry["size"] == entry["size_vram"]) is (processor == "Tesla T4")


async def test_a_driver_and_a_process_are_no_part_of_a_model(two: Stage) -> None:
    await two.chat("hi", options={"num_gpu": 2})

    entry = (await running(two))["tiny"]

    assert isinstance(entry["size"], int)
    assert entry["size"] < 100_000_000


async def test_models_share_cards_and_the_longest_idle_makes_room_on_its_own(two: Stage) -> None:
    await two.chat("hi")
    await two.chat("hi", model="second")
    places = {each.label: each.spec.shares[0].name for each, _ in two.node.running()}
    assert set(places.values()) == {"CUDA0", "CUDA1"}

    await two.chat("hi", model="third")

    left = {each.label.partition(":")[0] for each, _ in two.node.running()}
    assert left == {"second", "third"}


async def test_a_card_that_another_program_left_is_used_without_a_new_start(
    tmp_path: Path,
) -> None:
    free = [CARD_OVERHEAD // 2]
    watch = CardWatch(lambda: one_card(free[0]))
    watch.measure({})
    async with staged(tmp_path, cards=watch) as stage:
        await stage.chat("hi")
        assert (await running(stage))["tiny"]["processor"] == "CPU, 1 thread"

        await stage.node.unload(stage.node.find("tiny"))
        free[0] = ROOM
        await stage.chat("hi")

        assert (await running(stage))["tiny"]["processor"] == "Tesla T4"


async def test_a_card_that_another_program_took_leaves_the_model_to_the_processor(
    tmp_path: Path,
) -> None:
    free = [ROOM]
    watch = CardWatch(lambda: one_card(free[0]))
    watch.measure({})
    free[0] = 0
    async with staged(tmp_path, cards=watch) as stage:
        await stage.chat("hi")

        assert (await running(stage))["tiny"]["size_vram"] == 0


async def test_layers_that_fit_nowhere_are_refused_with_the_numbers(tmp_path: Path) -> None:
    async with staged(tmp_path, cards=cards(CARD_OVERHEAD // 2)) as stage:
        body = {"model": "tiny", "prompt": "hi", "options": {"num_gpu": 2}}
        reply = await stage.ask("POST", "/api/generate", body)

    assert reply.status == 500
    assert "for 2 of 3 layers on Tesla T4 and 300 MB can be used" in str(reply.error)


async def test_a_card_that_is_not_here_is_said(two: Stage) -> None:
    body = {"model": "tiny", "prompt": "hi", "options": {"main_gpu": 7}}
    reply = await two.ask("POST", "/api/generate", body)

    assert reply.status == 400
    assert str(reply.error).startswith("main_gpu 7 is no card here")

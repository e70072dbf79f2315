"""Cards as the node uses them: room on each, loads that shrink, and what people are told."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from puna.hardware.devices import Device, DeviceKind
from puna.hardware.engine_cards import EngineCard, EngineCards
from puna.hardware.memory import Memory
from puna.models.fit_offload import CARD_OVERHEAD, CardShare
from puna.node.cards import CardWatch, card_rooms_of, offloading, shrunk
from puna.node.engine.cards import CardFull
from puna.node.engine.engine import EngineFactory
from puna.node.engine.request import LoadSpec
from puna.node.engine.scripted import Script, scripted_factory
from puna.units import Size
from tests.worlds import FakeWorld

GB = 10**9
SHARE = CardShare("CUDA0", 0, 32, Size(CARD_OVERHEAD + 3200), "Tesla T4")
SPEC = LoadSpec(
    Path("/models/x"),
    context=4096,
    slots=1,
    memory=Size(1000),
    gpu_layers=32,
    all_layers=33,
    shares=(SHARE,),
    may_shrink=True,
)


def a_card(free: int, *, number: int = 0) -> EngineCard:
    memory = Memory(Size(24 * GB), Size(free))
    return EngineCard(f"CUDA{number}", "Tesla T4", memory, number=number)


def watch(*free: int, overhead: int = 0) -> CardWatch:
    cards = tuple(a_card(each, number=number) for number, each in enumerate(free))
    found = CardWatch(lambda: EngineCards(cards, is_for_cards=True), overhead=overhead)
    found.measure({})
    return found


def factory(
    room: int = 24 * GB, *, free: int = 24 * GB, held: Mapping[str, int] | None = None
) -> EngineFactory:
    """What loads where a card says that so much is free, and has only so much room."""
    scripted = scripted_factory(FakeWorld(), Script(card_room={"CUDA0": room}))
    return offloading(scripted, watch(free), lambda _: held or {}, lambda spec: spec)


def test_all_models_may_take_what_is_free_and_what_they_hold() -> None:
    found = watch(5 * GB, overhead=GB)
    assert found.most == {"CUDA0": 4 * GB}

    found.measure({"CUDA0": 2 * GB, "gone": 1})

    assert found.most == {"CUDA0": 6 * GB}
    (room,) = found.rooms({"CUDA0": 5 * GB})
    assert (room.free, room.most, room.label) == (GB, 6 * GB, "Tesla T4")


def test_an_engine_that_cannot_be_asked_has_no_cards(caplog: pytest.LogCaptureFixture) -> None:
    found = CardWatch(lambda: EngineCards(is_for_cards=True, fault="the driver hangs"))
    found.measure({})

    assert found.rooms({}) == ()
    assert "no card is used: the driver hangs" in caplog.text


def test_rooms_are_those_of_the_devices_that_the_engine_uses() -> None:
    memory = Memory(Size(9), Size(5))
    used = Device("T4", DeviceKind.CARD, memory, card=a_card(5, number=1))
    unused = Device("Radeon", DeviceKind.CARD, memory, usable=False)

    (room,) = card_rooms_of([used, unused], overhead=2)

    assert (room.name, room.number, room.free, room.label) == ("CUDA1", 1, 3, "T4")


def test_a_load_with_less_on_cards_has_more_in_memory() -> None:
    smaller = shrunk(SPEC)

    assert smaller is not None
    assert (smaller.gpu_layers, smaller.shares[0].layers) == (24, 24)
    assert smaller.shares[0].memory == CARD_OVERHEAD + 2400
    assert smaller.memory == SPEC.memory + 800
    assert smaller.model_memory == SPEC.model_memory + 800


def test_the_last_layer_leaves_the_card() -> None:
    one = replace(SPEC, gpu_layers=1, shares=(replace(SHARE, layers=1),))

    smaller = shrunk(one)

    assert smaller is not None
    assert (smaller.shares, smaller.gpu_layers) == ((), 0)


def test_layers_that_were_asked_for_are_never_fewer() -> None:
    assert shrunk(replace(SPEC, may_shrink=False)) is None


@pytest.mark.parametrize(
    ("room", "layers"),
    [(3200, 32), (2400, 24), (1800, 18), (1300, 13)],
    ids=["enough", "once", "twice", "thrice"],
)
async def test_a_full_card_gets_fewer_layers_and_that_is_said(
    caplog: pytest.LogCaptureFixture, room: int, layers: int
) -> None:
    engine = await factory(CARD_OVERHEAD + room)(SPEC)

    assert engine.facts.gpu_layers == layers
    assert caplog.text.count("trying again") == {32: 0, 24: 1, 18: 2, 13: 3}[layers]


async def test_a_card_that_stays_full_is_said_after_four_tries() -> None:
    with pytest.raises(CardFull, match="CUDA0 is full") as found:
        await factory(1)(SPEC)

    assert found.value.hint == "num_gpu 0 uses no card"


async def test_room_that_another_program_took_is_seen_before_the_load() -> None:
    engine = await factory(free=CARD_OVERHEAD + 2400)(SPEC)

    assert engine.facts.gpu_layers == 24


async def test_what_other_models_hold_is_not_free() -> None:
    load = factory(free=GB, held={"CUDA0": CARD_OVERHEAD})

    assert (await load(SPEC)).facts.gpu_layers == 32


async def test_asked_layers_without_room_are_refused_with_the_numbers() -> None:
    asked = replace(SPEC, may_shrink=False)

    with pytest.raises(CardFull, match=r"600 MB are planned on Tesla T4 and 500 MB are") as found:
        await factory(free=GB // 2)(asked)

    assert found.value.hint == "fewer layers than num_gpu 32 may fit; num_gpu 0 uses no card"


async def test_a_load_without_cards_is_left_alone() -> None:
    engine = await factory(0, free=0)(replace(SPEC, shares=(), gpu_layers=0))

    assert engine.facts.on_cards == 0

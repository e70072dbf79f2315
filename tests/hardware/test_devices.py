"""Every device is told: what the engine can compute on, and why another card is not used."""

import pytest

from puna.hardware.cards import Card, Maker
from puna.hardware.devices import Device, DeviceKind, card_devices, detect_devices, processor_device
from puna.hardware.engine_cards import EngineCard, EngineCards, usable_together
from puna.hardware.memory import Memory
from puna.hardware.processor import Processor
from puna.units import Size

GB = 10**9
MEMORY = Memory(Size(24 * GB), Size(20 * GB))
T4 = Card("Tesla T4", MEMORY, maker=Maker.NVIDIA, address="0000:01:00.0")
RADEON = Card("Radeon RX 7900", MEMORY, maker=Maker.AMD, address="0000:03:00.0")
APPLE = Card("Apple M2 (graphics)", MEMORY, shares_memory=True, maker=Maker.APPLE)
FREE = Memory(Size(24 * GB), Size(9 * GB))
FOR_PROCESSORS = EngineCards(version="2026.10.1")
INDEX = "https://xorbitsai.github.io/xllamacpp/whl"


def seen(name: str, address: str = "", description: str = "", **other: object) -> EngineCard:
    backend = name.rstrip("0123456789")
    return EngineCard(name, description, FREE, address, backend, **other)  # type: ignore[arg-type]


def for_cards(*cards: EngineCard) -> EngineCards:
    return EngineCards(usable_together(cards), "2026.10.1", is_for_cards=True)


def unused(card: Card, engine: EngineCards, **environment: str) -> Device:
    (device,) = (each for each in card_devices([card], engine, environment) if not each.usable)
    return device


def test_the_processor_computes_in_the_machines_memory() -> None:
    device = processor_device(Processor("AMD EPYC", cores=4, threads=8), MEMORY)

    assert device.usable
    assert (device.kind, device.memory, device.threads) == (DeviceKind.PROCESSOR, MEMORY, 4)
    assert str(device) == "AMD EPYC, 4 threads, 20 GB of 24 GB free"
    assert str(processor_device(Processor("x", 1, 1), MEMORY)).startswith("x, 1 thread, ")


@pytest.mark.parametrize(
    ("card", "build"),
    [(T4, "cu128"), (RADEON, "rocm-7.2.4"), (Card("Arc", MEMORY), "vulkan")],
    ids=["NVIDIA", "AMD", "another"],
)
def test_a_card_that_this_build_does_not_use_comes_with_the_command(card: Card, build: str) -> None:
    command = f"pip install --force-reinstall --index-url {INDEX}/{build} xllamacpp==2026.10.1"

    device = unused(card, FOR_PROCESSORS)
    assert device.reason == "the installed engine computes on processors only"
    assert device.remedy == command
    assert str(device).endswith(f"; not used: {device.reason}; {command}")
    another = for_cards(seen("Vulkan0", "0000:99:00.0"))
    assert unused(card, another).reason == "the installed engine is not for it"


@pytest.mark.parametrize(
    ("card", "engine", "environment", "words"),
    [
        (Card("NVIDIA card", None, fault="driver gone"), FOR_PROCESSORS, {}, "driver gone"),
        (T4, for_cards(), {"CUDA_VISIBLE_DEVICES": ""}, "hidden by CUDA_VISIBLE_DEVICES="),
        (RADEON, for_cards(), {"HIP_VISIBLE_DEVICES": "1"}, "hidden by HIP_VISIBLE_DEVICES=1"),
        (
            T4,
            EngineCards(is_for_cards=True, fault="it crashed"),
            {},
            "the engine could not be asked for cards: it crashed",
        ),
        (
            APPLE,
            FOR_PROCESSORS,
            {},
            "the installed engine computes on processors only",
        ),
    ],
    ids=["its driver fails", "hidden", "hidden from AMD's", "the engine fails", "Apple's"],
)
def test_the_reason_is_the_first_that_can_be_mended(
    card: Card, engine: EngineCards, environment: dict[str, str], words: str
) -> None:
    assert unused(card, engine, **environment).reason == words


@pytest.mark.parametrize(
    ("card", "engine"),
    [
        (T4, seen("CUDA0", "0000:01:00.0")),
        (Card("Tesla T4", MEMORY), seen("CUDA0", "0000:01:00.0", "Tesla T4")),
        (APPLE, seen("MTL0", description="Apple M2", is_integrated=True)),
    ],
    ids=["the same address", "the same name", "Apple's own"],
)
def test_a_card_that_the_engine_sees_is_used_with_what_is_free_now(
    card: Card, engine: EngineCard
) -> None:
    (device,) = card_devices([card], for_cards(engine), {})

    assert device.usable
    assert (device.name, device.memory) == (card.name, FREE)
    assert device.card is not None
    assert device.card.name == engine.name


def test_two_cards_of_one_name_are_two() -> None:
    pair = for_cards(seen("CUDA0", description="T4"), seen("CUDA1", description="T4"))
    cards = [Card("T4", MEMORY), Card("T4", MEMORY), Card("T4", MEMORY)]

    found = card_devices(cards, pair, {})

    assert [each.card.name if each.card else "" for each in found] == ["CUDA0", "CUDA1", ""]


def test_a_card_that_only_the_engine_sees_is_told_by_its_drivers_name() -> None:
    (device,) = card_devices([], for_cards(seen("Vulkan0", description="Intel Arc")), {})

    assert str(device) == "Intel Arc, 9 GB of 24 GB free"


@pytest.mark.parametrize(
    ("found", "names"),
    [
        ([seen("CUDA0", "a"), seen("Vulkan0", "a"), seen("Vulkan1", "b")], ["CUDA0", "Vulkan1"]),
        ([seen("Vulkan0", is_integrated=True), seen("CUDA0", "a")], ["CUDA0"]),
        (
            [
                seen("ROCm0", "a", is_integrated=True),
                seen("Vulkan0", "a", is_integrated=True),
                seen("ROCm1", "b", is_integrated=True),
            ],
            ["ROCm0", "ROCm1"],
        ),
        ([seen("Vulkan0"), seen("Vulkan1")], ["Vulkan0", "Vulkan1"]),
        ([], []),
    ],
    ids=["one card twice", "a card beside shared", "shared by one backend", "no address", "none"],
)
def test_what_a_load_uses_is_numbered_as_llama_cpp_does(
    found: list[EngineCard], names: list[str]
) -> None:
    usable = usable_together(found)

    assert [each.name for each in usable] == names
    assert [each.number for each in usable] == list(range(len(names)))


def test_the_first_device_is_this_machines_processor() -> None:
    first, *others = detect_devices(FOR_PROCESSORS, {})

    assert first.kind is DeviceKind.PROCESSOR
    assert first.memory.total > 0
    assert all(other.kind is DeviceKind.CARD for other in others)

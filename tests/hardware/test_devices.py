"""Every device is told, and why one is not used."""

import pytest

from puna.hardware.cards import Card
from puna.hardware.devices import DeviceKind, detect_devices, device_of, processor_device
from puna.hardware.memory import Memory
from puna.hardware.processor import Processor
from puna.units import Size

GB = 10**9
ONLY_PROCESSORS = "the engine that comes with puna computes on processors only"
MEMORY = Memory(Size(24 * GB), Size(20 * GB))


def test_the_processor_computes_in_the_machines_memory() -> None:
    device = processor_device(Processor("AMD EPYC", cores=4, threads=8), MEMORY)

    assert device.usable
    assert (device.kind, device.memory, device.threads) == (DeviceKind.PROCESSOR, MEMORY, 4)
    assert str(device) == "AMD EPYC, 4 threads, 20 GB of 24 GB free"
    assert str(processor_device(Processor("x", 1, 1), MEMORY)).startswith("x, 1 thread, ")


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (
            Card("Tesla T4", MEMORY),
            f"Tesla T4, 20 GB of 24 GB free; not used: {ONLY_PROCESSORS}",
        ),
        (
            Card("NVIDIA card", None, fault="driver gone"),
            "NVIDIA card, 0 B of 0 B free; not used: driver gone",
        ),
    ],
)
def test_a_card_is_told_with_the_reason_why_it_is_not_used(card: Card, words: str) -> None:
    device = device_of(card)

    assert not device.usable
    assert device.kind is DeviceKind.CARD
    assert str(device) == words


def test_the_first_device_is_this_machines_processor() -> None:
    first, *others = detect_devices()

    assert first.kind is DeviceKind.PROCESSOR
    assert first.memory.total > 0
    assert all(other.kind is DeviceKind.CARD for other in others)

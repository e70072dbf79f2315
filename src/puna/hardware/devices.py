"""What this machine has to compute with, and what of it puna can use."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from puna.hardware.cards import Card, detect_cards
from puna.hardware.memory import Memory, available_memory
from puna.hardware.processor import Processor, detect_processor
from puna.units import Size

_PROCESSORS_ONLY = "the engine that comes with puna computes on processors only"


class DeviceKind(StrEnum):
    """What computes."""

    PROCESSOR = "processor"
    CARD = "card"


@dataclass(frozen=True, slots=True)
class Device:
    """A processor or a card."""

    name: str
    kind: DeviceKind
    memory: Memory
    """For the processor, the machine's; both zero where a card does not tell."""
    usable: bool = True
    reason: str = ""
    """Why it is not usable."""
    threads: int = 0
    """Threads to compute with, for a processor."""

    def __str__(self) -> str:
        plural = "s" if self.threads > 1 else ""
        words = f"{self.name}, {self.threads} thread{plural}" if self.threads else self.name
        words += f", {self.memory.available} of {self.memory.total} free"
        return words if self.usable else f"{words}; not used: {self.reason}"


def detect_devices(root: Path = Path("/")) -> tuple[Device, ...]:
    """Return the processor, then every card; blocks, for seconds where a driver is slow."""
    cards = tuple(device_of(card) for card in detect_cards(root))
    return (processor_device(detect_processor(root), available_memory(root)), *cards)


def processor_device(processor: Processor, memory: Memory) -> Device:
    """Return the processor as a device, with the memory that it computes in."""
    threads = processor.best_threads
    return Device(processor.name, DeviceKind.PROCESSOR, memory, threads=threads)


def device_of(card: Card) -> Device:
    """Return a card as a device, with the reason why this build cannot use it."""
    memory = card.memory or Memory(Size(0), Size(0))
    reason = card.fault or _PROCESSORS_ONLY
    return Device(card.name, DeviceKind.CARD, memory, usable=False, reason=reason)

"""What this machine has to compute with, and what of it the installed engine can use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from puna.hardware.cards import Card, detect_cards
from puna.hardware.engine_cards import EngineCard, EngineCards, matching, why_unused
from puna.hardware.memory import Memory, available_memory
from puna.hardware.processor import Processor, detect_processor
from puna.units import Size

_NOT_TOLD = Memory(Size(0), Size(0))


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
    remedy: str = ""
    """What makes it usable, if that is known."""
    threads: int = 0
    """Threads to compute with, for a processor."""
    card: EngineCard | None = None
    """What the engine calls a card that it can use."""

    def __str__(self) -> str:
        plural = "s" if self.threads > 1 else ""
        words = f"{self.name}, {self.threads} thread{plural}" if self.threads else self.name
        words += f", {self.memory.available} of {self.memory.total} free"
        if self.usable:
            return words
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{words}; not used: {self.reason}{remedy}"


def detect_devices(
    engine: EngineCards, environment: Mapping[str, str], root: Path = Path("/")
) -> tuple[Device, ...]:
    """Return the processor, then every card; blocks, for seconds where a driver is slow.

    `environment` has the variables by which a person hides cards from the engine.
    """
    processor = processor_device(detect_processor(root), available_memory(root))
    return (processor, *card_devices(detect_cards(root), engine, environment))


def processor_device(processor: Processor, memory: Memory) -> Device:
    """Return the processor as a device, with the memory that it computes in."""
    threads = processor.best_threads
    return Device(processor.name, DeviceKind.PROCESSOR, memory, threads=threads)


def card_devices(
    cards: Sequence[Card], engine: EngineCards, environment: Mapping[str, str]
) -> tuple[Device, ...]:
    """Return the cards that the engine can use, in its order, then the others with the reason."""
    found: dict[EngineCard, Card] = {}
    unused = []
    for card in cards:
        free = [each for each in engine.cards if each not in found]
        match = matching(card, free)
        if match is None:
            memory, kind = card.memory or _NOT_TOLD, DeviceKind.CARD
            why, remedy = why_unused(card, engine, environment)
            unused.append(Device(card.name, kind, memory, usable=False, reason=why, remedy=remedy))
        else:
            found[match] = card
    used = [
        Device(
            found[each].name if each in found else each.description,
            DeviceKind.CARD,
            each.memory,
            card=each,
        )
        for each in engine.cards
    ]
    return (*used, *unused)

"""Graphics cards: which are here, how large, how much of each is free.

Each maker has its own way to be asked. Reading and understanding are apart, so that answers
recorded on machines with cards are tested on machines without.
"""

import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from puna.hardware.memory import Memory, available_memory
from puna.hardware.programs import Output, output_of
from puna.hardware.system_files import read_system_file
from puna.text import one_line
from puna.units import Size

_MIB = 2**20
_NVIDIA_FIELDS = ("index", "pci.bus_id", "name", "memory.total", "memory.free")
_AMD = "0x1002"
_AMD_FILES = ("vendor", "product_name", "mem_info_vram_total", "mem_info_vram_used", "uevent")
_SLOT = "PCI_SLOT_NAME="
_ADDRESS = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])")
_METAL_PERCENT = 75
"""How much of its memory an Apple machine lets its graphics cores use."""


class Maker(StrEnum):
    """Who made a card: which build of the engine can compute on it."""

    NVIDIA = "NVIDIA"
    AMD = "AMD"
    APPLE = "Apple"


@dataclass(frozen=True, slots=True)
class Card:
    """A graphics card, or graphics cores that share the machine's memory."""

    name: str
    memory: Memory | None
    """None where the driver does not tell."""
    shares_memory: bool = False
    fault: str = ""
    """Why the card cannot be asked, in the driver's words."""
    maker: Maker | None = None
    address: str = ""
    """Where on the PCI bus it is: `0000:01:00.0`; empty where that is not told."""


def detect_cards(root: Path = Path("/")) -> tuple[Card, ...]:
    """Return all cards; blocks for up to seconds while drivers wake up."""
    return (*_nvidia_cards(), *_amd_cards(root), *_apple_cards(root))


def parse_nvidia(output: Output) -> tuple[Card, ...]:
    """Understand nvidia-smi's rows without units: index, address, name, MiB in all, MiB free."""
    if output.fault:
        return (Card("NVIDIA card", None, fault=one_line(output.fault), maker=Maker.NVIDIA),)
    rows = ([part.strip() for part in line.split(",")] for line in output.text.splitlines())
    return tuple(
        Card(
            one_line(",".join(row[2:-2]), 80),
            _memory(_mib(row[-2]), _mib(row[-1])),
            maker=Maker.NVIDIA,
            address=bus_address(row[1]),
        )
        for row in rows
        if len(row) >= len(_NVIDIA_FIELDS)
    )


def bus_address(text: str) -> str:
    """Return an address on the PCI bus in one form, `0000:01:00.0`; empty for what is none."""
    found = _ADDRESS.fullmatch(text.strip().lower())
    return f"{int(found[1] or '0', 16):04x}:{found[2]}" if found else ""


def parse_amd(files: Mapping[str, str]) -> Card | None:
    """Understand the files of one device of `/sys/class/drm`; None if it is no card of AMD's."""
    if files.get("vendor") != _AMD:
        return None
    total = _number(files.get("mem_info_vram_total", ""))
    used = _number(files.get("mem_info_vram_used", ""))
    free = None if total is None or used is None else max(0, total - used)
    name = one_line(files.get("product_name") or "AMD card", 80)
    lines = files.get("uevent", "").splitlines()
    slot = next((line.removeprefix(_SLOT) for line in lines if line.startswith(_SLOT)), "")
    return Card(name, _memory(total, free), maker=Maker.AMD, address=bus_address(slot))


def apple_card(name: str, machine: Memory) -> Card:
    """Return the graphics cores of an Apple processor, which use a part of the machine's memory."""
    total = machine.total * _METAL_PERCENT // 100
    memory = Memory(Size(total), Size(min(total, machine.available)))
    return Card(f"{name} (graphics)", memory, shares_memory=True, maker=Maker.APPLE)


def _nvidia_cards() -> tuple[Card, ...]:
    query = f"--query-gpu={','.join(_NVIDIA_FIELDS)}"
    return parse_nvidia(output_of("nvidia-smi", query, "--format=csv,noheader,nounits"))


def _amd_cards(root: Path) -> Iterator[Card]:
    # Connectors, such as card0-HDMI-A-1, are listed beside the cards.
    for folder in sorted(root.glob("sys/class/drm/card*/device")):
        if "-" not in folder.parent.name:
            card = parse_amd({name: read_system_file(folder / name) for name in _AMD_FILES})
            if card is not None:
                yield card


def _apple_cards(root: Path) -> Iterator[Card]:
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        name = output_of("sysctl", "-n", "machdep.cpu.brand_string").text or "Apple"
        yield apple_card(name, available_memory(root))


def _memory(total: int | None, free: int | None) -> Memory | None:
    if total is None:
        return None
    return Memory(Size(total), Size(total if free is None else min(free, total)))


def _mib(text: str) -> int | None:
    number = _number(text)
    return None if number is None else number * _MIB


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None

"""Cards are understood from what drivers said on machines that have them."""

from pathlib import Path

import pytest

from puna.hardware.cards import (
    Card,
    Maker,
    apple_card,
    bus_address,
    detect_cards,
    parse_amd,
    parse_nvidia,
)
from puna.hardware.memory import Memory
from puna.hardware.programs import Output
from puna.units import Size
from tests.hardware.machines import a_machine

MIB = 2**20
GB = 10**9


def memory(total: int, free: int) -> Memory:
    return Memory(Size(total), Size(free))


def nvidia(name: str, total: int, free: int, address: str) -> Card:
    return Card(name, memory(total * MIB, free * MIB), maker=Maker.NVIDIA, address=address)


def amd(name: str, has: Memory | None, address: str = "") -> Card:
    return Card(name, has, maker=Maker.AMD, address=address)


@pytest.mark.parametrize(
    ("text", "cards"),
    [
        ("", ()),
        (
            "0, 00000000:01:00.0, NVIDIA GeForce RTX 4090, 24564, 23983",
            (nvidia("NVIDIA GeForce RTX 4090", 24564, 23983, "0000:01:00.0"),),
        ),
        (
            "0, 00000000:0A:00.0, Tesla T4, 15360, 15101\n1, 1:0B:00.0, Tesla T4, 15360, 2\n",
            (
                nvidia("Tesla T4", 15360, 15101, "0000:0a:00.0"),
                nvidia("Tesla T4", 15360, 2, "0001:0b:00.0"),
            ),
        ),
        (
            "0, [N/A], NVIDIA GB10, [N/A], [N/A]",
            (Card("NVIDIA GB10", None, maker=Maker.NVIDIA),),
        ),
        (
            "0, 00000000:01:00.0, NVIDIA A100, 40960, [Unknown Error]",
            (nvidia("NVIDIA A100", 40960, 40960, "0000:01:00.0"),),
        ),
        ("No devices were found", ()),
        ("0, x, Card\x1b[31m, Red, 8, 9", (nvidia("Card�[31m,Red", 8, 8, ""),)),
    ],
    ids=["no program", "one", "two", "no memory told", "no free told", "none", "hostile name"],
)
def test_nvidias_answer_is_understood(text: str, cards: tuple[Card, ...]) -> None:
    assert parse_nvidia(Output(text)) == cards


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("00000000:01:00.0", "0000:01:00.0"),
        ("0000:C1:00.0", "0000:c1:00.0"),
        ("01:00.1", "0000:01:00.1"),
        ("00010000:0a:1f.7", "10000:0a:1f.7"),
        ("", ""),
        ("[N/A]", ""),
    ],
)
def test_an_address_on_the_bus_has_one_form(text: str, address: str) -> None:
    assert bus_address(text) == address


def test_a_driver_that_fails_is_said() -> None:
    fault = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."

    assert parse_nvidia(Output(fault=fault)) == (
        Card("NVIDIA card", None, fault=fault, maker=Maker.NVIDIA),
    )


@pytest.mark.parametrize(
    ("files", "card"),
    [
        (
            {
                "vendor": "0x1002",
                "product_name": "Radeon RX 7900 XTX",
                "mem_info_vram_total": "25753026560",
                "mem_info_vram_used": "753026560",
                "uevent": "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:03:00.0\nMODALIAS=pci:v1002",
            },
            amd("Radeon RX 7900 XTX", memory(25753026560, 25000000000), "0000:03:00.0"),
        ),
        (
            {"vendor": "0x1002", "mem_info_vram_total": "536870912", "mem_info_vram_used": "1"},
            amd("AMD card", memory(536870912, 536870911)),
        ),
        ({"vendor": "0x1002"}, amd("AMD card", None)),
        ({"vendor": "0x8086", "mem_info_vram_total": "1"}, None),
        ({}, None),
    ],
    ids=["desktop", "no name", "no memory told", "another maker", "nothing"],
)
def test_amds_files_are_understood(files: dict[str, str], card: Card | None) -> None:
    assert parse_amd(files) == card


def test_amds_cards_are_found_and_connectors_are_not(tmp_path: Path) -> None:
    root = a_machine(
        tmp_path,
        {
            "sys/class/drm/card0/device/vendor": "0x1a03",
            "sys/class/drm/card1/device/vendor": "0x1002",
            "sys/class/drm/card1/device/mem_info_vram_total": "8000000000",
            "sys/class/drm/card1/device/mem_info_vram_used": "1000000000",
            "sys/class/drm/card1-HDMI-A-1/device/vendor": "0x1002",
        },
    )

    assert amd("AMD card", memory(8 * GB, 7 * GB)) in detect_cards(root)
    assert len([card for card in detect_cards(root) if card.name == "AMD card"]) == 1


def test_apples_graphics_cores_share_the_memory() -> None:
    card = apple_card("Apple M2", memory(16 * GB, 5 * GB))

    assert card.name == "Apple M2 (graphics)"
    assert card.shares_memory
    assert card.memory == memory(12 * GB, 5 * GB)

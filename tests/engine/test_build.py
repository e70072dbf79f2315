"""What the engine's file says of itself, and what the engine says of its cards."""

import struct
from pathlib import Path

import pytest

from puna.errors import Failed
from puna.hardware.engine_cards import EngineCards
from puna.node.engine.asking_cards import engine_cards, read_report
from puna.node.engine.build import engine_library, engine_version, is_for_cards, needed_libraries
from puna.settings import load_settings

CARD = (
    '{"name": "CUDA0", "description": "Tesla\\u001b T4", "free": 5, "total": 9,'
    ' "address": "0000:01:00.0", "backend": "CUDA", "is_integrated": false}'
)


def an_elf(*needed: str) -> bytes:
    """A library with nothing in it but the names of those it needs."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    places = [strings.index(name.encode()) for name in needed]
    begin, head = 0x1000, 64 + 2 * 56
    table = b"".join(struct.pack("<QQ", 1, place) for place in places)
    table += struct.pack("<QQQQ", 5, begin + head, 0, 0)
    length = head + len(strings) + len(table)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = ident + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    loaded = struct.pack("<IIQQQQQQ", 1, 4, 0, begin, begin, length, length, 4096)
    place = head + len(strings)
    dynamic = struct.pack("<IIQQQQQQ", 2, 4, place, begin + place, 0, len(table), len(table), 8)
    return header + loaded + dynamic + strings + table


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF", b"\x7fELF\x01\x01".ljust(100, b"\0"), an_elf("libc.so.6")[:150]]
)
def test_what_is_no_library_needs_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.so"
    file.write_bytes(content)

    assert needed_libraries(file) == ()
    assert needed_libraries(tmp_path / "none.so") == ()


def test_a_library_says_what_it_needs(tmp_path: Path) -> None:
    file = tmp_path / "x.so"
    file.write_bytes(an_elf("libm.so.6", "libcudart-1a2b.so.12", "libcuda.so.1"))

    assert needed_libraries(file) == ("libm.so.6", "libcudart-1a2b.so.12", "libcuda.so.1")


def test_the_installed_engine_is_found_and_is_for_processors() -> None:
    library = engine_library()

    assert library is not None
    assert "libc.so.6" in needed_libraries(library)
    assert engine_version()
    assert not is_for_cards()


def test_an_engine_for_processors_is_asked_nothing() -> None:
    settings = load_settings({}).node

    assert engine_cards(settings) == EngineCards(version=engine_version())


def test_a_report_is_understood() -> None:
    (card,) = read_report(f'{{"cards": [{CARD}]}}')

    assert (card.name, card.description, card.address) == ("CUDA0", "Tesla� T4", "0000:01:00.0")
    assert (card.memory.total, card.memory.available, card.number) == (9, 5, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it said nothing"),
        ("no JSON", "it said nothing"),
        ('{"failed": "x is no backend of this build"}', "x is no backend of this build"),
    ],
)
def test_a_report_without_cards_says_why(text: str, words: str) -> None:
    with pytest.raises(Failed, match=words):
        read_report(text)


def test_a_backend_that_is_none_is_said_and_no_card_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GGML_BACKEND_PATH", str(tmp_path / "none.so"))

    found = engine_cards(load_settings({}).node)

    assert found.cards == ()
    assert found.fault.endswith("none.so is no backend of this build")

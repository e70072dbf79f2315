"""Which build of the engine is installed, read from its files: nothing of it is loaded.

The package on PyPI computes on processors only, and then there is no card to ask about. A build for
cards needs their drivers' libraries, and its file says so.
"""

import importlib.metadata
import importlib.util
import platform
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_PACKAGE = "xllamacpp"
_FOR_CARDS = ("libcuda", "libcudart", "libcublas", "libamdhip", "libhipblas", "libvulkan")
_DYNAMIC, _NEEDED, _STRINGS, _END = 2, 1, 5, 0
_LOADED = 1
_MOST_ENTRIES = 4096
_LONGEST_NAME = 256


def engine_version() -> str:
    """Return the version of the installed engine; empty if there is none."""
    try:
        return importlib.metadata.version(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return ""


def is_for_cards() -> bool:
    """Tell whether the installed engine could compute on a card; takes a millisecond."""
    library = engine_library()
    if library is None:
        return False
    if platform.system() != "Linux":
        return True  # only the engine itself can tell
    return any(name.startswith(_FOR_CARDS) for name in needed_libraries(library))


def engine_library() -> Path | None:
    """Return the file with llama.cpp in it; None if the engine is not installed."""
    found = importlib.util.find_spec(_PACKAGE)
    folders = found.submodule_search_locations or () if found else ()
    files = (path for folder in folders for path in sorted(Path(folder).glob(f"{_PACKAGE}*.*")))
    return next((path for path in files if path.suffix in {".so", ".pyd"}), None)


def needed_libraries(path: Path) -> tuple[str, ...]:
    """Return the names of the libraries that an ELF file of 64 bits needs; none for another."""
    try:
        with path.open("rb") as file:
            return tuple(_needed(file))
    except (OSError, struct.error):
        return ()


def _needed(file: BinaryIO) -> Iterator[str]:
    head = file.read(64)
    if head[:6] != b"\x7fELF\x02\x01":
        return
    start, size, count = (*struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54))
    file.seek(start)
    table = file.read(size * count)
    segments = [struct.unpack_from("<IIQQQQ", table, place * size) for place in range(count)]
    dynamic = next((each for each in segments if each[0] == _DYNAMIC), None)
    if dynamic is None:
        return
    file.seek(dynamic[2])
    entries = list(_entries(file.read(min(dynamic[5], 16 * _MOST_ENTRIES))))
    address = next((value for tag, value in entries if tag == _STRINGS), 0)
    for kind, _, offset, begin, _, length in segments:
        if kind == _LOADED and begin <= address < begin + length:
            strings = offset + address - begin
            yield from (_string(file, strings + value) for tag, value in entries if tag == _NEEDED)
            return


def _entries(table: bytes) -> Iterator[tuple[int, int]]:
    for tag, value in struct.iter_unpack("<QQ", table[: len(table) // 16 * 16]):
        if tag == _END:
            return
        yield tag, value


def _string(file: BinaryIO, place: int) -> str:
    file.seek(place)
    return file.read(_LONGEST_NAME).partition(b"\0")[0].decode(errors="replace")

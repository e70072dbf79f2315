"""Tensors on their way from safetensors to GGUF: the same numbers, and where they must, new rows.

Numbers are never rounded: matrices stay in their format, vectors are widened to 32 bits, as
llama.cpp wants them. It turns queries and keys of the Llamas in neighbouring pairs, their makers in
halves, so the rows of each head are put into another order.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO

from puna.library.weights.made import CannotConvert
from puna.library.weights.repository import BadRepository
from puna.models.gguf_write import NewTensor, padded
from puna.models.regular_file import open_regular
from puna.models.safetensors import StoredTensor
from puna.models.tensor_types import TENSOR_TYPES
from puna.text import one_line

_CHUNK = 1 << 22
ALIGNMENT = 32
TYPE_BY_NAME = {kind.name: kind for kind in TENSOR_TYPES.values()}
_F32 = TYPE_BY_NAME["F32"]
_PLAIN = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class Move:
    """A tensor, what it becomes, and into how many heads its rows are cut; 0 leaves them."""

    stored: StoredTensor
    new: NewTensor
    heads: int = 0
    shift: float = 0.0
    """What is added to each number of a vector."""


@dataclass(frozen=True, slots=True)
class Made:
    """A tensor of numbers that no file holds, in 32 bits."""

    new: NewTensor
    numbers: tuple[float, ...]


def move(
    stored: StoredTensor, name: str, *, heads: int = 0, shift: float = 0.0, widens: bool = False
) -> Move:
    """Return what a tensor becomes under a name. Raises `CannotConvert`, `BadRepository`.

    `widens` has a matrix in 32 bits too.
    """
    if stored.dtype not in _PLAIN:
        known = ", ".join(_PLAIN)
        raise CannotConvert(
            f"tensor {one_line(stored.name, 100)} is in {stored.dtype}; known are {known}"
        )
    if not stored.shape or 0 in stored.shape:
        raise BadRepository(f"tensor {one_line(stored.name, 100)} is empty")
    if heads and stored.shape[0] % (2 * heads):
        raise BadRepository(f"tensor {one_line(stored.name, 100)} has no rows for {heads} heads")
    kind = _F32 if widens or len(stored.shape) == 1 else TYPE_BY_NAME[stored.dtype]
    return Move(stored, NewTensor(name, kind, tuple(reversed(stored.shape))), heads, shift)


def made(name: str, numbers: tuple[float, ...]) -> Made:
    """Return a vector that was computed."""
    return Made(NewTensor(name, _F32, (len(numbers),)), numbers)


def contents(each: Move | Made) -> Iterator[bytes]:
    """Yield the bytes of a tensor in the new file, padded. Blocks."""
    if isinstance(each, Made):
        yield struct.pack(f"<{len(each.numbers)}f", *each.numbers)
    else:
        with open_regular(each.stored.path) as file:
            file.seek(each.stored.offset)
            for chunk in _heads(each, file) if each.heads else _pieces(each, file):
                wide = chunk if each.new.type.name == each.stored.dtype else _widened(chunk, each)
                yield _shifted(wide, each.shift) if each.shift else wide
    yield bytes(padded(each.new.size, ALIGNMENT) - each.new.size)


def _pieces(each: Move, file: FileIO) -> Iterator[bytes]:
    left = each.stored.size
    while left:
        chunk = _read(each, file, min(_CHUNK, left))
        left -= len(chunk)
        yield chunk


def _heads(each: Move, file: FileIO) -> Iterator[bytes]:
    """Yield the rows of each head, those of its two halves by turns."""
    count = each.stored.shape[0] // each.heads
    row = each.stored.size // each.stored.shape[0]
    order = [half + place for place in range(count // 2) for half in (0, count // 2)]
    for _ in range(each.heads):
        rows = _read(each, file, count * row)
        yield b"".join(rows[place * row : (place + 1) * row] for place in order)


def _read(each: Move, file: FileIO, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        chunk = file.read(size - len(found))
        if not chunk:
            raise BadRepository(f"tensor {one_line(each.stored.name, 100)} is cut short")
        found += chunk
    return bytes(found)


def _widened(raw: bytes, each: Move) -> bytes:
    """Return numbers of 16 bits in 32; none changes."""
    count = len(raw) // 2
    if each.stored.dtype == "F16":
        return struct.pack(f"<{count}f", *struct.unpack(f"<{count}e", raw))
    wide = bytearray(2 * len(raw))
    wide[2::4], wide[3::4] = raw[0::2], raw[1::2]
    return bytes(wide)


def _shifted(raw: bytes, shift: float) -> bytes:
    """Return numbers of 32 bits with something added, rounded once."""
    count = len(raw) // 4
    return struct.pack(f"<{count}f", *(n + shift for n in struct.unpack(f"<{count}f", raw)))

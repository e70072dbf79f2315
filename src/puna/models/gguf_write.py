"""Write the head of a GGUF file: entries of metadata, and what the tensors are.

Only little-endian files of version 3 are written, as llama.cpp itself writes them.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from puna.models.gguf_window import SCALAR_FORMATS, Scalar, ValueKind
from puna.models.tensor_types import TensorType

_VERSION = 3
Several = tuple[ValueKind, Sequence[Scalar]]
"""An array: the kind of its items, and the items."""


@dataclass(frozen=True, slots=True)
class NewTensor:
    """A tensor that will be written: its name, format, and lengths, the row's first."""

    name: str
    type: TensorType
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        product = 1
        for length in self.shape:
            product *= length
        return product

    @property
    def size(self) -> int:
        """Its bytes, without padding."""
        return self.elements // self.type.block * self.type.block_size


def head_bytes(entries: Sequence[bytes], tensors: Sequence[NewTensor], *, alignment: int) -> bytes:
    """Return all that stands before the numbers, padded; the tensors follow each padded too."""
    parts = [b"GGUF", struct.pack("<IQQ", _VERSION, len(tensors), len(entries)), *entries]
    offset = 0
    for tensor in tensors:
        parts.append(text_bytes(tensor.name))
        parts.append(struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape))
        parts.append(struct.pack("<IQ", tensor.type.number, offset))
        offset += padded(tensor.size, alignment)
    start = b"".join(parts)
    return start + bytes(padded(len(start), alignment) - len(start))


def entry_bytes(key: str, kind: ValueKind, value: Scalar) -> bytes:
    """Return one entry that holds one value."""
    return text_bytes(key) + struct.pack("<I", kind) + _value(kind, value)


def array_bytes(key: str, several: Several) -> bytes:
    """Return one entry that holds an array."""
    kind, items = several
    head = text_bytes(key) + struct.pack("<IIQ", ValueKind.ARRAY, kind, len(items))
    return head + b"".join(_value(kind, item) for item in items)


def padded(size: int, alignment: int) -> int:
    """Return the size, rounded up to the alignment."""
    return -(-size // alignment) * alignment


def _value(kind: ValueKind, value: Scalar) -> bytes:
    return text_bytes(str(value)) if kind is ValueKind.STRING else SCALAR_FORMATS[kind].pack(value)


def text_bytes(text: str) -> bytes:
    """Return a text as the format has it, such as a key: its length and its letters."""
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw

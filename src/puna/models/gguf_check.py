"""Limits of a GGUF header, and the checks that keep a hostile file from being believed.

Every count, length and offset in such a file is a claim. It is compared with the file's size
before anything is allocated or skipped by it (other readers were crashed that way: CVE-2024-39719
to -39722, CVE-2026-7482). What llama.cpp would trip over is refused here, with a reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from puna.models.regular_file import UnusableFile
from puna.models.tensor_types import REMOVED_TYPES, TENSOR_TYPES, TensorType

MAX_KEYS = 2**16
"""The most metadata entries; real files have 20 to 80."""
MAX_TENSORS = 2**16
"""The most tensors; real files have up to a few thousand."""
MAX_STRINGS = 2**22
"""The most strings in arrays of one file; the largest real vocabularies have under a million."""
MAX_KEY = 2**16 - 1
"""The longest key, as the format's specification says."""
MAX_TEXT = 2**26
"""The longest single text; chat templates and embedded tokenizer files are far below it."""
MAX_KEPT = 2**27
"""The most bytes of one header, or of one array, that are held in memory."""
MAX_ITEMS = 2**18
"""The most items of short arrays that one header holds; later arrays are treated as long ones."""
MAX_TENSOR_NAME = 1024
MAX_DIMENSIONS = 4
DEFAULT_ALIGNMENT = 32
SMALLEST_ENTRY = 8 + 4 + 1
"""Bytes of the smallest possible metadata entry, its key left out."""
SMALLEST_TENSOR = 8 + 4 + 4 + 8
"""Bytes of the smallest possible tensor record, its name and shape left out."""

_INT64_MAX = 2**63 - 1


class BadGguf(UnusableFile):
    """The file is not a GGUF file that can be used; the message says which file and why."""

    code = "bad_gguf"


class Fault(Exception):
    """What is wrong in a header, in one line. The reader makes a `BadGguf` of it."""


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """Where a tensor lies and what it is. `offset` counts from the header's `data_offset`."""

    name: str
    type: TensorType
    shape: tuple[int, ...]
    offset: int
    size: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return _product(self.shape)


def check_count(what: str, count: int, limit: int, *, smallest: int, left: int) -> None:
    """Refuse a count beyond `limit`, or one whose entries cannot fit into the `left` bytes."""
    if count > limit:
        raise Fault(f"it claims {count} {what}; the most is {limit}")
    if count * smallest > left:
        raise Fault(f"it is cut short: it claims {count} {what} and has {left} bytes left for them")


def check_alignment(alignment: int) -> None:
    """Refuse an alignment that is not a power of two."""
    if alignment < 1 or alignment & (alignment - 1):
        raise Fault(f"its alignment is {alignment}, not a power of two")


def check_tensor(name: str, number: int, shape: tuple[int, ...], offset: int) -> TensorRecord:
    """Return the record of a tensor whose type and shape are possible."""
    kind = TENSOR_TYPES.get(number)
    if kind is None:
        removed = REMOVED_TYPES.get(number)
        what = f"the removed type {removed}" if removed else f"the unknown type {number}"
        raise Fault(f'tensor "{name}" has {what}')
    if any(length < 1 for length in shape):
        raise Fault(f'tensor "{name}" has an empty dimension: {list(shape)}')
    elements = _product(shape)
    if elements > _INT64_MAX // kind.block_size:
        raise Fault(f'tensor "{name}" has an impossible shape: {list(shape)}')
    row = shape[0] if shape else 1
    if row % kind.block:
        raise Fault(f'tensor "{name}" has rows of {row} numbers, no multiple of {kind.block}')
    return TensorRecord(name, kind, shape, offset, elements // kind.block * kind.block_size)


def check_layout(
    tensors: Sequence[TensorRecord], *, data_offset: int, file_size: int, alignment: int
) -> None:
    """Refuse tensors that overlap, are not aligned, or reach beyond the end of the file."""
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
        if tensor.offset % alignment:
            raise Fault(f'tensor "{tensor.name}" is not aligned to {alignment} bytes')
        if tensor.offset < end:
            raise Fault(f'tensor "{tensor.name}" overlaps the one before it')
        end = tensor.offset + tensor.size
        if data_offset + end > file_size:
            raise Fault(
                f'it is cut short: tensor "{tensor.name}" ends at byte {data_offset + end}, '
                f"the file at {file_size}"
            )


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product

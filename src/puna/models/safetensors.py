"""Read what a safetensors file says of itself, without believing it.

Such a file is a length, a header in JSON, and numbers. Every offset in the header is a claim: each
tensor must lie inside the file, have the size that its shape and format give, touch its neighbours
and overlap none, as the format's own readers demand.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from puna.models.regular_file import UnusableFile, open_regular
from puna.models.strict_json import BadJson, JsonValue, parse_json
from puna.text import one_line

MAX_HEADER = 32 << 20
"""The longest header; those of the largest models have a few megabytes, and a quarter of what the
format allows takes a gigabyte to hold."""
_MAX_DIMENSIONS = 4
_LENGTH = 8
_LFS = b"version https://git-lfs"

_DTYPES = (
    (1, "BOOL U8 I8 F8_E5M2 F8_E4M3 F8_E8M0"),
    (2, "U16 I16 F16 BF16"),
    (4, "U32 I32 F32"),
    (8, "U64 I64 F64"),
)
DTYPE_SIZES: Mapping[str, int] = MappingProxyType(
    {name: size for size, names in _DTYPES for name in names.split()}
)
"""Bytes of a number in each format that files of whole bytes have."""


class BadSafetensors(UnusableFile):
    """The file is no safetensors file that can be used; the message says which and why."""

    code = "bad_safetensors"


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies: `offset` counts from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int
    path: Path


def read_safetensors(path: Path, *, name: str = "") -> tuple[StoredTensor, ...]:
    """Return the tensors of a file, in the order in which they lie. Blocks for milliseconds.

    `name` is what people call it, where `path` is a blob's. Raises `BadSafetensors`.
    """
    shown = one_line(name or path.name, 100)
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(_LENGTH) or b""
            length = int.from_bytes(start, "little")
            if (start + (file.read(16) or b"")).startswith(_LFS):
                raise _fault(
                    shown, "it is a Git LFS pointer; the file itself has yet to be fetched"
                )
            if len(start) < _LENGTH or not 2 <= length <= min(MAX_HEADER, size - _LENGTH):  # noqa: PLR2004 - `{}`
                raise _fault(shown, "its first eight bytes are not the length of a header in it")
            file.seek(_LENGTH)
            raw = file.read(length) or b""
    except OSError as error:
        raise _fault(shown, error.strerror or "unreadable") from error
    try:
        header = parse_json(raw, limit=MAX_HEADER)
    except BadJson as error:
        raise _fault(shown, f"its header cannot be read: {error}") from error
    if not isinstance(header, dict):
        raise _fault(shown, "its header is no object")
    body = _LENGTH + length
    tensors = [
        _tensor(shown, key, entry, path, body)
        for key, entry in header.items()
        if key != "__metadata__"
    ]
    return _in_place(shown, tensors, body, size)


def _tensor(shown: str, key: str, entry: JsonValue, path: Path, body: int) -> StoredTensor:
    name = one_line(key, 100)
    if not isinstance(entry, dict):
        raise _fault(shown, f'tensor "{name}" is described by no object')
    dtype, shape = entry.get("dtype"), entry.get("shape")
    offsets = entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPE_SIZES:
        raise _fault(shown, f'tensor "{name}" has the unknown format {one_line(str(dtype), 20)}')
    lengths = _naturals(shape)
    if lengths is None or len(lengths) > _MAX_DIMENSIONS:
        raise _fault(shown, f'tensor "{name}" has an impossible shape')
    ends = _naturals(offsets)
    count = DTYPE_SIZES[dtype]
    for each in lengths:
        count *= each
    if ends is None or len(ends) != 2 or ends[1] - ends[0] != count:  # noqa: PLR2004 - begin, end
        raise _fault(shown, f'tensor "{name}" has not the size that its shape and format give')
    return StoredTensor(key, dtype, lengths, body + ends[0], count, path)


def _naturals(value: JsonValue) -> tuple[int, ...] | None:
    if not isinstance(value, list):
        return None
    found = tuple(
        each
        for each in value
        if isinstance(each, int) and not isinstance(each, bool) and 0 <= each < 2**48
    )
    return found if len(found) == len(value) else None


def _in_place(
    shown: str, tensors: Iterable[StoredTensor], body: int, size: int
) -> tuple[StoredTensor, ...]:
    ordered = sorted(tensors, key=lambda tensor: (tensor.offset, tensor.size))
    end = body
    for tensor in ordered:
        if tensor.offset != end:
            what = "overlaps the one before it" if tensor.offset < end else "follows a hole"
            raise _fault(shown, f'tensor "{one_line(tensor.name, 100)}" {what}')
        end += tensor.size
    if end != size:
        what = "it is cut short" if end > size else "it goes on after its last tensor"
        raise _fault(shown, f"{what}: its tensors end at byte {end}, the file at {size}")
    return tuple(ordered)


def _fault(shown: str, reason: str) -> BadSafetensors:
    return BadSafetensors(f'"{shown}" is not a usable safetensors file: {reason}')

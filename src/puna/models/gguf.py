"""Read what a GGUF file says of itself, without loading it and without believing it.

`read_header` returns metadata and tensor records of a file of any size in milliseconds: long arrays
such as vocabularies are measured and passed over, and read only when asked for (`read_array`).
Whatever is wrong with a file, the answer is one `BadGguf` with one line.
"""

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import MappingProxyType

from puna.models.gguf_check import (
    DEFAULT_ALIGNMENT,
    MAX_DIMENSIONS,
    MAX_KEPT,
    MAX_KEY,
    MAX_KEYS,
    MAX_TENSOR_NAME,
    MAX_TENSORS,
    SMALLEST_ENTRY,
    SMALLEST_TENSOR,
    BadGguf,
    Fault,
    TensorRecord,
    check_alignment,
    check_count,
    check_layout,
    check_tensor,
)
from puna.models.gguf_window import SCALAR_FORMATS, Scalar, ValueKind, Window
from puna.models.regular_file import UnusableFile, open_regular, reason_of
from puna.text import one_line

__all__ = ["BadGguf", "GgufArray", "GgufHeader", "GgufValue", "Scalar", "TensorRecord", "ValueKind"]
__all__ += ["metadata_entries", "read_array", "read_header"]

_MAGIC = b"GGUF"
_VERSIONS = range(2, 4)
_SHORT_ARRAY = 1024
_SHORT_ARRAY_SIZE = 2**16
_ALIGNMENT_KEY = "general.alignment"


@dataclass(frozen=True, slots=True)
class GgufArray:
    """An array in the metadata. `items` is None for a long one: ask `read_array` for it."""

    kind: ValueKind
    count: int
    offset: int
    """Where the first item starts in the file."""
    size: int
    items: tuple[Scalar, ...] | None

    def __len__(self) -> int:
        return self.count


GgufValue = Scalar | GgufArray


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The facts in front of a GGUF file's tensors. Every tensor lies inside the file."""

    path: Path
    version: int
    alignment: int
    metadata: Mapping[str, GgufValue]
    tensors: tuple[TensorRecord, ...]
    data_offset: int
    file_size: int

    @property
    def architecture(self) -> str:
        """The model's family, such as `llama`; empty where the file does not say."""
        return self.text("general.architecture") or ""

    def own_key(self, name: str) -> str:
        """Return the key that the architecture uses for `name`, such as `llama.block_count`."""
        return f"{self.architecture}.{name}"

    def text(self, key: str) -> str | None:
        """Return a text, or None where the key is absent or holds something else."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def integer(self, key: str) -> int | None:
        """Return an integer, or None where the key is absent or holds something else."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def number(self, key: str) -> float | None:
        """Return an integer or a float, or None where the key is absent or holds something else."""
        value = self.metadata.get(key)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def array(self, key: str) -> tuple[Scalar, ...] | None:
        """Return a short array's items; None where the key is absent, no array, or a long one."""
        value = self.metadata.get(key)
        return value.items if isinstance(value, GgufArray) else None


def read_header(path: Path) -> GgufHeader:
    """Read the header of the GGUF file at `path`; blocks for milliseconds.

    Raises:
        BadGguf: There is no such regular file, or it is damaged, absurd or of another kind.
    """
    try:
        with open_regular(path) as file:
            return _read_header(path, file)
    except UnusableFile as error:
        raise BadGguf(error.message, hint=error.hint) from error
    except (Fault, OSError) as error:
        raise _bad(path, error) from error


def read_array(path: Path, array: GgufArray) -> tuple[Scalar, ...]:
    """Return the items of an array that `read_header` found in the file at `path`; blocks.

    Raises:
        BadGguf: The file has become unreadable or shorter, or the array is too big to hold.
    """
    if array.items is not None:
        return array.items
    try:
        with open_regular(path) as file:
            window = Window(file, os.fstat(file.fileno()).st_size)
            window.go_to(array.offset)
            return _read_items(window, array.kind, array.count, array.size)
    except UnusableFile as error:
        raise BadGguf(error.message, hint=error.hint) from error
    except (Fault, OSError) as error:
        raise _bad(path, error) from error


def metadata_entries(path: Path) -> dict[str, bytes]:
    """Return each metadata entry as it lies in the file, its key and type included; blocks.

    Raises:
        BadGguf: It is no GGUF file.
    """
    try:
        with open_regular(path) as file:
            window = Window(file, os.fstat(file.fileno()).st_size)
            _read_version(window)
            window.u64()
            return dict(_read_entry(window) for _ in range(min(window.u64(), MAX_KEYS)))
    except UnusableFile as error:
        raise BadGguf(error.message, hint=error.hint) from error
    except (Fault, OSError) as error:
        raise _bad(path, error) from error


def _read_entry(window: Window) -> tuple[str, bytes]:
    begin = window.position
    key = _read_name(window, "a key", MAX_KEY)
    _read_value(window, key)
    end = window.position
    window.go_to(begin)
    return key, window.take(end - begin)


def _bad(path: Path, error: Fault | OSError) -> BadGguf:
    reason = reason_of(error) if isinstance(error, OSError) else str(error)
    name = one_line(path.name, 100)
    return BadGguf(f'"{name}" is not a usable GGUF file: {one_line(reason, 300)}')


def _read_header(path: Path, file: FileIO) -> GgufHeader:
    window = Window(file, os.fstat(file.fileno()).st_size)
    version = _read_version(window)
    tensor_count, key_count = window.u64(), window.u64()
    check_count("metadata entries", key_count, MAX_KEYS, smallest=SMALLEST_ENTRY, left=window.left)
    check_count("tensors", tensor_count, MAX_TENSORS, smallest=SMALLEST_TENSOR, left=window.left)
    metadata = _read_metadata(window, key_count)
    alignment = _alignment_of(metadata)
    tensors = _read_tensors(window, tensor_count)
    data_offset = -(-window.position // alignment) * alignment
    check_layout(tensors, data_offset=data_offset, file_size=window.size, alignment=alignment)
    return GgufHeader(
        path=path,
        version=version,
        alignment=alignment,
        metadata=MappingProxyType(metadata),
        tensors=tensors,
        data_offset=data_offset,
        file_size=window.size,
    )


_OTHER_FILES = (
    (b"", "it is empty"),
    (b"lmgg", "it is a GGML file of the time before GGUF; get the model as GGUF"),
    (b"fmgg", "it is a GGML file of the time before GGUF; get the model as GGUF"),
    (b"tjgg", "it is a GGML file of the time before GGUF; get the model as GGUF"),
    (b"algg", "it is a GGML adapter of the time before GGUF; get it as GGUF"),
    (b"PK\x03\x04", "it is a zip archive, perhaps PyTorch weights; get the model as GGUF"),
    (b"version https://git-lfs", "it is a Git LFS pointer; the file itself has yet to be fetched"),
    (b"<!DOCTYPE", "it is a web page, not the file behind the link"),
    (b"<!doctype", "it is a web page, not the file behind the link"),
    (b"<html", "it is a web page, not the file behind the link"),
)


def _read_version(window: Window) -> int:
    start = window.take(min(24, window.size))
    if not start.startswith(_MAGIC):
        raise Fault(_what_else(start))
    window.go_to(len(_MAGIC))
    version = window.u32()
    if version == 1:
        raise Fault("it has version 1 of the format, which llama.cpp no longer reads")
    if version in _VERSIONS:
        return version
    swapped = struct.unpack(">I", struct.pack("<I", version))[0]
    if swapped == 1 or swapped in _VERSIONS:
        raise Fault("it is written for big-endian machines")
    raise Fault(f"it has version {version} of the format; known are 2 and 3")


def _what_else(start: bytes) -> str:
    if _MAGIC.startswith(start) and start:
        return "it is cut short: not even its first four bytes are there"
    for signature, words in _OTHER_FILES:
        if start.startswith(signature) if signature else not start:
            return words
    if start[8:10] == b'{"':
        return "it is a safetensors file; get the model as GGUF"
    # What it starts with is not said: a client of a node may name files that it may not read.
    return "it is no GGUF file: it does not start with those four letters"


def _read_metadata(window: Window, count: int) -> dict[str, GgufValue]:
    metadata: dict[str, GgufValue] = {}
    for _ in range(count):
        key = _read_name(window, "a key", MAX_KEY)
        if key in metadata:
            raise Fault(f'it has the key "{key}" twice')
        metadata[key] = _read_value(window, key)
    return metadata


def _read_name(window: Window, what: str, limit: int) -> str:
    place = window.position
    raw = window.raw_text(limit)
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Fault(f"{what} at byte {place} is not UTF-8") from error
    if not name:
        raise Fault(f"{what} at byte {place} is empty")
    return name


def _read_value(window: Window, key: str) -> GgufValue:
    kind = _read_kind(window, key)
    if key == _ALIGNMENT_KEY and kind is not ValueKind.UINT32:
        raise Fault(f"{_ALIGNMENT_KEY} is of type {kind.name}, not UINT32")
    if kind is ValueKind.STRING:
        return window.text()
    if kind is not ValueKind.ARRAY:
        return window.scalar(kind)
    kind = _read_kind(window, key)
    if kind is ValueKind.ARRAY:
        raise Fault(f'key "{key}" holds an array of arrays, which llama.cpp does not read')
    return _read_array(window, kind, key)


def _read_kind(window: Window, key: str) -> ValueKind:
    number = window.u32()
    try:
        return ValueKind(number)
    except ValueError as error:
        raise Fault(f'key "{key}" has the unknown type {number}') from error


def _read_array(window: Window, kind: ValueKind, key: str) -> GgufArray:
    count = window.u64()
    smallest = 8 if kind is ValueKind.STRING else SCALAR_FORMATS[kind].size
    check_count(f'items in "{key}"', count, 2**63, smallest=smallest, left=window.left)
    offset = window.position
    if kind is ValueKind.STRING:
        window.skip_strings(count)
    else:
        window.skip(count * smallest)
    size = window.position - offset
    is_short = count <= _SHORT_ARRAY and size <= _SHORT_ARRAY_SIZE
    if not is_short or not window.may_keep(count):
        return GgufArray(kind, count, offset, size, None)
    window.go_to(offset)
    return GgufArray(kind, count, offset, size, _read_items(window, kind, count, size))


def _read_items(window: Window, kind: ValueKind, count: int, size: int) -> tuple[Scalar, ...]:
    if size > MAX_KEPT:
        raise Fault(f"an array of {size} bytes is too big to hold")
    if kind is ValueKind.STRING:
        return tuple(window.text() for _ in range(count))
    form = SCALAR_FORMATS[kind].format
    return struct.unpack(f"<{count}{form[-1]}", window.take(size))


def _alignment_of(metadata: Mapping[str, GgufValue]) -> int:
    alignment = metadata.get(_ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int):
        raise Fault(f"{_ALIGNMENT_KEY} is no number")
    check_alignment(alignment)
    return alignment


def _read_tensors(window: Window, count: int) -> tuple[TensorRecord, ...]:
    records: dict[str, TensorRecord] = {}
    for _ in range(count):
        name = _read_name(window, "a tensor name", MAX_TENSOR_NAME)
        if name in records:
            raise Fault(f'it has the tensor "{name}" twice')
        dimensions = window.u32()
        if dimensions > MAX_DIMENSIONS:
            raise Fault(
                f'tensor "{name}" has {dimensions} dimensions; the most is {MAX_DIMENSIONS}'
            )
        shape = tuple(window.u64() for _ in range(dimensions))
        number, offset = window.u32(), window.u64()
        records[name] = check_tensor(name, number, shape, offset)
    return tuple(records.values())

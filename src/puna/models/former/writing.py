"""Write a file in its new form: the bytes of the old one where they stay, others made of them.

A tensor whose numbers stay is passed on in pieces, however large; those that change are parts of
encoders, of some megabytes, and are made in memory one at a time.
"""

import struct
from collections.abc import Iterator
from io import FileIO

from puna.models.former.recast import FLOATS, Change, Entry, Moved, Recast, Single
from puna.models.gguf import metadata_entries
from puna.models.gguf_check import BadGguf, TensorRecord
from puna.models.gguf_write import (
    NewTensor,
    array_bytes,
    entry_bytes,
    head_bytes,
    padded,
    text_bytes,
)
from puna.models.regular_file import open_regular

_CHUNK = 1 << 22
_Q8_BLOCK = 32


def recast_bytes(recast: Recast) -> Iterator[bytes]:
    """Yield the bytes of the new file. Blocks. Raises `BadGguf` for numbers it cannot read."""
    source = recast.source
    new = [NewTensor(each.name, each.type, each.shape) for each in recast.tensors]
    yield head_bytes(_entries(recast), new, alignment=source.alignment)
    with open_regular(source.path) as file:
        for tensor in recast.tensors:
            sent = 0
            for chunk in _numbers(file, recast, tensor):
                sent += len(chunk)
                yield chunk
            if sent != tensor.size:
                raise BadGguf(f'tensor "{tensor.name}" of "{source.path.name}" has another length')
            yield bytes(padded(tensor.size, source.alignment) - tensor.size)


def _entries(recast: Recast) -> list[bytes]:
    old = metadata_entries(recast.source.path)
    return [_entry(key, entry, old) for key, entry in recast.entries.items()]


def _entry(key: str, entry: Entry, old: dict[str, bytes]) -> bytes:
    if isinstance(entry, str):
        return text_bytes(key) + old[entry][len(text_bytes(entry)) :]
    if isinstance(entry, Single):
        return entry_bytes(key, entry.kind, entry.value)
    return array_bytes(key, (entry.kind, entry.read()))


def _numbers(file: FileIO, recast: Recast, tensor: Moved) -> Iterator[bytes]:
    start = recast.source.data_offset
    if tensor.change is Change.ZEROS:
        yield bytes(tensor.size)
    elif tensor.change is Change.NONE:
        left = tensor.size
        for part in tensor.parts:
            yield from _pieces(file, start + part.offset, min(left, part.size))
            left -= min(left, part.size)
    else:
        whole = [b"".join(_pieces(file, start + part.offset, part.size)) for part in tensor.parts]
        yield _changed(tensor, whole)


def _pieces(file: FileIO, offset: int, size: int) -> Iterator[bytes]:
    file.seek(offset)
    while size:
        chunk = file.read(min(_CHUNK, size))
        if not chunk:
            raise BadGguf("the file has become shorter")
        size -= len(chunk)
        yield chunk


def _changed(tensor: Moved, parts: list[bytes]) -> bytes:
    if tensor.change is Change.TURNED:
        return _turned(parts[0], tensor)
    floats = [_floats(raw, record) for raw, record in zip(parts, tensor.parts, strict=True)]
    return _frame(floats[0], tensor) if tensor.change is Change.FRAME else b"".join(floats)


def _turned(raw: bytes, tensor: Moved) -> bytes:
    """Let the two halves of each head's rows lie between each other."""
    rows = tensor.shape[-1]
    length, head = len(raw) // rows, rows // tensor.by
    order = (
        first + half * (head // 2) + pair
        for first in range(0, rows, head)
        for pair in range(head // 2)
        for half in (0, 1)
    )
    return b"".join(raw[row * length : (row + 1) * length] for row in order)


def _frame(raw: bytes, tensor: Moved) -> bytes:
    """Take every picture of one frame; those of the frames take turns."""
    record = tensor.parts[0]
    length = record.shape[0] * record.shape[1] * FLOATS.block_size
    step = record.shape[2] * length
    return b"".join(raw[at : at + length] for at in range(tensor.by * length, len(raw), step))


def _floats(raw: bytes, record: TensorRecord) -> bytes:
    """Return numbers as 32-bit floats. Raises `BadGguf` for a format that no encoder has."""
    kind, count = record.type.name, record.elements
    if kind == "F32":
        return raw
    if kind == "F16":
        return struct.pack(f"<{count}f", *struct.unpack(f"<{count}e", raw))
    if kind == "BF16":
        wide = bytearray(2 * len(raw))
        wide[2::4], wide[3::4] = raw[::2], raw[1::2]
        return bytes(wide)
    if kind == "Q8_0":
        numbers = (
            scale * each
            for scale, *block in struct.iter_unpack(f"<e{_Q8_BLOCK}b", raw)
            for each in block
        )
        return struct.pack(f"<{count}f", *numbers)
    raise BadGguf(f'tensor "{record.name}" has numbers in {kind}, which cannot be made floats here')

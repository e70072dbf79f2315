"""Make one GGUF file of the shards of a split one.

llama.cpp loads shards only under names that end in `-00001-of-00003.gguf`, side by side. Blobs have
other names, and everything that reads models (fit, show, copies, Ollama itself) knows one file of
weights. So a split model is stored as what `gguf-split --merge` would make of it: the metadata of
the first shard without the words about the split, and the tensors of all in their order.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from puna.models.gguf import GgufHeader, TensorRecord, metadata_entries, read_header
from puna.models.gguf_check import BadGguf
from puna.models.gguf_write import NewTensor, head_bytes, padded
from puna.models.regular_file import open_regular
from puna.units import Size

_CHUNK = 1 << 22
_SPLIT = "split."


def merged_size(shards: Sequence[Path]) -> Size:
    """Return about how long the merged file will be: never less than it is."""
    return Size(sum(path.stat().st_size for path in shards))


def merged(shards: Sequence[Path]) -> Iterator[bytes]:
    """Yield the bytes of the merged file. Blocks. Raises `BadGguf` if the shards are no whole."""
    headers = [read_header(path) for path in shards]
    _check(headers)
    tensors = [tensor for header in headers for tensor in header.tensors]
    alignment = headers[0].alignment
    start = _start(shards[0], tensors, alignment)
    yield start
    for header in headers:
        yield from _contents(header)


def _check(headers: Sequence[GgufHeader]) -> None:
    """Raise `BadGguf` unless these are all shards of one model, in order."""
    for number, header in enumerate(headers):
        found = (header.integer("split.no"), header.integer("split.count"))
        if found != (number, len(headers)) or header.alignment != headers[0].alignment:
            raise BadGguf(
                f"shard {number + 1} of {len(headers)} says that it is another:"
                f" number {found[0]} of {found[1]}"
            )
    names = [tensor.name for header in headers for tensor in header.tensors]
    promised = headers[0].integer("split.tensors.count")
    if len(set(names)) != len(names) or promised not in {None, len(names)}:
        raise BadGguf(f"the shards hold {len(names)} tensors, and should hold {promised}")


def _start(first: Path, tensors: Sequence[TensorRecord], alignment: int) -> bytes:
    """Return all that stands before the tensors' numbers."""
    entries = [raw for key, raw in metadata_entries(first).items() if not key.startswith(_SPLIT)]
    new = [NewTensor(tensor.name, tensor.type, tensor.shape) for tensor in tensors]
    return head_bytes(entries, new, alignment=alignment)


def _contents(header: GgufHeader) -> Iterator[bytes]:
    """Yield the numbers of one shard's tensors, each padded."""
    with open_regular(header.path) as file:
        for tensor in header.tensors:
            file.seek(header.data_offset + tensor.offset)
            left = tensor.size
            while left:
                chunk = file.read(min(_CHUNK, left))
                if not chunk:
                    raise BadGguf(f'shard "{header.path.name}" has become shorter')
                left -= len(chunk)
                yield chunk
            yield bytes(padded(tensor.size, header.alignment) - tensor.size)

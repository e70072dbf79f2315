"""What a file becomes in another form: its entries and tensors by their new names.

Nothing is read or written here but the header that is at hand. An entry that only changes its name
keeps its bytes; arrays that change are read when the file is written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import prod
from pathlib import Path
from types import MappingProxyType

from puna.models.gguf import GgufArray, GgufHeader, GgufValue, read_array
from puna.models.gguf_check import TensorRecord
from puna.models.gguf_window import Scalar, ValueKind
from puna.models.tensor_types import TENSOR_TYPES, TensorType

FLOATS = TENSOR_TYPES[0]
ARCHITECTURE = "general.architecture"


@dataclass(frozen=True, slots=True)
class Single:
    """A new entry of one value."""

    kind: ValueKind
    value: Scalar


@dataclass(frozen=True, slots=True)
class Several:
    """A new entry that is an array; its items are read when they are written."""

    kind: ValueKind
    count: int
    read: Callable[[], Sequence[Scalar]]
    known: GgufArray
    """The array as a header shows it."""


Entry = str | Single | Several
"""What an entry becomes: the old file's entry of that key, or something new."""


class Change(Enum):
    """What happens to the numbers of a tensor on their way."""

    NONE = "none"
    FLOATS = "floats"
    """They become 32-bit floats."""
    TURNED = "turned"
    """Rows of each head change places, as llama.cpp's rotation wants them."""
    FRAME = "frame"
    """They are one of two frames that lie between each other, as 32-bit floats."""
    ZEROS = "zeros"


@dataclass(frozen=True, slots=True)
class Moved:
    """A tensor of the new file, and the old file's tensors that it is made of, in order."""

    name: str
    type: TensorType
    shape: tuple[int, ...]
    parts: tuple[TensorRecord, ...] = ()
    change: Change = Change.NONE
    by: int = 0
    """The number of heads, or that of the frame."""

    @property
    def size(self) -> int:
        """Its bytes, without padding."""
        return prod(self.shape) // self.type.block * self.type.block_size


@dataclass(frozen=True, slots=True)
class Recast:
    """A whole file in another form."""

    source: GgufHeader
    entries: Mapping[str, Entry]
    tensors: tuple[Moved, ...]

    def header(self, path: Path) -> GgufHeader:
        """Return the header of the new file; what stays in the old one is read there."""
        return replace(
            self.source,
            path=path,
            metadata=MappingProxyType({key: self._shown(key) for key in self.entries}),
            tensors=tuple(
                TensorRecord(each.name, each.type, each.shape, 0, each.size)
                for each in self.tensors
            ),
        )

    @property
    def size(self) -> int:
        """About how many bytes the new file has."""
        return self.source.data_offset + sum(each.size for each in self.tensors)

    def _shown(self, key: str) -> GgufValue:
        entry = self.entries[key]
        if isinstance(entry, Single):
            return entry.value
        return entry.known if isinstance(entry, Several) else self.source.metadata[entry]


class Rewriting:
    """A file on its way into another form. What it asks is answered by the old file."""

    def __init__(self, header: GgufHeader) -> None:
        self.header = header
        self._entries: dict[str, Entry] = {key: key for key in header.metadata}
        self._tensors = {
            tensor.name: Moved(tensor.name, tensor.type, tensor.shape, (tensor,))
            for tensor in header.tensors
        }

    def done(self) -> Recast:
        """Return what it has become."""
        return Recast(self.header, MappingProxyType(dict(self._entries)), tuple(self._all()))

    def own(self, name: str) -> str:
        """Return the old file's key for a fact of its architecture."""
        return self.header.own_key(name)

    def number(self, name: str) -> int | None:
        """Return a number of the old file's architecture."""
        return self.header.integer(self.own(name))

    def numbers(self, name: str) -> tuple[int, ...]:
        """Return a short array of numbers of the old file's architecture; empty without one."""
        items = self.header.array(self.own(name)) or ()
        return tuple(item for item in items if isinstance(item, int))

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape that a tensor has by now; empty if there is none."""
        found = self._tensors.get(name)
        return found.shape if found else ()

    def set(self, key: str, value: Scalar | tuple[Scalar, ...] | bytes) -> None:
        """Give an entry a new value, of the kind that llama.cpp reads there."""
        self._entries[key] = _entry(value)

    def fill(self, key: str, value: Scalar | tuple[Scalar, ...]) -> None:
        """Give an entry a value unless it has one."""
        if key not in self._entries:
            self.set(key, value)

    def copy(self, old: str, new: str) -> None:
        """Let an entry of the old file be found by another key too, unless that is there."""
        if old in self.header.metadata and new not in self._entries:
            self._entries[new] = old

    def forget(self, *keys: str) -> None:
        """Leave entries out."""
        for key in keys:
            self._entries.pop(key, None)

    def become(self, architecture: str) -> None:
        """Give the file another architecture, and its facts that one's keys."""
        former = self.own("")
        for key in [key for key in self._entries if key.startswith(former)]:
            self._entries[f"{architecture}.{key.removeprefix(former)}"] = self._entries.pop(key)
        self.set(ARCHITECTURE, architecture)

    def shorten(self, key: str, count: int) -> None:
        """Leave out what an array has beyond `count` items."""
        array = self.header.metadata.get(key)
        if isinstance(array, GgufArray) and array.count > count:
            path = self.header.path
            self.derive(key, count, lambda: read_array(path, array)[:count])

    def derive(self, key: str, count: int, read: Callable[[], Sequence[Scalar]]) -> None:
        """Make new items for an array of the old file, when they are written."""
        array = self.header.metadata[key]
        if isinstance(array, GgufArray):
            known = GgufArray(array.kind, count, array.offset, array.size, None)
            self._entries[key] = Several(array.kind, count, read, known)

    def keep_entries(self, *prefixes: str) -> None:
        """Leave out every entry that begins otherwise."""
        self._entries = {
            key: entry for key, entry in self._entries.items() if key.startswith(prefixes)
        }

    def keep(self, *prefixes: str) -> None:
        """Leave out every tensor that begins otherwise."""
        self._tensors = {k: v for k, v in self._tensors.items() if k.startswith(prefixes)}

    def drop(self, *prefixes: str) -> None:
        """Leave out every tensor that begins so."""
        self._tensors = {k: v for k, v in self._tensors.items() if not k.startswith(prefixes)}

    def rename(self, old: str, new: str) -> None:
        """Give one tensor another name, if it is there and the name is free."""
        if old in self._tensors and new not in self._tensors:
            self._tensors = {new if k == old else k: v for k, v in self._tensors.items()}

    def swap(self, old: str, new: str) -> None:
        """Put `new` for the first `old` in the names of all tensors."""
        self._tensors = {k.replace(old, new, 1): v for k, v in self._tensors.items()}

    def cut(self, name: str, rows: int) -> None:
        """Leave out the last rows of a tensor of two dimensions."""
        tensor = self._tensors[name]
        self._tensors[name] = replace(tensor, shape=(tensor.shape[0], rows))

    def widen(self, name: str) -> None:
        """Make a tensor's numbers 32-bit floats, if it is there."""
        tensor = self._tensors.get(name)
        if tensor is not None and tensor.type is not FLOATS:
            self._tensors[name] = replace(tensor, type=FLOATS, change=Change.FLOATS)

    def turn(self, name: str, heads: int) -> None:
        """Let the rows of each head change places, if the tensor is there."""
        tensor = self._tensors.get(name)
        if tensor is not None and heads and not tensor.shape[-1] % (2 * heads):
            self._tensors[name] = replace(tensor, change=Change.TURNED, by=heads)

    def join(self, name: str, parts: Sequence[str]) -> None:
        """Put tensors behind each other as one, if all are there.

        Those of one number format are joined as they are, others as 32-bit floats.
        """
        found = [self._tensors[part] for part in parts if part in self._tensors]
        if len(found) != len(parts):
            return
        is_one = len({each.type for each in found}) == 1
        kind = found[0].type if is_one else FLOATS
        change = Change.NONE if is_one else Change.FLOATS
        shape = (*found[0].shape[:-1], sum(each.shape[-1] for each in found))
        whole = Moved(name, kind, shape, tuple(r for each in found for r in each.parts), change)
        self._tensors = {k: v for k, v in self._tensors.items() if k not in parts}
        self._tensors[name] = whole

    def frames(self, name: str, channels: int, new: Sequence[str]) -> None:
        """Take the frames that lie between each other in a tensor apart."""
        tensor = self._tensors.get(name)
        if tensor is None or len(tensor.shape) < 4 or tensor.shape[2] != len(new):  # noqa: PLR2004 - width, height, frames, the rest
            return
        width, height, _, rest = tensor.shape
        del self._tensors[name]
        for at, own in enumerate(new):
            shape = (width, height, channels, rest // channels)
            self._tensors[own] = Moved(own, FLOATS, shape, tensor.parts, Change.FRAME, at)

    def zeros(self, name: str, length: int) -> None:
        """Add a row of zeros."""
        self._tensors[name] = Moved(name, FLOATS, (length,), change=Change.ZEROS)

    def _all(self) -> Sequence[Moved]:
        return [replace(tensor, name=name) for name, tensor in self._tensors.items()]


def _entry(value: Scalar | tuple[Scalar, ...] | bytes) -> Single | Several:
    if isinstance(value, bytes):
        return _several(ValueKind.UINT8, tuple(value))
    if not isinstance(value, tuple):
        return Single(_KINDS[type(value)], value)
    kind = _KINDS[type(value[0])]
    return _several(ValueKind.INT32 if kind is ValueKind.UINT32 else kind, value)


def _several(kind: ValueKind, items: tuple[Scalar, ...]) -> Several:
    return Several(kind, len(items), lambda: items, GgufArray(kind, len(items), 0, 0, items))


_KINDS = {
    bool: ValueKind.BOOL,
    int: ValueKind.UINT32,
    float: ValueKind.FLOAT32,
    str: ValueKind.STRING,
}

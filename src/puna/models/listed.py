"""Models that are known without being here: the facts of a curated list, as values.

A list row is enough to say before any download whether a model fits: `header_of` builds the header
that its file would have, with the layers and widths that the key-value cache depends on and the
weights in the sizes and number formats of the file, and `models.fit` does the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType

from puna.models.details import Capability
from puna.models.gguf import GgufHeader, GgufValue
from puna.models.gguf_check import TensorRecord
from puna.models.name import ModelName
from puna.models.tensor_types import TENSOR_TYPES, TensorType
from puna.units import Count, Size

BITS: Mapping[str, float] = MappingProxyType(
    {
        "BF16": 16.0,
        "F16": 16.0,
        "MXFP4": 4.4,
        "Q2_K": 3.4,
        "Q3_K_M": 4.0,
        "Q4_0": 4.7,
        "Q4_1": 5.2,
        "Q4_K_M": 4.9,
        "Q5_K_M": 5.7,
        "Q6_K": 6.6,
        "Q8_0": 8.5,
    }
)
"""Bits for a parameter in files of each kind, for sizes that no source tells."""

_MAIN: Mapping[str, tuple[str, str, int]] = MappingProxyType(
    {
        "BF16": ("BF16", "BF16", 100),
        "F16": ("F16", "F16", 100),
        "MXFP4": ("MXFP4", "Q8_0", 90),
        "Q2_K": ("Q2_K", "Q3_K", 60),
        "Q3_K_M": ("Q3_K", "Q5_K", 70),
        "Q4_0": ("Q4_0", "Q6_K", 95),
        "Q4_1": ("Q4_1", "Q6_K", 95),
        "Q4_K_M": ("Q4_K", "Q6_K", 70),
        "Q5_K_M": ("Q5_K", "Q6_K", 70),
        "Q6_K": ("Q6_K", "Q6_K", 100),
        "Q8_0": ("Q8_0", "Q8_0", 100),
    }
)
"""For each kind of file: the type of most tensors, that of the rest, and the first's percentage."""


@dataclass(frozen=True, slots=True)
class ListedShape:
    """What of a model decides the memory of its context, under the names that GGUF files use."""

    architecture: str
    numbers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ListedSize:
    """One size of a model: a file that can be pulled."""

    tag: str
    parameters: Count
    quantization: str
    size: Size
    is_rough: bool
    """The size was computed, or comes from memory."""
    context: int
    shape: ListedShape
    name: ModelName
    """Where it is: what `puna pull` asks for."""
    capabilities: frozenset[Capability]
    licence: str
    source: str
    gguf: str = ""
    """A name with a file that stock llama.cpp loads, where the library's own needs a patch."""

    @property
    def sorted_capabilities(self) -> tuple[Capability, ...]:
        """What it can do, in one order, for printing."""
        return tuple(each for each in Capability if each in self.capabilities)


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One family of the list. The first size is the one that its bare name means."""

    name: str
    about: str
    languages: tuple[str, ...]
    is_verified: bool
    sizes: tuple[ListedSize, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """The whole list, and the day it was made."""

    day: date
    sources: Mapping[str, str]
    models: tuple[ListedModel, ...]

    def find(self, name: ModelName) -> ListedSize | None:
        """Return the size that a short name means: `bielik`, `bielik:4.5b`; case does not count."""
        if not name.matches(ModelName(name.model, name.tag)):
            return None
        for model in self.models:
            if model.name.lower() == name.model.lower():
                return _size_of(model, name.tag.lower())
        return None


def _size_of(model: ListedModel, tag: str) -> ListedSize | None:
    if tag == "latest":
        return model.sizes[0]
    return next((size for size in model.sizes if size.tag.lower() == tag), None)


def computed_size(parameters: int, quantization: str) -> Size:
    """Return about how long a file with so many parameters is."""
    return Size(round(parameters * BITS[quantization] / 8))


def header_of(size: ListedSize) -> GgufHeader:
    """Return the header that the file of a listed model would have, as far as fit needs it."""
    architecture = size.shape.architecture
    metadata: dict[str, GgufValue] = {
        "general.architecture": architecture,
        f"{architecture}.context_length": size.context,
    }
    metadata |= {f"{architecture}.{key}": value for key, value in size.shape.numbers.items()}
    return GgufHeader(
        path=Path(f"{size.name.model}-{size.tag}.gguf"),
        version=3,
        alignment=32,
        metadata=MappingProxyType(metadata),
        tensors=_tensors(size),
        data_offset=0,
        file_size=size.size,
    )


def _tensors(size: ListedSize) -> tuple[TensorRecord, ...]:
    """Return the weights as two tensors: what most of them are, and the rest."""
    most, rest, percent = _MAIN[size.quantization]
    first = size.size * percent // 100
    parts = ((most, 0, first), (rest, first, size.size - first))
    return tuple(_tensor(_TYPES[kind], offset, length) for kind, offset, length in parts if length)


def _tensor(kind: TensorType, offset: int, length: int) -> TensorRecord:
    row = 8 * kind.block
    rows = max(1, length // kind.block_size // 8)
    return TensorRecord(
        f"blk.0.{kind.name}.weight", kind, (row, rows // 8 * 8 or 8), offset, length
    )


_TYPES: Mapping[str, TensorType] = MappingProxyType(
    {kind.name: kind for kind in TENSOR_TYPES.values()}
)

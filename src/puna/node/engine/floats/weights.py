"""A model's weights as 32-bit floats: exactly the numbers that the file's types stand for.

ggml's own functions turn blocks into floats, so every type of the file is known. The weights of the
layers lie in one mapping that all processes share, laid out for the products: inputs by rows, what
is multiplied anyway already multiplied in (norms, the scale of attention, signs). The embedding and
the output matrix stay in the file, since only the rows of a few tokens are ever wanted.
"""

import ctypes as c
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from puna.models.gguf import GgufHeader, TensorRecord
from puna.node.engine.floats.shape import FloatShape, NotFloat

Floats = NDArray[np.float32]
_ALIGNED = 16
_PLAIN = "F32"
_ROWS_OF_FLOATS = {"F16": "ggml_fp16_to_fp32_row", "BF16": "ggml_bf16_to_fp32_row"}


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One layer, ready to be multiplied from the right."""

    project: Floats
    """The norm before attention, then queries, keys and values, side by side."""
    bias: Floats
    """What is added to them; zeros where the model adds nothing."""
    head_norms: Floats
    """By what each number of the queries and keys is multiplied after their own norm."""
    merge: Floats
    widen: Floats
    """The norm before the inner part, then the gate with its sign turned, then the rest."""
    narrow: Floats
    """With its sign turned, too."""


class TensorFile:
    """The tensors of a GGUF file, read as floats. Raises `NotFloat` for a type without floats."""

    def __init__(self, library: c.CDLL, header: GgufHeader) -> None:
        self._tensors = {each.name: each for each in header.tensors}
        with header.path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._file = np.frombuffer(self._bytes, np.uint8)
        self._start = header.data_offset
        self._expand = {
            each.type.name: _expander(library, each.type.name) for each in header.tensors
        }

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def whole(self, name: str) -> Floats:
        """Return a tensor: a row for each output, or one row."""
        record = self._tensors[name]
        rows = record.elements // record.shape[0]
        floats = self._floats(record, 0, rows)
        return floats if len(record.shape) > 1 else floats[0]

    def rows(self, name: str, numbers: Sequence[int]) -> Floats:
        """Return some rows of a tensor, each in its own row."""
        record = self._tensors[name]
        found = np.empty((len(numbers), record.shape[0]), np.float32)
        for place, number in enumerate(numbers):
            found[place] = self._floats(record, number, 1)[0]
        return found

    def _floats(self, record: TensorRecord, first: int, count: int) -> Floats:
        width = record.shape[0]
        row = width // record.type.block * record.type.block_size
        begin = self._start + record.offset + first * row
        raw = self._file[begin : begin + count * row]
        if record.type.name == _PLAIN:
            return raw.view(np.float32).reshape(count, width)
        floats = np.empty((count, width), np.float32)
        self._expand[record.type.name](raw.ctypes.data, floats.ctypes.data, floats.size)
        return floats


def _expander(library: c.CDLL, kind: str) -> "c._NamedFuncPointer":
    lower = kind.lower().replace("_k", "_K")
    name = _ROWS_OF_FLOATS.get(kind, f"dequantize_row_{lower}")
    try:
        function = library.ggml_fp16_to_fp32_row if kind == _PLAIN else getattr(library, name)
    except AttributeError:
        raise NotFloat(f"it has tensors of the type {kind}, which have no floats") from None
    function.restype, function.argtypes = None, (c.c_void_p, c.c_void_p, c.c_int64)
    return function


def mapping_size(shape: FloatShape) -> int:
    """Return how many bytes the weights of all layers take."""
    return 4 * shape.layers * sum(_room(*each) for each in _parts(shape).values())


def layers_in(memory: mmap.mmap, shape: FloatShape) -> list[LayerWeights]:
    """Return the layers as they lie in a mapping of `mapping_size`, filled or not."""
    floats = np.frombuffer(memory, np.float32)
    layers, start = [], 0
    for _ in range(shape.layers):
        parts: dict[str, Floats] = {}
        for name, size in _parts(shape).items():
            parts[name] = floats[start : start + size[0] * size[1]].reshape(size)
            start += _room(*size)
        layers.append(LayerWeights(**parts))
    return layers


def _parts(shape: FloatShape) -> Mapping[str, tuple[int, int]]:
    asked = shape.heads * shape.head
    return {
        "project": (shape.width, shape.projected),
        "bias": (1, shape.projected),
        "head_norms": (shape.heads + shape.groups, shape.head),
        "merge": (asked, shape.width),
        "widen": (shape.width, 2 * shape.inner),
        "narrow": (shape.inner, shape.width),
    }


def _room(rows: int, columns: int) -> int:
    return -(-rows * columns // _ALIGNED) * _ALIGNED


def fill_layer(layer: LayerWeights, number: int, file: TensorFile, shape: FloatShape) -> None:
    """Read one layer of the file into its place."""
    begin = f"blk.{number}."
    heads, groups, head = shape.heads, shape.groups, shape.head
    scale, one = np.float32(head**-0.5), np.float32(1)
    is_plain = not shape.has_head_norms
    cuts = (0, heads * head, (heads + groups) * head, shape.projected)
    norm = file.whole(f"{begin}attn_norm.weight")
    layer.bias[:] = 0
    for name, first, last in zip("qkv", cuts, cuts[1:], strict=False):
        by = scale if name == "q" and is_plain else one
        rows = file.whole(f"{begin}attn_{name}.weight") * (norm * by)
        turned = name != "v" and shape.turns_halves
        layer.project[:, first:last] = (_paired(rows, head) if turned else rows).T
        if shape.has_bias:
            bias = file.whole(f"{begin}attn_{name}.bias")[:, None] * by
            layer.bias[0, first:last] = (_paired(bias, head) if turned else bias)[:, 0]
    layer.head_norms[:] = 1
    if shape.has_head_norms:
        for name, which, by in (("q", slice(heads), scale), ("k", slice(heads, None), one)):
            weight = file.whole(f"{begin}attn_{name}_norm.weight")[:, None] * by
            layer.head_norms[which] = (_paired(weight, head) if shape.turns_halves else weight).T
    layer.merge[:] = file.whole(f"{begin}attn_output.weight").T
    norm = file.whole(f"{begin}ffn_norm.weight")
    layer.widen[:, : shape.inner] = (file.whole(f"{begin}ffn_gate.weight") * -norm).T
    layer.widen[:, shape.inner :] = (file.whole(f"{begin}ffn_up.weight") * norm).T
    layer.narrow[:] = -file.whole(f"{begin}ffn_down.weight").T


def _paired(rows: Floats, head: int) -> Floats:
    """Bring the numbers that turn together next to each other: first with middle, and so on."""
    halves = rows.reshape(-1, 2, head // 2, rows.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)

"""Small models with numbers in them, for what makes new weights of old ones."""

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import numpy as np
from gguf.quants import dequantize
from numpy.typing import NDArray

from gguf import GGMLQuantizationType, GGUFReader
from puna.library.store import ModelStore
from puna.library.weights.made import Made
from puna.models.digest import Digest
from puna.progress import Progress
from tests.builders import LLAMA, Typed, a_gguf_header
from tests.worlds import FakeWorld

F16_LLAMA: Mapping[str, object] = {**LLAMA, "general.file_type": 1, "odd.key": Typed("Q", 7)}
SHAPES: Mapping[str, Sequence[int]] = {
    "token_embd.weight": (256, 320),
    "blk.0.attn_q.weight": (256, 64),
    "blk.0.attn_v.weight": (256, 32),
    "blk.0.ffn_down.weight": (64, 256),
    "blk.0.attn_norm.weight": (256,),
    "output_norm.weight": (256,),
}


def numbers(name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """Return the same numbers for the same name, as weights are: small and around zero."""
    seed = np.random.default_rng(list(name.encode()))
    return (seed.standard_normal(tuple(reversed(shape))) / 8).astype(np.float32)


def a_plain_model(
    kind: str = "F16",
    *,
    metadata: Mapping[str, object] = F16_LLAMA,
    shapes: Mapping[str, Sequence[int]] = SHAPES,
) -> bytes:
    """Return a model whose matrices are in `kind` (F16 or F32) and hold numbers."""
    kinds = {name: kind if len(shape) > 1 else "F32" for name, shape in shapes.items()}
    head = a_gguf_header(metadata, {name: (kinds[name], shapes[name]) for name in shapes})
    out = bytearray(head)
    for name, shape in shapes.items():
        made = numbers(name, shape).astype(np.float16 if kinds[name] == "F16" else np.float32)
        out += made.tobytes() + bytes(-made.nbytes % 32)
    return bytes(out)


def a_store(root: Path) -> ModelStore:
    """Return a store in a folder."""
    return ModelStore(root, FakeWorld())


def put(store: ModelStore, content: bytes) -> Digest:
    """Put a blob into the store."""
    with store.draft() as draft:
        return draft.write(content)


def finished(steps: Generator[Progress, None, Made], told: list[Progress] | None = None) -> Made:
    """Do all the steps of some work, and return what it made."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            made = end.value
            assert isinstance(made, Made)
            return made
        if told is not None:
            told.append(step)


def tensors_of(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the numbers of a GGUF file, by llama.cpp's own reader in Python."""
    reader = GGUFReader(path)
    return {
        each.name: dequantize(each.data, GGMLQuantizationType(each.tensor_type)).astype(np.float32)
        for each in reader.tensors
    }

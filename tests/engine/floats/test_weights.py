"""Weights become exactly the floats that their file's types stand for."""

from pathlib import Path

import numpy as np
import pytest

import gguf
from puna.models.gguf import read_header
from puna.models.tensor_types import TENSOR_TYPES, TensorType
from puna.node.engine.floats.weights import TensorFile
from puna.node.engine.native import open_library
from tests.engine.floats.test_forward import library

ROWS, BLOCKS = 3, 2
KNOWN = [
    each
    for each in TENSOR_TYPES.values()
    if each.name not in {"I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K", "Q1_0", "Q2_0", "NVFP4"}
]


def a_file(
    path: Path, kind: TensorType, raw: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]"
) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    number = gguf.GGMLQuantizationType(kind.number)
    writer.add_tensor("some.weight", raw, raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", KNOWN, ids=str)
def test_every_type_gives_the_floats_that_it_stands_for(kind: TensorType, tmp_path: Path) -> None:
    chance = np.random.default_rng(kind.number)
    size = BLOCKS * kind.block_size * (16 if kind.block == 1 else 1)
    raw = chance.integers(0, 60, (ROWS, size), dtype=np.uint8)
    header = read_header(a_file(tmp_path / "some.gguf", kind, raw))
    file = TensorFile(open_library(library()), header)
    number = gguf.GGMLQuantizationType(kind.number)
    expected = gguf.dequantize(raw, number) if kind.name != "F32" else raw.view(np.float32)
    assert np.array_equal(file.whole("some.weight"), expected)
    assert np.array_equal(file.rows("some.weight", [2, 0, 2]), expected[[2, 0, 2]])

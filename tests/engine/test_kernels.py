"""llama.cpp's kernels on trees: what a tree gives is what each row gives alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from puna.node.engine.kernels import Kernels
from puna.node.engine.lane import LaneBroke
from puna.node.engine.native import load_model, open_library
from puna.node.engine.row_tree import Tokens, grow
from tests.engine.floats.test_forward import KINDS, PREFIX, ROWS, library, logits
from tests.tiny_models import VOCABULARY, Tiny, plain_logits, write_tiny

pytestmark = pytest.mark.model

LOAD: Mapping[str, object] = {
    "context": 256,
    "batch": 128,
    "rows": 100,
    "threads": 1,
    "cache_type": "f16",
    "flash_attention": -1,
}


def kernels(path: Path, **change: object) -> Kernels:
    native = open_library(library())
    return Kernels(native, load_model(native, str(path)), {**LOAD, **change})


def computed(one: Kernels, rows: Sequence[Tokens]) -> NDArray[np.float32]:
    tree = grow(rows)
    one.decode(tree)
    found = [np.ctypeslib.as_array(one.logits(node), (VOCABULARY,)) for node in tree.reads]
    return np.array(found)


@pytest.mark.parametrize("tiny", KINDS.values(), ids=KINDS)
def test_llama_cpp_and_the_float_pass_agree_on_every_kind(tiny: Tiny, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", tiny)
    one = kernels(path)
    one.keep_trunk(PREFIX)
    # llama.cpp keeps keys and values in 16 bits.
    assert np.abs(computed(one, ROWS) - logits(path, PREFIX, ROWS)).max() < 0.2


def test_a_tree_gives_what_each_row_gives_alone(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    one = kernels(path)
    one.keep_trunk(PREFIX)
    found = computed(one, ROWS)
    assert found[2] == pytest.approx(plain_logits(path, PREFIX + ROWS[2]), abs=0.05)
    assert found[-1] == pytest.approx(plain_logits(path, PREFIX + ROWS[-1]), abs=0.05)


def test_one_tree_leaves_nothing_behind_for_the_next(tmp_path: Path) -> None:
    one = kernels(write_tiny(tmp_path / "tiny.gguf", Tiny()))
    one.keep_trunk(PREFIX)
    first = computed(one, ROWS)
    computed(one, [(number,) for number in range(60)])
    assert computed(one, ROWS) == pytest.approx(first, abs=1e-5)


def test_a_trunk_longer_than_a_batch_is_computed_in_parts(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    whole, parts = kernels(path), kernels(path, batch=16)
    for one in (whole, parts):
        one.keep_trunk(PREFIX)
    assert computed(parts, ROWS[:3]) == pytest.approx(computed(whole, ROWS[:3]), abs=0.05)
    assert (parts.room, whole.room) == (16, 128)
    assert whole.trunk == PREFIX


def test_a_new_trunk_replaces_the_old_one(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    one = kernels(path)
    one.keep_trunk(PREFIX)
    one.keep_trunk(PREFIX[:5])
    found = computed(one, ROWS[:1])[0]
    assert found == pytest.approx(plain_logits(path, PREFIX[:5] + ROWS[0]), abs=0.05)


def test_a_tree_that_has_no_room_breaks_the_lane_and_the_next_trunk_mends_it(
    tmp_path: Path,
) -> None:
    one = kernels(write_tiny(tmp_path / "tiny.gguf", Tiny()))
    one.keep_trunk(PREFIX)
    with pytest.raises(LaneBroke, match="a step of"):
        one.decode(grow([tuple(range(250))]))
    one.keep_trunk(PREFIX)
    assert np.isfinite(computed(one, ROWS)).all()


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.gguf"
    path.write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(RuntimeError, match="could not be loaded"):
        kernels(path)

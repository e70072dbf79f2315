"""Quantizing: the numbers of llama.cpp's formats, all else as it was, and nothing half-done."""

import contextlib
import os
import signal
from collections.abc import Generator
from pathlib import Path

import gguf.quants
import numpy as np
import psutil
import pytest

from gguf import GGMLQuantizationType, GGUFReader
from puna.errors import Failed
from puna.library.disk import StoreFull
from puna.library.draft import Draft
from puna.library.store import ModelStore
from puna.library.weights.child import WeightsLost
from puna.library.weights.made import Made
from puna.library.weights.quantize import plan_quantizing, quantized
from puna.models.gguf import metadata_entries, read_header
from puna.models.mix import AlreadyQuantized, Level
from puna.progress import Progress, Step, Transfer
from tests.stores import blob_names, leftovers
from tests.weights.builders import (
    SHAPES,
    a_plain_model,
    a_store,
    finished,
    numbers,
    put,
    tensors_of,
)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return a_store(tmp_path / "models")


def quantize(
    store: ModelStore, content: bytes, level: str, told: list[Progress] | None = None
) -> Path:
    """Quantize a model in the store, and return the new file."""
    source = store.blobs.path(put(store, content))
    plan = plan_quantizing(read_header(source), Level.parse(level))
    assert plan is not None
    with store.draft() as draft:
        made = finished(quantized(plan, draft), told)
    return store.blobs.path(made.digest)


@pytest.mark.parametrize("source", ["F16", "F32"])
@pytest.mark.parametrize("level", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_numbers_are_those_of_the_reference(store: ModelStore, source: str, level: str) -> None:
    reader = GGUFReader(quantize(store, a_plain_model(source), level))
    found = next(each for each in reader.tensors if each.name == "blk.0.attn_q.weight")
    plain = numbers(found.name, SHAPES[found.name]).astype(
        np.float16 if source == "F16" else np.float32
    )
    wanted = gguf.quants.quantize(plain.astype(np.float32), GGMLQuantizationType[level])
    assert GGMLQuantizationType(found.tensor_type).name == level
    assert np.array_equal(found.data.view(np.uint8), wanted.view(np.uint8))


@pytest.mark.parametrize(
    ("level", "far"), [("Q6_K", 0.01), ("Q5_K_M", 0.02), ("Q4_K_S", 0.04), ("Q3_K_L", 0.08)]
)
def test_mixes_stay_near_the_numbers(store: ModelStore, level: str, far: float) -> None:
    found = tensors_of(quantize(store, a_plain_model(), level))
    for name, shape in SHAPES.items():
        assert np.abs(found[name] - numbers(name, shape)).max() < far, name


def test_to_32_bits_and_back_is_the_same(store: ModelStore) -> None:
    plain = a_plain_model()
    wide = quantize(store, plain, "F32").read_bytes()
    again = quantize(store, wide, "F16")
    old = put(store, plain)
    assert {k: v.tobytes() for k, v in tensors_of(again).items()} == {
        k: v.tobytes() for k, v in tensors_of(store.blobs.path(old)).items()
    }


@pytest.mark.parametrize("level", ["Q8_0", "Q4_K_M"])
def test_a_row_longer_than_a_band_is_cut_where_blocks_end(store: ModelStore, level: str) -> None:
    shapes = {"blk.0.ffn_up.weight": (3 * 2**19, 2), "blk.0.x.bias": (2**20 + 7,)}
    path = quantize(store, a_plain_model(shapes=shapes), level)
    found = tensors_of(path)
    for name, shape in shapes.items():
        assert np.abs(found[name] - numbers(name, shape)).max() < 0.05, name


def test_all_else_in_the_file_is_as_it_was(store: ModelStore) -> None:
    made = quantize(store, a_plain_model(), "Q4_K_M")
    new = metadata_entries(made)
    old = metadata_entries(store.blobs.path(put(store, a_plain_model())))
    changed = {"general.file_type", "general.quantization_version"}
    assert {k: v for k, v in new.items() if k not in changed} == {
        k: v for k, v in old.items() if k not in changed
    }
    assert read_header(made).integer("general.file_type") == 15
    assert [t.name for t in read_header(made).tensors] == list(SHAPES)


def test_progress_is_told_in_ollamas_words(store: ModelStore) -> None:
    told: list[Progress] = []
    quantize(store, a_plain_model(), "q4_k", told)
    transfers = [each for each in told if isinstance(each, Transfer)]
    steps = [each.status for each in told if isinstance(each, Step)]
    assert {each.status for each in transfers} == {"quantizing F16 model to Q4_K_M"}
    assert transfers[-1].completed == transfers[-1].total
    assert steps[0].startswith("1 of 6 tensors get larger formats than Q4_K_M has")
    assert steps[-1] == "verifying conversion"


def test_the_same_level_changes_nothing_and_a_lower_one_is_refused(store: ModelStore) -> None:
    plain = read_header(store.blobs.path(put(store, a_plain_model())))
    made = read_header(quantize(store, a_plain_model(), "Q8_0"))
    assert plan_quantizing(plain, Level.parse("F16")) is None
    with pytest.raises(AlreadyQuantized, match="only supported for F16"):
        plan_quantizing(made, Level.parse("Q4_0"))


def test_a_number_that_is_none_is_named_with_its_tensor(store: ModelStore) -> None:
    content = bytearray(a_plain_model())
    header = read_header(store.blobs.path(put(store, bytes(content))))
    content[header.data_offset : header.data_offset + 2] = b"\xff\xff"
    before = blob_names(store.blobs.folder.parent)
    with pytest.raises(Failed, match=r"token_embd\.weight cannot be converted"):
        quantize(store, bytes(content), "Q8_0")
    assert len(blob_names(store.blobs.folder.parent) - before) == 1


@pytest.fixture
def large() -> bytes:
    """Return a model whose work takes several steps."""
    return a_plain_model(shapes={"token_embd.weight": (256, 20_000)})


def begin(store: ModelStore, content: bytes, draft: Draft) -> Generator[Progress, None, Made]:
    """Quantize as far as the first step, in which the child waits for its reader."""
    source = store.blobs.path(put(store, content))
    plan = plan_quantizing(read_header(source), Level.parse("F32"))
    assert plan is not None
    steps = quantized(plan, draft)
    next(steps)
    return steps


def test_a_child_that_is_killed_leaves_nothing(store: ModelStore, large: bytes) -> None:
    with store.draft() as draft:
        steps = begin(store, large, draft)
        for child in children():
            os.kill(child, signal.SIGKILL)
        with pytest.raises(WeightsLost, match="ended by signal 9"):
            finished(steps)
    assert blob_names(store.root) == {put(store, large).blob_name}
    assert not leftovers(store.root)


QUANTIZER = "puna.library.weights.quantizer"


def children() -> list[int]:
    """Return the processes that work on weights for this one; a test run has others."""
    found = psutil.process_iter(["pid", "ppid", "cmdline"])
    mine = (each for each in found if each.info["ppid"] == os.getpid())
    return [each.pid for each in mine if QUANTIZER in (each.info["cmdline"] or ())]


def test_work_that_is_closed_ends_its_child(store: ModelStore, large: bytes) -> None:
    with store.draft() as draft:
        steps = begin(store, large, draft)
        assert children()
        steps.close()
        assert not children()
    assert blob_names(store.root) == {put(store, large).blob_name}


def test_a_disk_that_fills_up_on_the_way_keeps_nothing_of_it(
    small_disk: Path, large: bytes
) -> None:
    store = a_store(small_disk)
    with store.draft() as draft:
        steps = begin(store, large, draft)
        fill(small_disk / "ballast")
        with pytest.raises(StoreFull, match="no space left on device"):
            finished(steps)
    assert not leftovers(small_disk)
    assert len(blob_names(small_disk)) == 1


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_disk_without_room_is_said_before_anything_is_written(
    small_disk: Path, large: bytes
) -> None:
    store = a_store(small_disk)
    (small_disk / "ballast").write_bytes(bytes(30 << 20))
    with store.draft() as draft, pytest.raises(StoreFull, match=r"too full: 20 MB needed"):
        begin(store, large, draft)

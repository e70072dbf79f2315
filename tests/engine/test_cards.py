"""What an engine holds on cards, and how it says that one was too full."""

from pathlib import Path

import pytest

from puna.models.fit_offload import CARD_OVERHEAD, CardShare
from puna.node.engine.cards import is_card_full, shares_held
from puna.node.engine.request import LoadSpec
from puna.units import Size

PLANNED = CARD_OVERHEAD + 1000
SHARE = CardShare("CUDA0", 0, 20, Size(PLANNED))
SPEC = LoadSpec(Path("/models/x"), 4096, 1, Size(0), shares=(SHARE,))


@pytest.mark.parametrize(
    "log",
    [
        b"allocating 9.00 MiB on device 0: cudaMalloc failed: out of memory",
        b"E alloc_tensor_range: failed to allocate CUDA0 buffer of size 123",
        b"E llama_model_load: error loading model: unable to allocate Vulkan0 buffer",
        b"ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
        b"CUDA error: out of memory\n  current device: 0, in function ggml_cuda_mul_mat",
        b"hipMalloc failed: out of memory",
    ],
    ids=["cuda", "allocator", "loader", "vulkan", "at the first token", "rocm"],
)
def test_a_full_card_is_known_by_what_the_engine_says(log: bytes) -> None:
    assert is_card_full(log)


@pytest.mark.parametrize(
    "log",
    [
        b"",
        b"E llama_model_load: error loading model: invalid magic characters",
        b"E alloc_tensor_range: failed to allocate CPU buffer of size 123",
        b"std::bad_alloc",
    ],
    ids=["nothing", "no model", "memory", "memory of the process"],
)
def test_what_else_goes_wrong_is_not_about_the_card(log: bytes) -> None:
    assert not is_card_full(log)


@pytest.mark.parametrize(
    ("taken", "held"),
    [
        ({"CUDA0": 900}, 900),
        ({"CUDA0": 0}, 1000),
        ({"CUDA0": -5}, 1000),
        ({"CUDA0": PLANNED + 1}, 1000),
        ({"CUDA1": 900}, 1000),
        (None, 1000),
    ],
    ids=["measured", "not told", "others gave back", "others took more", "another", "no report"],
)
def test_what_is_held_is_measured_else_as_planned(taken: object, held: int) -> None:
    (share,) = shares_held(SPEC, taken)

    assert share.memory == held
    assert (share.name, share.layers) == ("CUDA0", 20)

"""The bytes counted are the bytes that llama.cpp allocates."""

from dataclasses import replace

import pytest

from puna.errors import Invalid
from puna.models.fit_memory import (
    SNAPSHOTS,
    Plan,
    cache_size,
    check_plan,
    process_size,
    rearranged_size,
    scratch_size,
    snapshots_size,
    weights_size,
    work_size,
)
from puna.models.fit_shape import shape_of
from puna.models.gguf import GgufHeader
from tests.builders import a_header
from tests.models.architectures import KNOWN, SMALL, Recorded, a_model, a_transformer

MIB = 2**20
ROWS = [
    pytest.param(known.header, row, id=f"{name}-{row.plan.context}x{row.plan.parallel}-{number}")
    for name, known in KNOWN.items()
    for number, row in enumerate(known.recorded)
]


@pytest.mark.parametrize(("header", "recorded"), ROWS)
def test_the_cache_is_what_llama_cpp_allocates(header: GgufHeader, recorded: Recorded) -> None:
    counted = cache_size(shape_of(header), recorded.plan) / MIB

    assert counted == pytest.approx(recorded.cache, abs=0.011)


@pytest.mark.parametrize(("header", "recorded"), ROWS)
def test_the_scratch_is_never_less_and_little_more(header: GgufHeader, recorded: Recorded) -> None:
    counted = scratch_size(shape_of(header), recorded.plan) / MIB

    assert recorded.scratch - 0.01 <= counted <= 1.21 * recorded.scratch


@pytest.mark.parametrize("name", ["llama 8b", "qwen2 7b", "gemma3 4b", "mixtral", "gpt-oss 20b"])
def test_the_scratch_of_common_architectures_is_exact(name: str) -> None:
    shape, row = shape_of(KNOWN[name].header), KNOWN[name].recorded[0]

    assert scratch_size(shape, row.plan) / MIB == pytest.approx(row.scratch, rel=0.002)


def test_attention_that_is_not_flash_converts_its_whole_matrix() -> None:
    shape = shape_of(KNOWN["llama 8b"].header)

    assert work_size(shape, Plan(4096, 1)) == 512 * 14336 * 2
    assert work_size(shape, Plan(4096, 1, has_flash_attention=False)) == 512 * 4096 * 32 * 2


@pytest.mark.parametrize(
    ("context", "parallel", "cells"),
    [(1, 1, 256), (256, 1, 256), (257, 1, 512), (100, 4, 256), (1000, 3, 1024), (4096, 8, 4096)],
)
def test_a_context_is_rounded_up_as_llama_cpp_does(context: int, parallel: int, cells: int) -> None:
    assert Plan(context, parallel).cells == cells


def test_a_window_keeps_the_cache_small_whatever_the_context() -> None:
    header = KNOWN["gemma3 4b"].header
    shape = shape_of(header)
    full = replace(shape, layers=tuple(replace(each, has_window=False) for each in shape.layers))
    long = Plan(context=32_768, parallel=1)

    assert cache_size(shape, long) < cache_size(full, long) / 4
    assert cache_size(shape, SMALL) == cache_size(full, SMALL)


@pytest.mark.parametrize(
    ("cache_type", "bits"), [("f16", 16), ("q8_0", 8.5), ("q4_0", 4.5)], ids=str
)
def test_a_smaller_cache_type_takes_fewer_bits(cache_type: str, bits: float) -> None:
    shape = shape_of(KNOWN["llama 8b"].header)
    plan = Plan(context=1024, parallel=2, cache_type=cache_type)

    assert cache_size(shape, plan) == 2 * 1024 * 4 * 2048 * bits / 8


def test_sparse_attention_keeps_an_index_as_well() -> None:
    plain = a_transformer("deepseek32", (2048, 8192), (16, 1, 576))
    sparse = a_transformer(
        "deepseek32", (2048, 8192), (16, 1, 576), attention__indexer__key_length=128
    )

    more = cache_size(shape_of(sparse), SMALL) - cache_size(shape_of(plain), SMALL)
    assert more == 512 * 4 * 128 * 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama 8b", 0),
        ("gemma3 4b", 512 * (5 * 2 * 1024 * 2 + 12)),
        ("mamba2 2.7b", 4 * (3 * 5376 + 128 * 5120) * 4),
    ],
)
def test_snapshots_are_kept_of_windows_and_states(name: str, expected: int) -> None:
    plan = Plan(context=512, parallel=3)

    assert snapshots_size(shape_of(KNOWN[name].header), plan) == SNAPSHOTS * 3 * expected


def test_the_weights_are_the_tensors_and_not_the_metadata() -> None:
    header = a_header(tensors={"a.weight": ("Q4_1", (64, 64)), "b.weight": ("F32", (64,))})

    assert weights_size(header) == 64 * 64 // 32 * 20 + 256


def test_a_split_model_is_counted_with_all_its_files() -> None:
    tensors = {"a.weight": ("Q4_0", (64, 64))}
    one = a_header(tensors=tensors)
    split = a_header({"general.architecture": "llama", "split.count": 3}, tensors)

    assert weights_size(split) == 3 * weights_size(one)
    assert rearranged_size(split, "x86_64") == 3 * rearranged_size(one, "x86_64")


@pytest.mark.parametrize(
    ("kind", "machine", "is_copied"),
    [
        ("Q4_0", "x86_64", True),
        ("Q4_K", "x86_64", True),
        ("IQ4_NL", "AMD64", True),
        ("MXFP4", "x86_64", True),
        ("Q4_1", "x86_64", False),
        ("Q8_0", "x86_64", False),
        ("Q6_K", "x86_64", False),
        ("F16", "x86_64", False),
        ("Q8_0", "aarch64", True),
        ("Q6_K", "arm64", True),
        ("F16", "aarch64", False),
    ],
)
def test_tensors_are_copied_by_type_and_processor(
    kind: str, machine: str, *, is_copied: bool
) -> None:
    header = a_header(tensors={"blk.0.ffn_up.weight": (kind, (256, 64))})

    assert rearranged_size(header, machine) == (weights_size(header) if is_copied else 0)


@pytest.mark.parametrize(
    ("name", "shape", "is_copied"),
    [
        ("blk.0.ffn_up_exps.weight", (256, 64, 4), True),
        ("blk.0.ffn_up.weight", (256, 63), False),
        ("blk.0.attn_norm.weight", (256,), False),
        ("token_embd.weight", (256, 64), True),
    ],
    ids=["experts", "rows that do not pair up", "a vector", "an embedding that is the output too"],
)
def test_only_matrices_that_are_multiplied_are_copied(
    name: str, shape: tuple[int, ...], *, is_copied: bool
) -> None:
    header = a_header(tensors={name: ("Q4_0", shape)})

    assert (rearranged_size(header, "x86_64") > 0) is is_copied


def test_an_embedding_beside_an_output_is_not_copied() -> None:
    matrix = ("Q4_K", (256, 64))
    header = a_header(tensors={"token_embd.weight": matrix, "output.weight": matrix})

    assert rearranged_size(header, "x86_64") == weights_size(header) // 2


def test_the_process_grows_with_vocabulary_slots_and_threads() -> None:
    small, large = (shape_of(a_model("llama", vocabulary=size)) for size in (1000, 250_000))

    least = process_size(small, SMALL, threads=1)
    assert least < 60 * 10**6
    assert process_size(large, SMALL, threads=1) > least + 30 * 10**6
    assert process_size(small, Plan(512, 8), threads=1) > least
    assert process_size(small, SMALL, threads=64) > least


@pytest.mark.parametrize(
    "plan",
    [Plan(0, 1), Plan(512, 0), Plan(512, 1, batch=0), Plan(-1, 1), Plan(512, 1, "f32")],
)
def test_a_plan_that_nobody_can_follow_is_refused(plan: Plan) -> None:
    with pytest.raises(Invalid):
        check_plan(plan)

"""Which format each tensor gets: the counts that llama.cpp itself prints for well-known models."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from puna.models.gguf import GgufHeader
from puna.models.mix import AlreadyQuantized, Level, UnknownLevel, choose_types, count_fallbacks
from tests.builders import a_header

Tensors = dict[str, tuple[str, Sequence[int]]]


def a_model(
    layers: int = 32,
    width: int = 4096,
    *,
    shared: int = 32,
    tied: bool = False,
    experts: int = 0,
) -> GgufHeader:
    """Return a model in F16 with the tensors of the Llamas."""
    tensors: Tensors = {"token_embd.weight": ("F16", (width, 32000))}
    for layer in range(layers):
        start = f"blk.{layer}."
        tensors |= {f"{start}attn_{part}.weight": ("F16", (width, width)) for part in "qkv"}
        tensors[f"{start}attn_output.weight"] = ("F16", (width, width))
        deep, ending = ((experts,), "_exps") if experts else ((), "")
        for part in ("gate", "up", "down"):
            shape = (14336, width) if part == "down" else (width, 14336)
            tensors[f"{start}ffn_{part}{ending}.weight"] = ("F16", (*shape, *deep))
        tensors |= {f"{start}{part}_norm.weight": ("F32", (width,)) for part in ("attn", "ffn")}
        if experts:
            tensors[f"{start}ffn_gate_inp.weight"] = ("F32", (width, experts))
    tensors["output_norm.weight"] = ("F32", (width,))
    tensors |= {} if tied else {"output.weight": ("F16", (width, 32000))}
    metadata = {
        "general.architecture": "llama",
        "general.file_type": 1,
        "llama.block_count": layers,
        "llama.attention.head_count": 32,
        "llama.attention.head_count_kv": shared,
        "llama.expert_count": experts,
    }
    return a_header(metadata, tensors)


def counts(header: GgufHeader, level: str) -> Mapping[str, int]:
    return Counter(str(kind) for kind in choose_types(header, Level.parse(level)))


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("Q4_0", {"F32": 65, "Q4_0": 225, "Q6_K": 1}),
        ("Q8_0", {"F32": 65, "Q8_0": 226}),
        ("Q2_K", {"F32": 65, "Q2_K": 129, "Q3_K": 96, "Q6_K": 1}),
        ("Q3_K_S", {"F32": 65, "Q3_K": 225, "Q6_K": 1}),
        ("Q3_K_M", {"F32": 65, "Q3_K": 129, "Q4_K": 92, "Q5_K": 4, "Q6_K": 1}),
        ("Q3_K_L", {"F32": 65, "Q3_K": 129, "Q5_K": 96, "Q6_K": 1}),
        ("Q4_K_S", {"F32": 65, "Q4_K": 217, "Q5_K": 8, "Q6_K": 1}),
        ("Q4_K_M", {"F32": 65, "Q4_K": 193, "Q6_K": 33}),
        ("Q5_K_S", {"F32": 65, "Q5_K": 225, "Q6_K": 1}),
        ("Q5_K_M", {"F32": 65, "Q5_K": 193, "Q6_K": 33}),
        ("Q6_K", {"F32": 65, "Q6_K": 226}),
        ("BF16", {"F32": 65, "BF16": 226}),
    ],
)
def test_a_llama_of_7b_gets_what_llama_cpp_prints(level: str, expected: dict[str, int]) -> None:
    assert counts(a_model(), level) == expected


def test_shared_keys_get_more_bits_in_the_smallest_mix() -> None:
    assert counts(a_model(shared=8), "Q2_K")["Q4_K"] == 32


def test_a_mixture_of_eight_experts_keeps_its_keys_and_values_in_eight_bits() -> None:
    found = counts(a_model(shared=8, experts=8), "Q4_K_M")
    assert found == {"F32": 97, "Q8_0": 64, "Q5_K": 32, "Q4_K": 113, "Q6_K": 17}


def test_a_llama_of_70b_gets_five_bits_for_its_values() -> None:
    assert counts(a_model(80, 8192, shared=8), "Q4_K_M")["Q5_K"] == 40


def test_an_embedding_that_is_also_the_output_is_stored_as_an_output() -> None:
    header = a_model(tied=True)
    types = choose_types(header, Level.parse("Q4_K_M"))
    kinds = dict(zip((tensor.name for tensor in header.tensors), map(str, types), strict=True))
    assert kinds["token_embd.weight"] == "Q6_K"


def test_rows_that_blocks_do_not_fill_get_a_format_with_smaller_blocks() -> None:
    header = a_model(2, 576)
    types = choose_types(header, Level.parse("Q4_K_M"))
    assert Counter(map(str, types)) == {"F32": 5, "Q5_0": 12, "Q8_0": 2, "Q4_K": 1, "Q6_K": 1}
    assert count_fallbacks(header.tensors, types, Level.parse("Q4_K_M")) == 14


def test_rows_that_fill_no_blocks_stay_in_sixteen_bits() -> None:
    odd = a_header(
        {"general.architecture": "llama", "llama.block_count": 1},
        {"blk.0.attn_q.weight": ("F32", (40, 4)), "blk.0.attn_q.bias": ("F32", (40,))},
    )
    assert [str(kind) for kind in choose_types(odd, Level.parse("q4_0"))] == ["F16", "F32"]


def test_layers_are_counted_by_their_numbers_whatever_their_order_in_the_file() -> None:
    header = a_model()
    turned = a_header(
        header.metadata, {t.name: (str(t.type), t.shape) for t in reversed(header.tensors)}
    )
    level = Level.parse("Q4_K_M")
    assert choose_types(turned, level) == tuple(reversed(choose_types(header, level)))


def test_parts_that_see_are_left_as_they_are() -> None:
    header = a_header(
        {"general.architecture": "gemma3", "gemma3.block_count": 1},
        {"v.blk.0.attn_q.weight": ("F16", (256, 4)), "mm.0.weight": ("F16", (256, 4))},
    )
    assert [str(kind) for kind in choose_types(header, Level.parse("Q4_K_M"))] == ["F16", "F16"]


@pytest.mark.parametrize(("text", "name"), [("q4_k", "Q4_K_M"), ("Q5_K", "Q5_K_M"), ("f16", "F16")])
def test_levels_are_read_in_any_case_and_in_short(text: str, name: str) -> None:
    assert Level.parse(text).name == name


def test_an_unknown_level_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownLevel, match=r"unsupported quantization type Q9 - .*F32.*Q4_K_M"):
        Level.parse("q9")


def test_what_was_quantized_is_not_quantized_again() -> None:
    header = a_header(
        {"general.architecture": "llama", "llama.block_count": 1},
        {"blk.0.attn_q.weight": ("Q8_0", (256, 4))},
    )
    with pytest.raises(AlreadyQuantized, match="only supported for F16, BF16 and F32 models"):
        choose_types(header, Level.parse("Q4_K_M"))

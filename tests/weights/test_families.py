"""What a configuration means: metadata in llama.cpp's words, names of tensors, and shapes."""

import math
from collections.abc import Mapping

import pytest

from puna.library.weights.converter import heads_of
from puna.library.weights.families import (
    FAMILIES,
    allowed_shapes,
    factors_of,
    family_of,
    gguf_name,
    metadata_of,
    shape_of,
    wanted_shapes,
    warnings_of,
)
from puna.library.weights.made import CannotConvert
from puna.library.weights.repository import BadRepository
from puna.models.strict_json import JsonValue
from tests.weights.huggingface import GEMMA, TINY

YARN: dict[str, JsonValue] = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 128,
}
LLAMA_3: dict[str, JsonValue] = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}


def said(**changes: JsonValue) -> Mapping[str, object]:
    """Return the metadata of a tiny model with these changes."""
    config = {**TINY, **changes}
    shape = shape_of(config, family_of(config))
    return {key: value for key, _, value in metadata_of(config, shape)}


def test_the_numbers_of_a_model_are_in_llama_cpps_words() -> None:
    found = said()
    assert found["llama.attention.head_count"] == 4
    assert found["llama.rope.dimension_count"] == 16
    assert "llama.attention.key_length" not in found
    assert said(head_dim=32)["llama.attention.key_length"] == 32


def test_queries_without_a_word_on_keys_share_none() -> None:
    assert said(num_key_value_heads=None)["llama.attention.head_count_kv"] == 4


@pytest.mark.parametrize("spelling", ["rope_scaling", "rope_parameters"])
def test_stretched_positions_are_told_in_both_spellings(spelling: str) -> None:
    found = said(**{spelling: {**YARN, "beta_fast": 16, "attention_factor": 0.5}})
    assert found["llama.rope.scaling.type"] == "yarn"
    assert found["llama.rope.scaling.factor"] == 4
    assert found["llama.rope.scaling.original_context_length"] == 128
    assert found["llama.rope.scaling.yarn_beta_fast"] == 16
    assert found["llama.rope.scaling.yarn_attn_factor"] == 0.5


def test_a_line_needs_only_its_factor() -> None:
    found = said(rope_scaling={"type": "linear", "factor": 2})
    assert found["llama.rope.scaling.type"] == "linear"
    assert "llama.rope.scaling.original_context_length" not in found


def test_the_newer_spelling_holds_the_base_too() -> None:
    rope: JsonValue = {"rope_type": "default", "rope_theta": 500_000.0}
    assert said(rope_parameters=rope, rope_theta=None)["llama.rope.freq_base"] == 500_000


@pytest.mark.parametrize(
    ("rope", "reason"),
    [
        ({"type": "yarn", "factor": 4.0}, "no usable original_max_position_embeddings"),
        ({"type": "linear"}, "no usable factor"),
        ({"type": "linear", "factor": True}, "no usable factor"),
        ([1], "no object"),
    ],
)
def test_stretching_that_lacks_a_number_is_refused(rope: JsonValue, reason: str) -> None:
    with pytest.raises(BadRepository, match=reason):
        said(rope_scaling=rope)


def test_fast_pairs_of_llama_3_2_keep_their_pace_and_slow_ones_are_32_times_slower() -> None:
    config: Mapping[str, JsonValue] = {
        **TINY,
        "head_dim": 64,
        "rope_theta": 500_000.0,
        "rope_scaling": {**LLAMA_3, "original_max_position_embeddings": 8192},
    }
    found = factors_of(config, shape_of(config, family_of(config)))
    assert len(found) == 32
    assert found.count(1.0) == sum(2 * math.pi * 500_000 ** (n / 32) < 2048 for n in range(32))
    assert list(found) == sorted(found)
    assert found[-1] == 32


def test_impossible_factors_are_refused() -> None:
    config: Mapping[str, JsonValue] = {**TINY, "rope_scaling": {**LLAMA_3, "low_freq_factor": 5}}
    with pytest.raises(BadRepository, match="impossible factors"):
        factors_of(config, shape_of(config, family_of(config)))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("model.embed_tokens.weight", "token_embd.weight"),
        ("lm_head.weight", "output.weight"),
        ("model.layers.12.self_attn.o_proj.weight", "blk.12.attn_output.weight"),
        ("model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight"),
        ("model.layers.0.self_attn.q_proj.bias", "blk.0.attn_q.bias"),
        ("model.layers.00.mlp.up_proj.weight", None),
        ("model.layers.0.mlp.experts.0.up_proj.weight", None),
        ("model.layers.0.mlp.up_proj.weight_scale", None),
    ],
)
def test_tensors_have_llama_cpps_names(theirs: str, ours: str | None) -> None:
    assert gguf_name(theirs, FAMILIES["LlamaForCausalLM"]) == ours


@pytest.mark.parametrize("architecture", list(FAMILIES))
def test_only_the_rows_of_llamas_are_put_in_order(architecture: str) -> None:
    config: Mapping[str, JsonValue] = {**TINY, "architectures": [architecture]}
    shape = shape_of(config, family_of(config))
    is_llama = shape.family.name == "llama"
    assert heads_of("blk.0.attn_q.weight", shape) == (4 if is_llama else 0)
    assert heads_of("blk.0.attn_k.bias", shape) == (2 if is_llama else 0)
    assert heads_of("blk.0.attn_v.weight", shape) == 0
    assert ("blk.0.ffn_up.bias" in allowed_shapes(shape)) == is_llama
    assert ("blk.0.attn_q.bias" in wanted_shapes(shape)) == (shape.family.name == "qwen2")


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"sliding_window": 256}, 1),
        ({"sliding_window": 512}, 0),
        ({"sliding_window": None}, 0),
        ({"sliding_window": 256, "use_sliding_window": False}, 0),
    ],
)
def test_a_window_is_mentioned_only_where_it_would_be_used(
    changes: Mapping[str, JsonValue], count: int
) -> None:
    assert len(list(warnings_of({**TINY, **changes}))) == count


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sliding_window_pattern": 4}, "another pattern than every sixth"),
        ({"layer_types": ["full_attention"] * 7}, "another pattern than every sixth"),
        ({"rope_local_base_freq": 500}, "the near base 500, not 10000"),
        ({"query_pre_attn_scalar": 256}, "an unusual query_pre_attn_scalar"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ({"hidden_activation": "silu"}, "hidden_act silu, not gelu_pytorch_tanh"),
    ],
)
def test_what_llama_cpp_has_not_in_its_gemma_3_is_refused(
    changes: Mapping[str, JsonValue], reason: str
) -> None:
    config = {**TINY, **GEMMA, **changes}
    with pytest.raises(CannotConvert, match=reason):
        shape_of(config, family_of(config))


def test_gemma_3_says_how_far_its_layers_look() -> None:
    near: list[JsonValue] = ["sliding_attention"]
    listed: list[JsonValue] = [*near * 5, "full_attention", *near]
    rope: JsonValue = {
        "full_attention": {"rope_type": "default", "rope_theta": 500_000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
    }
    found = said(**{**GEMMA, "layer_types": listed, "rope_parameters": rope})
    assert found["gemma3.attention.sliding_window"] == 8
    assert found["gemma3.attention.key_length"] == 16
    assert found["gemma3.rope.freq_base"] == 500_000


@pytest.mark.parametrize("listed", [[], ["Other"], "LlamaForCausalLM", [None]])
def test_a_kind_that_is_not_named_or_not_known_is_refused(listed: JsonValue) -> None:
    with pytest.raises(CannotConvert, match="cannot be converted") as raised:
        family_of({"architectures": listed})
    assert "convert_hf_to_gguf.py" in raised.value.hint

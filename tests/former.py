"""Tiny files in the forms of Ollama's former engine: every tensor there, of random numbers.

Tensors are named and shaped as Ollama's own converter does it; the rows come last, as numpy has it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

import gguf
from tests.tiny_models import add_tokens

WIDTH, INNER, HEADS, GROUPS, HEAD, LAYERS = 64, 96, 4, 2, 16, 2
EYE, SIDE, PATCH = 32, 28, 14
PATCHES = (SIDE // PATCH) ** 2
Shapes = dict[str, tuple[int, ...]]

_TEXT = {
    "block_count": LAYERS,
    "context_length": 512,
    "embedding_length": WIDTH,
    "feed_forward_length": INNER,
    "attention.head_count": HEADS,
    "attention.head_count_kv": GROUPS,
    "attention.key_length": HEAD,
    "attention.value_length": HEAD,
    "rope.dimension_count": HEAD,
    "rope.freq_base": 10_000.0,
    "attention.layer_norm_rms_epsilon": 1e-6,
}
_EYES = {
    "vision.block_count": LAYERS,
    "vision.embedding_length": EYE,
    "vision.feed_forward_length": 2 * EYE,
    "vision.attention.head_count": 2,
    "vision.attention.layer_norm_epsilon": 1e-6,
    "vision.image_size": SIDE,
    "vision.patch_size": PATCH,
    "vision.num_channels": 3,
}


def write_old(path: Path, family: str) -> Path:
    """Write a file of a family in its old form."""
    facts, shapes = _FAMILIES[family]
    dice = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, family)
    for name, value in facts.items():
        _add(writer, f"{family}.{name}", value)
    add_tokens(writer)
    for name, shape in shapes.items():
        numbers = 0.2 * dice.standard_normal(shape)
        if "norm" in name or "ln" in name:
            numbers = 1 + numbers
        is_half = name.startswith("v.") and len(shape) > 1
        writer.add_tensor(name, numbers.astype(np.float16 if is_half else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: gguf.GGUFWriter, key: str, value: object) -> None:
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)


def _attention(
    block: str, *, bias: bool = False, out: str = "attn_output", head: int = HEAD
) -> Shapes:
    asked, kept = HEADS * head, GROUPS * head
    shapes: Shapes = {
        f"{block}.attn_norm.weight": (WIDTH,),
        f"{block}.attn_q.weight": (asked, WIDTH),
        f"{block}.attn_k.weight": (kept, WIDTH),
        f"{block}.attn_v.weight": (kept, WIDTH),
        f"{block}.{out}.weight": (WIDTH, asked),
    }
    if bias:
        shapes |= {f"{block}.attn_{name}.bias": (asked if name == "q" else kept,) for name in "qkv"}
    return shapes


def _dense(block: str) -> Shapes:
    return {
        f"{block}.ffn_norm.weight": (WIDTH,),
        f"{block}.ffn_gate.weight": (INNER, WIDTH),
        f"{block}.ffn_up.weight": (INNER, WIDTH),
        f"{block}.ffn_down.weight": (WIDTH, INNER),
    }


def _around(rows: int = 256) -> Shapes:
    return {"token_embd.weight": (rows, WIDTH), "output_norm.weight": (WIDTH,)}


def _linear(name: str, *shape: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def _gptoss() -> Shapes:
    shapes: Shapes = {**_around(), "output.weight": (256, WIDTH)}
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        shapes |= _attention(block, bias=True, out="attn_out")
        shapes |= {f"{block}.attn_out.bias": (WIDTH,), f"{block}.attn_sinks": (HEADS,)}
        shapes |= {f"{block}.ffn_norm.weight": (WIDTH,)}
        shapes |= _linear(f"{block}.ffn_gate_inp", 4, WIDTH)
        for name in ("gate", "up"):
            shapes[f"{block}.ffn_{name}_exps.weight"] = (4, 32, WIDTH)
            shapes[f"{block}.ffn_{name}_exps.bias"] = (4, 32)
        shapes[f"{block}.ffn_down_exps.weight"] = (4, WIDTH, 32)
        shapes[f"{block}.ffn_down_exps.bias"] = (4, WIDTH)
    return shapes


def _gemma3() -> Shapes:
    shapes = {**_around(), **_siglip()}
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        shapes |= _attention(block) | _dense(block)
        shapes |= {f"{block}.attn_{name}_norm.weight": (HEAD,) for name in "qk"}
        shapes |= {f"{block}.post_attention_norm.weight": (WIDTH,)}
        shapes |= {f"{block}.post_ffw_norm.weight": (WIDTH,)}
    return shapes


def _siglip() -> Shapes:
    shapes: Shapes = {
        "v.patch_embedding.weight": (EYE, 3, PATCH, PATCH),
        "v.patch_embedding.bias": (EYE,),
        "v.position_embedding.weight": (64, EYE),
        "mm.mm_input_projection.weight": (EYE, WIDTH),
        "mm.mm_soft_emb_norm.weight": (EYE,),
    }
    shapes |= _linear("v.post_layernorm", EYE)
    for layer in range(LAYERS):
        block = f"v.blk.{layer}"
        for name in ("layer_norm1", "layer_norm2"):
            shapes |= _linear(f"{block}.{name}", EYE)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes |= _linear(f"{block}.{name}", EYE, EYE)
        shapes |= _linear(f"{block}.mlp.fc1", 2 * EYE, EYE)
        shapes |= _linear(f"{block}.mlp.fc2", EYE, 2 * EYE)
    return shapes


def _qwen25vl() -> Shapes:
    shapes = {**_around(), "output.weight": (256, WIDTH), "v.merger.ln_q.weight": (EYE,)}
    for layer in range(LAYERS):
        shapes |= _attention(f"blk.{layer}", bias=True) | _dense(f"blk.{layer}")
        block = f"v.blk.{layer}"
        shapes |= {f"{block}.ln1.weight": (EYE,), f"{block}.ln2.weight": (EYE,)}
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            shapes |= _linear(f"{block}.{name}", EYE, EYE)
        for name in ("ffn_gate", "ffn_up"):
            shapes |= _linear(f"{block}.{name}", 2 * EYE, EYE)
        shapes |= _linear(f"{block}.ffn_down", EYE, 2 * EYE)
    shapes |= {f"v.patch_embd_{at}.weight": (EYE, 3, PATCH, PATCH) for at in (0, 1)}
    shapes |= _linear("v.merger.mlp.0", 4 * EYE, 4 * EYE)
    shapes |= _linear("v.merger.mlp.2", WIDTH, 4 * EYE)
    return shapes


def _qwen3vl() -> Shapes:
    shapes = {**_around(), "output.weight": (256, WIDTH)}
    for layer in range(LAYERS):
        shapes |= _attention(f"blk.{layer}", head=128) | _dense(f"blk.{layer}")
        shapes |= {f"blk.{layer}.attn_{name}_norm.weight": (128,) for name in "qk"}
        block = f"v.blk.{layer}"
        shapes |= dict(_linear(f"{block}.norm1", EYE)) | dict(_linear(f"{block}.norm2", EYE))
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            shapes |= _linear(f"{block}.{name}", EYE, EYE)
        shapes |= _linear(f"{block}.mlp.linear_fc1", 2 * EYE, EYE)
        shapes |= _linear(f"{block}.mlp.linear_fc2", EYE, 2 * EYE)
    shapes |= {"v.patch_embed.weight": (3 * EYE, 2, PATCH, PATCH), "v.patch_embed.bias": (EYE,)}
    shapes |= {"v.pos_embed.weight": (PATCHES, EYE)}
    shapes |= _linear("v.merger.norm", EYE)
    for merger, width in (("v.merger", EYE), ("v.deepstack_merger.0", 4 * EYE)):
        shapes |= _linear(f"{merger}.norm", width)
        shapes |= _linear(f"{merger}.linear_fc1", 4 * EYE, 4 * EYE)
        shapes |= _linear(f"{merger}.linear_fc2", WIDTH, 4 * EYE)
    return shapes


def _mistral3() -> Shapes:
    shapes = {**_around(), "output.weight": (256, WIDTH)}
    for layer in range(LAYERS):
        shapes |= _attention(f"blk.{layer}") | _dense(f"blk.{layer}")
        block = f"v.blk.{layer}"
        shapes |= {f"{block}.attn_norm.weight": (EYE,), f"{block}.ffn_norm.weight": (EYE,)}
        shapes |= {f"{block}.attn_{name}.weight": (EYE, EYE) for name in ("q", "k", "v", "output")}
        shapes |= {f"{block}.ffn_{name}.weight": (2 * EYE, EYE) for name in ("gate", "up")}
        shapes |= {f"{block}.ffn_down.weight": (EYE, 2 * EYE)}
    shapes |= {"v.patch_conv.weight": (EYE, 3, PATCH, PATCH), "v.encoder_norm.weight": (EYE,)}
    shapes |= {"mm.linear_1.weight": (WIDTH, EYE), "mm.linear_2.weight": (WIDTH, WIDTH)}
    shapes |= {"mm.norm.weight": (EYE,), "mm.patch_merger.merging_layer.weight": (EYE, 4 * EYE)}
    return shapes


def _olmo3() -> Shapes:
    shapes = {**_around(), "output.weight": (256, WIDTH)}
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        own = {**_attention(block), **_dense(block)}
        del own[f"{block}.attn_norm.weight"], own[f"{block}.ffn_norm.weight"]
        shapes |= own
        shapes |= {f"{block}.attn_q_norm.weight": (HEADS * HEAD,)}
        shapes |= {f"{block}.attn_k_norm.weight": (GROUPS * HEAD,)}
        shapes |= {f"{block}.post_attention_norm.weight": (WIDTH,)}
        shapes |= {f"{block}.post_ffw_norm.weight": (WIDTH,)}
    return shapes


_GPTOSS: dict[str, object] = {
    "expert_count": 4,
    "expert_used_count": 2,
    "attention.sliding_window": 128,
}
_GPTOSS |= {"rope.scaling.factor": 32.0, "rope.scaling.original_context_length": 4096}
_QWEN25: dict[str, object] = {"rope.mrope_section": [2, 3, 3], "vision.spatial_merge_size": 2}
_QWEN25 |= {"vision.window_size": 112, "vision.fullatt_block_indexes": [1]}
_QWEN3: dict[str, object] = {"vision.spatial_merge_size": 2, "vision.deepstack_visual_indexes": [1]}
_QWEN3 |= {"attention.key_length": 128, "attention.value_length": 128, "rope.dimension_count": 128}
_FAMILIES: Mapping[str, tuple[Mapping[str, object], Shapes]] = {
    "gptoss": ({**_TEXT, **_GPTOSS}, _gptoss()),
    "gemma3": (
        {**_TEXT, **_EYES, "attention.sliding_window": 64, "vision.image_size": 8 * PATCH},
        _gemma3(),
    ),
    "qwen25vl": ({**_TEXT, **_EYES, **_QWEN25}, _qwen25vl()),
    "qwen3vl": ({**_TEXT, **_EYES, **_QWEN3}, _qwen3vl()),
    "mistral3": ({**_TEXT, **_EYES, "spatial_merge_size": 2}, _mistral3()),
    "olmo3": ({**_TEXT, "attention.sliding_window": 64}, _olmo3()),
}

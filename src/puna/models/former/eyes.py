"""The part of an old file that sees images, family by family, as the projector llama.cpp loads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isqrt
from types import MappingProxyType

from puna.models.former.recast import ARCHITECTURE, Rewriting

_HALF = (0.5, 0.5, 0.5)
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_PATCH = "v.patch_embd.weight"
_PLACES = "v.position_embd.weight"
_COMMON = (
    "block_count",
    "embedding_length",
    "feed_forward_length",
    "image_size",
    "patch_size",
    "num_channels",
    "spatial_merge_size",
    "window_size",
    "attention.head_count",
    "attention.layer_norm_epsilon",
    "image_mean",
    "image_std",
)
"""Facts that most families have, and llama.cpp reads, under one name."""


@dataclass(frozen=True, slots=True)
class _Eyes:
    """What is the same for a family's projectors: its kind, its colours, its activation."""

    kind: str
    act: str
    finish: Callable[[Rewriting], None]
    names: tuple[tuple[str, str], ...] = ()
    """Parts of tensor names, old and new, in the order of their change."""
    mean: tuple[float, ...] = _HALF
    std: tuple[float, ...] = _HALF
    wide: tuple[str, ...] = (_PATCH,)
    """Tensors that llama.cpp has as 32-bit floats."""


def _gemma3(new: Rewriting) -> None:
    del new


def _mistral3(new: Rewriting) -> None:
    new.copy(new.own("spatial_merge_size"), "clip.vision.spatial_merge_size")
    new.copy(new.own("vision.rope.freq_base"), "clip.rope.freq_base")
    new.fill("clip.vision.attention.layer_norm_epsilon", 1e-5)
    # What stands at the end of a row of patches is nowhere by itself; of zeros, it changes nothing.
    new.zeros("v.token_embd.img_break", new.number("embedding_length") or 1)
    heads = new.number("vision.attention.head_count") or 0
    for block in range(new.number("vision.block_count") or 0):
        new.turn(f"v.blk.{block}.attn_q.weight", heads)
        new.turn(f"v.blk.{block}.attn_k.weight", heads)


def _llama4(new: Rewriting) -> None:
    new.copy(new.own("vision.layer_norm_epsilon"), "clip.vision.attention.layer_norm_epsilon")
    ratio = new.header.number(new.own("vision.pixel_shuffle_ratio")) or 0.5
    new.fill("clip.vision.projector.scale_factor", round(1 / ratio) or 2)
    new.fill("clip.vision.projector_type", "llama4")
    new.rename("v.positional_embedding_vlm", _PLACES)


def _gemma4(new: Rewriting) -> None:
    new.fill("clip.vision.image_size", 224)
    new.set("clip.vision.projector_type", "gemma4v")
    new.drop("a.", "mm.a.")


def _qwen25vl(new: Rewriting) -> None:
    if shape := new.shape("v.blk.0.ffn_up.weight"):
        new.fill("clip.vision.feed_forward_length", shape[1])
    whole = new.numbers("vision.fullatt_block_indexes")
    new.fill("clip.vision.n_wa_pattern", whole[0] + 1 if whole else 8)
    new.fill("clip.vision.image_size", 560)


def _glmocr(new: Rewriting) -> None:
    new.copy(new.own("vision.intermediate_size"), "clip.vision.feed_forward_length")
    epsilon = "attention.layer_norm_rms_epsilon"
    new.copy(new.own(f"vision.{epsilon}"), "clip.vision.attention.layer_norm_epsilon")
    new.forget("clip.vision.projection_dim")
    new.copy(new.own("vision.out_hidden_size"), "clip.vision.projection_dim")


def _qwen3vl(new: Rewriting) -> None:
    new.copy(new.own("vision.temporal_patch_size"), "clip.vision.temporal_patch_size")
    new.copy(new.own("vision.rope.freq_base"), "clip.vision.rope.freq_base")
    new.copy(new.own("vision.shortest_edge"), "clip.vision.image_min_pixels")
    new.copy(new.own("vision.longest_edge"), "clip.vision.image_max_pixels")
    new.fill("clip.vision.num_channels", 3)
    new.fill("clip.vision.temporal_patch_size", 2)
    new.fill("clip.vision.rope.freq_base", 10_000.0)
    new.fill("clip.vision.image_min_pixels", 65_536)
    new.fill("clip.vision.image_max_pixels", 16_777_216)
    if shape := new.shape("v.blk.0.ffn_up.weight"):
        new.fill("clip.vision.feed_forward_length", shape[1])
    if (places := new.shape(_PLACES)) and (patch := new.number("vision.patch_size")):
        new.fill("clip.vision.image_size", isqrt(places[1]) * patch)
    deep = new.numbers("vision.deepstack_visual_indexes")
    for at, layer in enumerate(deep):
        for old, name in (("norm", "norm"), ("linear_fc1", "fc1"), ("linear_fc2", "fc2")):
            for end in ("weight", "bias"):
                new.rename(
                    f"v.deepstack_merger.{at}.{old}.{end}", f"v.deepstack.{layer}.{name}.{end}"
                )
    _merge(new, deep)


def _qwen35(new: Rewriting) -> None:
    new.fill("clip.vision.feed_forward_length", 4304)
    new.fill("clip.vision.image_size", 768)
    new.fill("clip.vision.attention.layer_norm_epsilon", 1e-6)
    _merge(new, ())


def _merge(new: Rewriting, deep: tuple[int, ...]) -> None:
    """Put the three questions of each block into one tensor, and take the two frames apart."""
    blocks = new.number("vision.block_count") or 0
    if blocks:
        mask = tuple(layer in deep for layer in range(blocks))
        new.fill("clip.vision.is_deepstack_layers", mask)
    for block in range(blocks):
        for end in ("weight", "bias"):
            parts = [f"v.blk.{block}.attn_{name}.{end}" for name in "qkv"]
            new.join(f"v.blk.{block}.attn_qkv.{end}", parts)
    new.frames(_PATCH, new.number("vision.num_channels") or 3, (_PATCH, f"{_PATCH}.1"))


_QWEN_NAMES = (
    ("v.pos_embed", "v.position_embd"),
    ("v.patch_embed", "v.patch_embd"),
    ("v.merger.norm", "v.post_ln"),
    ("v.merger.linear_fc1", "mm.0"),
    ("v.merger.linear_fc2", "mm.2"),
    (".mlp.linear_fc1", ".ffn_up"),
    (".mlp.linear_fc2", ".ffn_down"),
    (".norm1", ".ln1"),
    (".norm2", ".ln2"),
)
_TWO_PATCHES = (("v.patch_embd_0.", "v.patch_embd."), ("v.patch_embd_1.weight", f"{_PATCH}.1"))
_NORMS = ((".attn_output", ".attn_out"), (".attn_norm", ".ln1"), (".ffn_norm", ".ln2"))
_QWEN3 = "qwen3vl_merger"
_FAMILIES: Mapping[str, _Eyes] = MappingProxyType(
    {
        "gemma3": _Eyes(
            "gemma3",
            "gelu",
            _gemma3,
            (
                ("v.patch_embedding", "v.patch_embd"),
                ("v.position_embedding", "v.position_embd"),
                ("v.post_layernorm", "v.post_ln"),
                (".layer_norm1", ".ln1"),
                (".layer_norm2", ".ln2"),
                (".attn_output", ".attn_out"),
                # This family's converter of llama.cpp has the two the wrong way round, and so has
                # its loader.
                (".mlp.fc1", ".ffn_down"),
                (".mlp.fc2", ".ffn_up"),
                ("mm.mm_input_projection", "mm.input_projection"),
                ("mm.mm_soft_emb_norm", "mm.soft_emb_norm"),
            ),
            wide=(_PATCH, _PLACES),
        ),
        "gemma4": _Eyes("", "", _gemma4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        "glmocr": _Eyes("glm4v", "silu", _glmocr, _TWO_PATCHES, wide=(_PATCH, f"{_PATCH}.1")),
        "llama4": _Eyes(
            "llama4",
            "gelu",
            _llama4,
            (
                ("v.vision_adapter.mlp.fc1", "mm.model.mlp.1"),
                ("v.vision_adapter.mlp.fc2", "mm.model.mlp.2"),
                ("mm.linear_1", "mm.model.fc"),
                ("v.class_embedding", "v.class_embd"),
                ("v.layernorm_post", "v.post_ln"),
                ("v.layernorm_pre", "v.pre_ln"),
                ("v.patch_embedding", "v.patch_embd"),
                *_NORMS,
                (".mlp.fc1", ".ffn_up"),
                (".mlp.fc2", ".ffn_down"),
            ),
            wide=(),
        ),
        "mistral3": _Eyes(
            "pixtral",
            "silu",
            _mistral3,
            (
                ("v.patch_conv", "v.patch_embd"),
                ("v.encoder_norm", "v.pre_ln"),
                *_NORMS,
                ("mm.linear_1", "mm.1"),
                ("mm.linear_2", "mm.2"),
                ("mm.patch_merger.merging_layer", "mm.patch_merger"),
                ("mm.norm", "mm.input_norm"),
            ),
            mean=_CLIP_MEAN,
            std=_CLIP_STD,
        ),
        "qwen25vl": _Eyes(
            "qwen2.5vl_merger",
            "silu",
            _qwen25vl,
            (
                ("v.merger.ln_q", "v.post_ln"),
                ("v.merger.mlp.0", "mm.0"),
                ("v.merger.mlp.2", "mm.2"),
                *_TWO_PATCHES,
            ),
            mean=_CLIP_MEAN,
            std=_CLIP_STD,
            wide=(_PATCH, f"{_PATCH}.1"),
        ),
        "qwen35": _Eyes(_QWEN3, "gelu", _qwen35, _QWEN_NAMES, wide=(_PLACES,)),
        "qwen35moe": _Eyes(_QWEN3, "gelu", _qwen35, _QWEN_NAMES, wide=(_PLACES,)),
        "qwen3vl": _Eyes(_QWEN3, "gelu", _qwen3vl, _QWEN_NAMES, wide=(_PLACES,)),
        "qwen3vlmoe": _Eyes(_QWEN3, "gelu", _qwen3vl, _QWEN_NAMES, wide=(_PLACES,)),
    }
)
FAMILIES = frozenset(_FAMILIES)


def write_eyes(new: Rewriting, form: str) -> None:
    """Turn a file of a form into the projector that llama.cpp loads beside the model."""
    family = _FAMILIES[form]
    for name in _COMMON:
        new.copy(new.own(f"vision.{name}"), f"clip.vision.{name}")
    new.copy(new.own("embedding_length"), "clip.vision.projection_dim")
    new.keep("v.", "mm.")
    for old, name in family.names:
        new.swap(old, name)
    family.finish(new)
    new.fill("clip.vision.image_mean", family.mean)
    new.fill("clip.vision.image_std", family.std)
    new.fill("clip.has_vision_encoder", value=True)
    if family.act:
        new.fill(f"clip.use_{family.act}", value=True)
    if family.kind:
        new.set("clip.projector_type", family.kind)
    new.set(ARCHITECTURE, "clip")
    for name in family.wide:
        new.widen(name)
    new.keep_entries("general.", "clip.")

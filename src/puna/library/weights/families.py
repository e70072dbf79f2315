"""Families of models that are converted: what their configuration means, and their tensors' names.

Only those are here whose GGUF form is exact: the same numbers under llama.cpp's names. A setting
that llama.cpp's graph of the family does not have is refused, never left out in silence.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from puna.library.weights.made import CannotConvert
from puna.library.weights.repository import BadRepository, Object
from puna.models.gguf_window import Scalar, ValueKind
from puna.models.strict_json import JsonValue
from puna.text import one_line

_MAX_WHOLE = 2**31 - 1
_MAX_LAYERS = 2048
_MAX_TOKENS = 1 << 21


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of model, by llama.cpp's name."""

    name: str
    turns_rows: bool = False
    """Whether rows of queries and keys are kept in pairs for the turn by position (RoPE)."""
    norms_heads: bool = False
    """Whether each head of queries and keys has a norm."""
    has_biases: bool = False
    """Whether queries, keys and values always have biases."""
    is_gemma: bool = False
    """Whether parts are normed before they are added, norms are stored less one, and most layers
    look back a little way only."""


_LLAMA = Family("llama", turns_rows=True)
_GEMMA_3 = Family("gemma3", norms_heads=True, is_gemma=True)
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "LlamaForCausalLM": _LLAMA,
        "MistralForCausalLM": _LLAMA,
        "Qwen2ForCausalLM": Family("qwen2", has_biases=True),
        "Qwen3ForCausalLM": Family("qwen3", norms_heads=True),
        "Gemma3ForCausalLM": _GEMMA_3,
    }
)
FAMILY_BY_NAME: Mapping[str, Family] = MappingProxyType(
    {family.name: family for family in FAMILIES.values()}
)


def family_of(config: Object) -> Family:
    """Return the family of a model. Raises `CannotConvert`."""
    listed = config.get("architectures")
    name = listed[0] if isinstance(listed, list) and listed else None
    if isinstance(name, str) and name in FAMILIES:
        return FAMILIES[name]
    what = f"models of the kind {one_line(name, 60)}" if isinstance(name, str) else "this model"
    raise CannotConvert(
        f"{what} cannot be converted; those that can are {', '.join(FAMILIES)}",
        hint="take a GGUF of it (`puna search WORD` finds some), or make one with llama.cpp's"
        " convert_hf_to_gguf.py and name that file in FROM",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The numbers that a model of these families is made by."""

    family: Family
    layers: int
    width: int
    inner: int
    heads: int
    key_heads: int
    head: int
    vocabulary: int
    is_tied: bool


def shape_of(config: Object, family: Family) -> Shape:
    """Return the numbers of a model. Raises `BadRepository`, `CannotConvert`."""
    _refuse_unknown(config, family)
    width, heads = _whole(config, "hidden_size"), _whole(config, "num_attention_heads")
    if family.is_gemma:
        head = _whole(config, "head_dim", default=256)
    elif config.get("head_dim") is None:
        if width % heads:
            raise BadRepository(f"config.json: {heads} heads do not share {width} numbers")
        head = width // heads
    else:
        head = _whole(config, "head_dim")
    layers = _whole(config, "num_hidden_layers")
    if family.is_gemma:
        _check_gemma(config, layers, width // heads if layers == _LARGEST_GEMMA else head)
    key_heads = _whole(config, "num_key_value_heads", default=heads)
    vocabulary = _whole(config, "vocab_size")
    if vocabulary > _MAX_TOKENS:
        raise BadRepository(f"config.json: {vocabulary} tokens are more than any model has")
    if layers > _MAX_LAYERS or head % 2 or heads % key_heads:
        raise BadRepository(f"config.json: {layers} layers of {heads} heads cannot be")
    return Shape(
        family=family,
        layers=layers,
        width=width,
        inner=_whole(config, "intermediate_size"),
        heads=heads,
        key_heads=key_heads,
        head=head,
        vocabulary=vocabulary,
        is_tied=config.get("tie_word_embeddings", family.is_gemma) is True,
    )


def _refuse_unknown(config: Object, family: Family) -> None:
    if quantized := config.get("quantization_config"):
        method = quantized.get("quant_method") if isinstance(quantized, dict) else quantized
        raise CannotConvert(
            f"the weights are quantized already, by {one_line(str(method), 40)}",
            hint="take the model that it was made of, and quantize it with `puna create -q`",
        )
    wanted = "gelu_pytorch_tanh" if family.is_gemma else "silu"
    act = config.get("hidden_activation" if family.is_gemma else "hidden_act", wanted)
    if act != wanted:
        raise CannotConvert(f"config.json has hidden_act {one_line(str(act), 40)}, not {wanted}")
    if config.get("partial_rotary_factor", 1) not in {None, 1}:
        raise CannotConvert("config.json turns only a part of each head (partial_rotary_factor)")


_LARGEST_GEMMA = 62
_PATTERN = 6
_NEAR_BASE = 10_000.0


def _check_gemma(config: Object, layers: int, scale: int) -> None:
    """Make sure of what llama.cpp has written into its graph of Gemma 3."""
    full = ["full_attention" if n % _PATTERN == _PATTERN - 1 else "" for n in range(layers)]
    listed = config.get("layer_types")
    is_usual = config.get("sliding_window_pattern", _PATTERN) == _PATTERN
    if isinstance(listed, list):
        is_usual = [each if each == "full_attention" else "" for each in listed] == full
    near = config.get("rope_local_base_freq", _NEAR_BASE)
    both = config.get("rope_parameters")
    part = both.get("sliding_attention") if isinstance(both, dict) else None
    near = part.get("rope_theta", near) if isinstance(part, dict) else near
    for is_known, what in (
        (is_usual, "layers that look far in another pattern than every sixth"),
        (near == _NEAR_BASE, f"the near base {one_line(str(near), 40)}, not 10000"),
        (config.get("query_pre_attn_scalar", scale) == scale, "an unusual query_pre_attn_scalar"),
        (not config.get("attn_logit_softcapping"), "attn_logit_softcapping"),
        (not config.get("use_bidirectional_attention"), "use_bidirectional_attention"),
    ):
        if not is_known:
            raise CannotConvert(f"config.json has {what}, which llama.cpp's Gemma 3 has not")


def warnings_of(config: Object) -> Iterator[str]:
    """Yield what llama.cpp does in another way than the model's makers."""
    if family_of(config).is_gemma:
        return
    window, context = config.get("sliding_window"), config.get("max_position_embeddings")
    is_used = config.get("use_sliding_window", True) is not False
    if isinstance(window, int) and isinstance(context, int) and is_used and window < context:
        yield (
            f"the model was trained to look back {window} tokens (sliding_window); "
            "llama.cpp lets it see all of its context"
        )


def metadata_of(config: Object, shape: Shape) -> Iterator[tuple[str, ValueKind, Scalar]]:
    """Yield what the file says of the model's making. Raises as `shape_of` does."""
    own = shape.family.name
    whole = {
        "block_count": shape.layers,
        "context_length": _whole(config, "max_position_embeddings"),
        "embedding_length": shape.width,
        "feed_forward_length": shape.inner,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.key_heads,
    }
    if own == "gemma3":
        whole |= {"attention.sliding_window": _whole(config, "sliding_window")}
    if config.get("head_dim") is not None or shape.family.is_gemma:
        whole |= {"attention.key_length": shape.head, "attention.value_length": shape.head}
    if own == "llama":
        whole |= {"vocab_size": shape.vocabulary, "rope.dimension_count": shape.head}
    yield from ((f"{own}.{name}", ValueKind.UINT32, value) for name, value in whole.items())
    epsilon = _number(config, "rms_norm_eps", 1e-6)
    yield f"{own}.attention.layer_norm_rms_epsilon", ValueKind.FLOAT32, epsilon
    if config.get("final_logit_softcapping"):
        yield (
            f"{own}.final_logit_softcapping",
            ValueKind.FLOAT32,
            _number(config, "final_logit_softcapping"),
        )
    for name, kind, value in _turning(rope_of(config)):
        yield f"{own}.rope.{name}", kind, value


def rope_of(config: Object) -> Object:
    """Return how heads are turned by position, in the newer and the older spelling."""
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(found, dict):
        raise BadRepository("config.json has a rope_scaling that is no object")
    far = found.get("full_attention")
    found = far if isinstance(far, dict) else found
    theta = found.get("rope_theta", config.get("rope_theta"))
    kind = found.get("rope_type", found.get("type"))
    if theta is None and family_of(config).is_gemma:
        theta = 1_000_000.0  # which its makers leave out of the file
    return {**found, "rope_theta": theta, "rope_type": kind}


def _turning(rope: Object) -> Iterator[tuple[str, ValueKind, Scalar]]:
    kind = rope["rope_type"]
    if rope["rope_theta"] is not None:
        yield "freq_base", ValueKind.FLOAT32, _number(rope, "rope_theta", 10_000.0)
    if kind in {None, "default", "llama3"}:
        return  # the last has its factors in a tensor: see `factors_of`
    if kind not in {"linear", "yarn"}:
        raise CannotConvert(f"config.json has the rope_type {one_line(str(kind), 40)}")
    yield "scaling.type", ValueKind.STRING, str(kind)
    yield "scaling.factor", ValueKind.FLOAT32, _number(rope, "factor")
    if kind == "linear":
        return
    trained = _whole(rope, "original_max_position_embeddings")
    yield "scaling.original_context_length", ValueKind.UINT32, trained
    for name, keys in _YARN.items():
        given = next((key for key in keys if rope.get(key) is not None), None)
        if given is not None:
            yield f"scaling.{name}", ValueKind.FLOAT32, _number(rope, given)


_YARN: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "yarn_ext_factor": ("extrapolation_factor",),
        "yarn_attn_factor": ("attention_factor", "attn_factor"),
        "yarn_beta_fast": ("beta_fast",),
        "yarn_beta_slow": ("beta_slow",),
    }
)


def factors_of(config: Object, shape: Shape) -> tuple[float, ...]:
    """Return how much slower each pair of a head turns, for Llama 3.1 and later; else nothing."""
    rope = rope_of(config)
    if rope["rope_type"] != "llama3":
        return ()
    base = _number(rope, "rope_theta", 10_000.0)
    factor, low = _number(rope, "factor", 8.0), _number(rope, "low_freq_factor", 1.0)
    high = _number(rope, "high_freq_factor", 4.0)
    trained = _whole(rope, "original_max_position_embeddings", default=8192)
    if not 0 < low < high or base <= 1 or factor <= 0:
        raise BadRepository("config.json has impossible factors in its rope_scaling")
    found = []
    for place in range(0, shape.head, 2):
        length = 2 * math.pi * base ** (place / shape.head)
        smooth = (trained / length - low) / (high - low)
        slow = 1 / ((1 - smooth) / factor + smooth) if 0 <= smooth <= 1 else factor
        found.append(1.0 if length < trained / high else slow)
    return tuple(found)


_OUTSIDE: Mapping[str, str] = MappingProxyType(
    {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
)
_INSIDE: Mapping[str, str] = MappingProxyType(
    {
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
)
_INSIDE_GEMMA: Mapping[str, str] = MappingProxyType(
    {
        **_INSIDE,
        "post_attention_layernorm": "post_attention_norm",
        "pre_feedforward_layernorm": "ffn_norm",
        "post_feedforward_layernorm": "post_ffw_norm",
    }
)
_LAYER = re.compile(r"model\.layers\.(0|[1-9]\d{0,3})\.(.+)\.(weight|bias)")
LEFT_OUT = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")
"""Tensors that can be computed, and that older files hold all the same."""


def gguf_name(name: str, family: Family) -> str | None:
    """Return llama.cpp's name for a tensor of a family; nothing for one of another."""
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    found = _LAYER.fullmatch(name)
    inside = _INSIDE_GEMMA if family.is_gemma else _INSIDE
    part = inside.get(found[2]) if found else None
    return f"blk.{found[1]}.{part}.{found[3]}" if found and part else None


def wanted_shapes(shape: Shape) -> Mapping[str, tuple[int, ...]]:
    """Return the weights that a model of this shape has, by llama.cpp's names, rows first."""
    asked, kept = shape.heads * shape.head, shape.key_heads * shape.head
    layer: dict[str, tuple[int, ...]] = {
        "attn_norm": (shape.width,),
        "attn_q": (asked, shape.width),
        "attn_k": (kept, shape.width),
        "attn_v": (kept, shape.width),
        "attn_output": (shape.width, asked),
        "ffn_norm": (shape.width,),
        "ffn_gate": (shape.inner, shape.width),
        "ffn_up": (shape.inner, shape.width),
        "ffn_down": (shape.width, shape.inner),
    }
    if shape.family.is_gemma:
        layer |= {"post_attention_norm": (shape.width,), "post_ffw_norm": (shape.width,)}
    if shape.family.norms_heads:
        layer |= {"attn_q_norm": (shape.head,), "attn_k_norm": (shape.head,)}
    names = {f"{part}.weight": lengths for part, lengths in layer.items()}
    if shape.family.has_biases:
        names |= {"attn_q.bias": (asked,), "attn_k.bias": (kept,), "attn_v.bias": (kept,)}
    return {
        "token_embd.weight": (shape.vocabulary, shape.width),
        "output_norm.weight": (shape.width,),
        **{f"blk.{n}.{name}": each for n in range(shape.layers) for name, each in names.items()},
    }


def allowed_shapes(shape: Shape) -> Mapping[str, tuple[int, ...]]:
    """Return what a model of this shape may have beside what it must."""
    output = {"output.weight": (shape.vocabulary, shape.width)}
    if shape.family is not _LLAMA:
        return output
    return output | {
        f"{name.removesuffix('.weight')}.bias": lengths[:1]
        for name, lengths in wanted_shapes(shape).items()
        if name.startswith("blk.") and not name.endswith("_norm.weight")
    }


def _whole(config: Object, name: str, *, default: int | None = None) -> int:
    found: JsonValue = config.get(name)
    found = default if found is None else found
    if isinstance(found, int) and not isinstance(found, bool) and 0 < found <= _MAX_WHOLE:
        return found
    raise BadRepository(f"config.json has no usable {name}: {one_line(str(found), 40)}")


def _number(config: Object, name: str, default: float | None = None) -> float:
    found: JsonValue = config.get(name)
    found = default if found is None else found
    if isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < 1e30:  # noqa: PLR2004 - fits 32 bits
        return float(found)
    raise BadRepository(f"config.json has no usable {name}: {one_line(str(found), 40)}")

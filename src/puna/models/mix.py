"""Which format each tensor gets when a model is quantized: the mixes of llama.cpp.

`Q4_K_M` is no format but a recipe: most tensors in Q4_K, those that suffer most in more bits. The
rules, their order and their odd corners are those of llama.cpp's `llama-quant.cpp`, so that a file
has the formats that `llama-quantize` would have chosen; the exceptions for single families are the
ones that Ollama passes to it.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from puna.errors import Invalid
from puna.models.gguf import GgufHeader, TensorRecord
from puna.models.tensor_types import FILE_TYPES, TENSOR_TYPES, TensorType
from puna.text import one_line

_TYPE_BY_NAME = {kind.name: kind for kind in TENSOR_TYPES.values()}
_NUMBER_BY_LEVEL = {name: number for number, name in FILE_TYPES.items()}
PLAIN = ("F16", "BF16", "F32")
"""What a model may be in before it is quantized: numbers that have lost nothing yet."""
_LEVELS = (
    *("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0"),
    *("Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K"),
)
_SHORT: Mapping[str, str] = {"Q5_K": "Q5_K_M", "Q4_K": "Q4_K_M", "Q3_K": "Q3_K_M"}


class UnknownLevel(Invalid):
    """There is no such level to quantize to."""

    code = "unknown_level"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"unsupported quantization type {one_line(text, 40).upper()} - "
            f"supported types are {', '.join(_LEVELS)}"
        )


class AlreadyQuantized(Invalid):
    """The model has lost precision already; to quantize it again would lose more."""

    code = "already_quantized"

    def __init__(self, found: str) -> None:
        super().__init__(
            "quantization is only supported for F16, BF16 and F32 models",
            hint=f"this one is {found}: start from the model as it was trained",
        )


@dataclass(frozen=True, slots=True)
class Level:
    """A level of quantization: its name, and the format that most tensors get."""

    name: str
    type: TensorType

    @classmethod
    def parse(cls, text: str) -> "Level":
        """Read a level, in any case; `Q4_K` is `Q4_K_M`. Raises `UnknownLevel`."""
        name = _SHORT.get(text.upper(), text.upper())
        if name not in _LEVELS:
            raise UnknownLevel(text)
        short = re.sub(r"_[SML]$", "", name)
        return cls(name, _TYPE_BY_NAME[short])

    @property
    def number(self) -> int:
        """What `general.file_type` says of a file of this level."""
        return _NUMBER_BY_LEVEL[self.name]


class Part(StrEnum):
    """What a tensor does in the model, as far as its format depends on it."""

    EMBEDDING = "token_embd"
    Q = "attn_q"
    V = "attn_v"
    K = "attn_k"
    QKV = "attn_qkv"
    KV_B = "attn_kv_b"
    ATTENTION_OUTPUT = "attn_output"
    UP = "ffn_up"
    GATE = "ffn_gate"
    DOWN = "ffn_down"
    OUTPUT = "output"
    OTHER = "other"


_WHOLE_NAMES: Mapping[str, Part] = {
    "output.weight": Part.OUTPUT,
    "token_embd.weight": Part.EMBEDDING,
    "per_layer_token_embd.weight": Part.EMBEDDING,
}
_PARTS_OF_NAMES: tuple[tuple[str, Part], ...] = (
    ("attn_qkv.weight", Part.QKV),
    ("attn_kv_b.weight", Part.KV_B),
    ("attn_v.weight", Part.V),
    ("attn_k.weight", Part.K),
    ("attn_q.weight", Part.Q),
    ("attn_output.weight", Part.ATTENTION_OUTPUT),
    ("ffn_up", Part.UP),
    ("ffn_gate", Part.GATE),
    ("ffn_down", Part.DOWN),
)
_LIKE_V = frozenset({Part.V, Part.QKV, Part.KV_B})
_COUNTED = frozenset({Part.DOWN, Part.GATE, Part.UP})
_SENSITIVE = (
    *("_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel"),
    *("per_layer_model_proj", "ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight"),
    *("indexer.q_proj.weight", "time_mix_first.weight", "time_mix_w0.weight"),
    *("time_mix_w1.weight", "time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight"),
    *("time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight"),
    *("time_mix_g1.weight", "time_mix_g2.weight", "time_mix_decay_w1.weight"),
    *("time_mix_decay_w2.weight", "time_mix_lerp_fused.weight", "attn_rel_b.weight"),
    *(".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd"),
    *(".patch_merger", "a.rvq.codebook", "mm.a.code_embd"),
)
"""Parts of names of tensors that are small, or that suffer too much, and stay as they are."""
_KEPT_WHOLE = frozenset({"position_embd.weight", "token_types.weight"})
_OTHER_MODELS = ("a.", "mm.", "mtp.", "s.", "v.")
"""Beginnings of names in the image and audio parts that old blobs hold beside the text model."""


@dataclass(frozen=True, slots=True)
class _Model:
    """What the choice depends on beside names and rows."""

    family: str
    layers: int
    experts: int
    sharing: int
    """How many heads of queries share one of keys."""
    is_70b: bool
    is_tied: bool
    """Whether the output uses the tokens' embedding."""
    like_v: int
    """How many tensors are like attn_v."""


def may_quantize(tensor: TensorRecord) -> bool:
    """Tell whether a tensor may be stored with fewer bits."""
    name = tensor.name
    is_matrix = any(length > 1 for length in tensor.shape[1:])
    if not is_matrix or not name.endswith("weight") or name in _KEPT_WHOLE:
        return False
    return not name.startswith(_OTHER_MODELS) and not any(part in name for part in _SENSITIVE)


def choose_types(header: GgufHeader, level: Level) -> tuple[TensorType, ...]:
    """Return the format of each tensor of the file at this level, in the file's order.

    Raises `AlreadyQuantized` if a tensor that would change is in no plain format.
    """
    model = _model(header)
    chosen: dict[str, TensorType] = {}
    seen: Counter[Part] = Counter()
    for tensor in sorted(header.tensors, key=_turn):
        chosen[tensor.name] = _type_of(tensor, level, model, seen)
        is_changed = chosen[tensor.name] != tensor.type
        if is_changed and tensor.type.name not in PLAIN:
            raise AlreadyQuantized(f"partly {tensor.type}")
    return tuple(chosen[tensor.name] for tensor in header.tensors)


def _model(header: GgufHeader) -> _Model:
    family = header.architecture
    layers = header.integer(header.own_key("block_count")) or 0
    heads = _first(header, "attention.head_count")
    shared = _first(header, "attention.head_count_kv") or heads
    names = [tensor.name for tensor in header.tensors]
    return _Model(
        family=family,
        layers=layers,
        experts=max(1, header.integer(header.own_key("expert_count")) or 0),
        sharing=heads // shared if shared else 0,
        is_70b=(family, layers) in {("qwen2", 80), ("deci", 80), ("jais2", 68)}
        or ((family, layers) == ("llama", 80) and heads != shared),
        is_tied="output.weight" not in names,
        like_v=sum(_part(name) in _LIKE_V for name in names),
    )


def _first(header: GgufHeader, name: str) -> int:
    """Return a number that a file has once or for each layer."""
    key = header.own_key(name)
    several = header.array(key)
    found = several[0] if several else header.integer(key)
    return found if isinstance(found, int) else 0


def _turn(tensor: TensorRecord) -> tuple[int, str]:
    """Return what llama.cpp sorts tensors by before it counts them: the layer, then the name."""
    return _layer(tensor.name), tensor.name


def _layer(name: str) -> int:
    found = re.match(r"blk\.(\d+)\.", name)
    return int(found[1]) if found else -1


def _part(name: str) -> Part:
    if name in _WHOLE_NAMES:
        return _WHOLE_NAMES[name]
    return next((part for piece, part in _PARTS_OF_NAMES if piece in name), Part.OTHER)


def _type_of(tensor: TensorRecord, level: Level, model: _Model, seen: Counter[Part]) -> TensorType:
    if not may_quantize(tensor):
        return tensor.type
    if level.type.block == 1:
        return level.type
    exception = _exception(tensor.name, level, model)
    wanted = exception or _TYPE_BY_NAME[_wanted(tensor, level, model, seen)]
    return _fitting(wanted, tensor.shape[0])


_EXCEPTIONS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "qwen35": ((r"^blk\.[0-9]+\.nextn\.eh_proj\.weight$", "Q8_0"),),
        "qwen35moe": ((r"^blk\.[0-9]+\.nextn\.eh_proj\.weight$", "Q8_0"),),
        "gemma3n": ((r"^per_layer_token_embd\.weight$", "F16"),),
        "deepseek2": ((r"attn_(k_b|q_a|q_b|v_b|kv_a_mqa)\.weight$", "Q8_0"),),
        "glmocr": ((r"^(token_embd|output)\.weight$", "F16"),),
        "glm4": ((r"^(token_embd|output)\.weight$", "F16"),),
    }
)
"""Tensors of single families that Ollama keeps in more bits at the levels around four bits."""


def _exception(name: str, level: Level, model: _Model) -> TensorType | None:
    if level.name in {"Q4_K_S", "Q4_K_M"}:
        for pattern, wanted in _EXCEPTIONS.get(model.family, ()):
            if re.search(pattern, name):
                return _TYPE_BY_NAME[wanted]
    return None


_SMALLER_BLOCKS: Mapping[str, str] = {
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}


def _fitting(wanted: TensorType, row: int) -> TensorType:
    """Return a format whose blocks fill the tensor's rows, with no fewer bits."""
    for name in (wanted.name, _SMALLER_BLOCKS.get(wanted.name, "F16")):
        if row % _TYPE_BY_NAME[name].block == 0:
            return _TYPE_BY_NAME[name]
    return _TYPE_BY_NAME["F16"]


def _wanted(tensor: TensorRecord, level: Level, model: _Model, seen: Counter[Part]) -> str:
    """Return the name of the format that llama.cpp's mix gives the tensor, whatever its rows."""
    part, default = _part(tensor.name), level.type.name
    if part is Part.OUTPUT or (part is Part.EMBEDDING and model.is_tied):
        is_odd = tensor.shape[0] % level.type.block != 0
        return "Q8_0" if is_odd or model.family == "falcon" or default == "Q8_0" else "Q6_K"
    if part in _LIKE_V:
        place = sum(seen[each] for each in _LIKE_V)
        seen[part] += 1
        return _like_v(level.name, place, model) or default
    if part is Part.K:
        return "Q8_0" if model.experts == _EIGHT else default
    if part is Part.DOWN:
        place = _layer(tensor.name) if model.experts > 1 else seen[part]
        seen[part] += 1
        return _down(level.name, place, model) or default
    if part is Part.ATTENTION_OUTPUT:
        return _attention_output(level.name, model) or default
    return default


_EIGHT = 8
_FOUR = 4


def _like_v(level: str, place: int, model: _Model) -> str:
    """Return the format of a tensor like attn_v: small beside what it does, so with more bits."""
    wanted = {
        "Q2_K": "Q4_K" if model.sharing >= _FOUR else "Q3_K",
        "Q3_K_M": "Q5_K" if place < 2 else "Q4_K",  # noqa: PLR2004 - the first two
        "Q3_K_L": "Q5_K",
        "Q4_K_M": "Q6_K" if _needs_more(place, model.like_v) else "Q4_K",
        "Q5_K_M": "Q6_K" if _needs_more(place, model.like_v) else "Q5_K",
        "Q4_K_S": "Q5_K" if place < _FOUR else "Q4_K",
        "Q3_K_S": "Q3_K",
    }.get(level, "")
    if model.is_70b and wanted in {"Q3_K", "Q4_K"}:
        wanted = "Q5_K"
    return "Q8_0" if model.experts == _EIGHT else wanted


def _needs_more(place: int, count: int) -> bool:
    """Tell whether a layer is of those at both ends, or every third between."""
    eighth = count // 8
    return place < eighth or place >= 7 * count // 8 or (place - eighth) % 3 == 2  # noqa: PLR2004 - the third


def _down(level: str, place: int, model: _Model) -> str:
    is_falcon, layers = model.family == "falcon", model.layers
    is_early = place < layers // 16
    needs_more = _needs_more(place, layers)
    if is_falcon and level == "Q4_K_M":
        return "Q6_K" if is_early else "Q5_K" if needs_more else "Q4_K"
    if is_falcon and level == "Q3_K_M":
        return "Q5_K" if is_early else "Q4_K" if needs_more else "Q3_K"
    return {
        "Q2_K": "Q3_K",
        "Q3_K_M": "Q5_K" if is_early else "Q4_K",
        "Q3_K_L": "Q4_K" if is_falcon else "Q5_K",
        "Q4_K_M": "Q6_K" if needs_more else "Q4_K",
        "Q5_K_M": "Q6_K" if needs_more else "Q5_K",
        "Q4_K_S": "Q5_K" if place < layers // 8 and not is_falcon else "Q4_K",
    }.get(level, "")


def _attention_output(level: str, model: _Model) -> str:
    if model.family == "falcon":
        return "Q4_K" if level == "Q3_K_L" else ""
    if model.experts == _EIGHT:
        return "Q5_K" if level in {"Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M"} else ""
    return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(level, "")


def count_fallbacks(
    tensors: Sequence[TensorRecord], chosen: Sequence[TensorType], level: Level
) -> int:
    """Return how many tensors have rows that the level's own blocks do not fill."""
    return sum(
        level.type.block > 1 and tensor.type != kind and bool(tensor.shape[0] % level.type.block)
        for tensor, kind in zip(tensors, chosen, strict=True)
    )

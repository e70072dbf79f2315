"""Which models the float path computes, decided by what their file says, key by key.

A forward pass that is nearly right gives answers that look right. So nothing is assumed: every key
of the architecture and every tensor must be one whose meaning here is the same as in llama.cpp, or
the file is refused with the name of what is not known.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from puna.models.gguf import GgufHeader, TensorRecord

_KINDS: Mapping[str, bool] = {"llama": False, "qwen2": True, "qwen3": True}
"""The architectures, and whether the halves of a head turn together (else neighbours do)."""
_KNOWN_KEYS = frozenset(
    {
        "block_count",
        "context_length",
        "embedding_length",
        "feed_forward_length",
        "vocab_size",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.value_length",
        "attention.layer_norm_rms_epsilon",
        "rope.dimension_count",
        "rope.freq_base",
    }
)
_NO_SCALING = "rope.scaling.type"
_FREQUENCY = 10_000.0
_WEIGHTS = (
    *("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output"),
    *("ffn_norm", "ffn_gate", "ffn_up", "ffn_down"),
)
_BIASES = ("attn_q", "attn_k", "attn_v")
_HEAD_NORMS = ("attn_q_norm", "attn_k_norm")


class NotFloat(Exception):
    """The float path does not take this model; the text says why."""


@dataclass(frozen=True, slots=True)
class FloatShape:
    """The widths of a model, and the few things in which the architectures differ."""

    layers: int
    width: int
    inner: int
    heads: int
    groups: int
    """Heads of keys and values; several heads of queries share one."""
    head: int
    """Numbers of one head."""
    epsilon: float
    frequency: float
    turns_halves: bool
    has_bias: bool
    has_head_norms: bool
    vocabulary: int

    @property
    def projected(self) -> int:
        """Numbers of queries, keys and values of one token."""
        return (self.heads + 2 * self.groups) * self.head

    @property
    def layer_numbers(self) -> int:
        """Weights of one layer, as the float path keeps them."""
        products = self.projected + self.heads * self.head + 3 * self.inner
        return self.width * products + 2 * self.projected

    @property
    def token_flops(self) -> int:
        """Floating point operations of one token, without attention and the output matrix."""
        products = self.projected + self.heads * self.head + 3 * self.inner
        return 2 * self.layers * self.width * products

    def attention_flops(self, seen: int) -> int:
        """Floating point operations for one token to look at `seen` others."""
        return 4 * self.layers * self.heads * self.head * seen


def read_shape(header: GgufHeader) -> FloatShape:
    """Return the shape of a model that the float path computes. Raises `NotFloat`."""
    kind = header.architecture
    if kind not in _KINDS:
        raise NotFloat(f"its architecture is {kind or 'not said'}, not {', '.join(_KINDS)}")
    _check_keys(header)
    tensors = {each.name: each for each in header.tensors}
    heads = _count(header, "attention.head_count")
    width = _count(header, "embedding_length")
    head = header.integer(header.own_key("attention.key_length")) or width // heads
    shape = FloatShape(
        layers=_count(header, "block_count"),
        width=width,
        inner=_count(header, "feed_forward_length"),
        heads=heads,
        groups=header.integer(header.own_key("attention.head_count_kv")) or heads,
        head=head,
        epsilon=_epsilon(header),
        frequency=header.number(header.own_key("rope.freq_base")) or _FREQUENCY,
        turns_halves=_KINDS[kind],
        has_bias="blk.0.attn_q.bias" in tensors,
        has_head_norms="blk.0.attn_q_norm.weight" in tensors,
        vocabulary=tensors["token_embd.weight"].shape[-1] if "token_embd.weight" in tensors else 0,
    )
    _check_heads(header, shape)
    _check_tensors(tensors, shape)
    return shape


def _check_keys(header: GgufHeader) -> None:
    own = header.own_key("")
    for key, value in header.metadata.items():
        name = key.removeprefix(own)
        if key.startswith("split.") and value != 1:
            raise NotFloat("its weights are spread over several files")
        if not key.startswith(own) or name in _KNOWN_KEYS:
            continue
        if not (name == _NO_SCALING and value == "none"):
            raise NotFloat(f"it has the setting {key}, which the float path does not know")


def _count(header: GgufHeader, name: str) -> int:
    value = header.integer(header.own_key(name))
    if value is None or value < 1:
        raise NotFloat(f"it does not say one number for {header.own_key(name)}")
    return value


def _epsilon(header: GgufHeader) -> float:
    key = header.own_key("attention.layer_norm_rms_epsilon")
    value = header.number(key)
    if value is None:
        raise NotFloat(f"it does not say {key}")
    return float(value)


def _check_heads(header: GgufHeader, shape: FloatShape) -> None:
    for name in ("attention.value_length", "rope.dimension_count"):
        if (header.integer(header.own_key(name)) or shape.head) != shape.head:
            raise NotFloat(f"its {name} is another than the width of a head, {shape.head}")
    if shape.heads % shape.groups or shape.head % 2:
        raise NotFloat("its heads do not divide into groups")


def _check_tensors(tensors: Mapping[str, TensorRecord], shape: FloatShape) -> None:
    wanted = dict(_tensor_shapes(shape))
    optional = {"output.weight": (shape.width, shape.vocabulary)}
    for name, each in wanted.items():
        if name not in tensors:
            raise NotFloat(f"it has no tensor {name}")
        if tensors[name].shape != each:
            raise NotFloat(f"its tensor {name} has the shape {tensors[name].shape}, not {each}")
    for name, record in tensors.items():
        if record.shape != wanted.get(name, optional.get(name)):
            raise NotFloat(f"it has the tensor {name}, which the float path does not know")


def _tensor_shapes(shape: FloatShape) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, inner = shape.width, shape.inner
    asked, kept = shape.heads * shape.head, shape.groups * shape.head
    outputs = (width, asked, kept, kept, width, width, inner, inner, width)
    inputs = (0, width, width, width, asked, 0, width, width, inner)
    yield "token_embd.weight", (width, shape.vocabulary)
    yield "output_norm.weight", (width,)
    for layer in range(shape.layers):
        for name, into, out in zip(_WEIGHTS, inputs, outputs, strict=True):
            yield f"blk.{layer}.{name}.weight", (into, out) if into else (out,)
        if shape.has_bias:
            for name, out in zip(_BIASES, (asked, kept, kept), strict=True):
                yield f"blk.{layer}.{name}.bias", (out,)
        if shape.has_head_norms:
            for name in _HEAD_NORMS:
                yield f"blk.{layer}.{name}.weight", (shape.head,)

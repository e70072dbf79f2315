"""Whole models of a few thousand weights, and the plainest way to compute them: in 64-bit floats.

The plain way takes one row of tokens at a time, straight from what the file says, with loops where
the real code has layouts; so where both agree, the layouts are right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import gguf

Numbers = NDArray[np.float64]
VOCABULARY = 256


@dataclass(frozen=True)
class Tiny:
    """What a tiny model is like."""

    kind: str = "llama"
    width: int = 64
    inner: int = 96
    heads: int = 4
    groups: int = 2
    head: int = 16
    layers: int = 2
    has_output: bool = False
    loudness: float = 1.0
    """By how much queries are louder than they would be: scores grow with it."""

    @property
    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        """Every tensor by its shape, outputs first."""
        asked, kept = self.heads * self.head, self.groups * self.head
        shapes: dict[str, tuple[int, ...]] = {
            "token_embd.weight": (VOCABULARY, self.width),
            "output_norm.weight": (self.width,),
        }
        if self.has_output:
            shapes["output.weight"] = (VOCABULARY, self.width)
        for layer in range(self.layers):
            own: dict[str, tuple[int, ...]] = {
                "attn_norm.weight": (self.width,),
                "attn_q.weight": (asked, self.width),
                "attn_k.weight": (kept, self.width),
                "attn_v.weight": (kept, self.width),
                "attn_output.weight": (self.width, asked),
                "ffn_norm.weight": (self.width,),
                "ffn_gate.weight": (self.inner, self.width),
                "ffn_up.weight": (self.inner, self.width),
                "ffn_down.weight": (self.width, self.inner),
            }
            if self.kind == "qwen2":
                own |= {"attn_q.bias": (asked,), "attn_k.bias": (kept,), "attn_v.bias": (kept,)}
            if self.kind == "qwen3":
                own |= {"attn_q_norm.weight": (self.head,), "attn_k_norm.weight": (self.head,)}
            shapes |= {f"blk.{layer}.{name}": shape for name, shape in own.items()}
        return shapes


def write_tiny(path: Path, tiny: Tiny, **extra: object) -> Path:
    """Write a tiny model as GGUF, its tokens the bytes. Chance is always the same."""
    writer = gguf.GGUFWriter(path, tiny.kind)
    writer.add_block_count(tiny.layers)
    writer.add_context_length(512)
    writer.add_embedding_length(tiny.width)
    writer.add_feed_forward_length(tiny.inner)
    writer.add_head_count(tiny.heads)
    writer.add_head_count_kv(tiny.groups)
    writer.add_key_length(tiny.head)
    writer.add_value_length(tiny.head)
    writer.add_rope_dimension_count(tiny.head)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    for name, value in extra.items():
        writer.add_string(f"{tiny.kind}.{name.replace('__', '.')}", str(value))
    add_tokens(writer)
    chance = np.random.default_rng(7)
    for name, shape in tiny.tensors.items():
        size = 1.0 if "embd" in name else 1.4 / np.sqrt(shape[-1])
        numbers = chance.normal(0, size, shape)
        if "norm" in name:
            numbers = 1 + 0.2 * chance.normal(0, 1, shape)
        if "attn_q.weight" in name:
            numbers *= tiny.loudness
        writer.add_tensor(name, numbers.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_tokens(writer: gguf.GGUFWriter) -> None:
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    odd = [byte for byte in range(256) if byte not in plain]
    letters = {byte: chr(byte) for byte in plain} | {
        byte: chr(256 + place) for place, byte in enumerate(odd)
    }
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([letters[byte] for byte in range(256)])
    writer.add_token_types([1] * 256)
    writer.add_token_merges(["a a"])
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(value=False)


def plain_logits(path: Path, tokens: Sequence[int]) -> Numbers:
    """Return the logits behind one row of tokens, computed alone and in 64-bit floats."""
    reader = gguf.GGUFReader(path)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {each.name: each for each in reader.tensors}
    kind = str(facts["general.architecture"])
    embedding = _numbers(tensors["token_embd.weight"])
    states = embedding[list(tokens)]
    for layer in range(int(facts[f"{kind}.block_count"])):
        own = {
            name.removeprefix(f"blk.{layer}."): _numbers(each)
            for name, each in tensors.items()
            if name.startswith(f"blk.{layer}.")
        }
        states = _layer(states, own, facts, kind)
    last = _normed(states[-1:], _numbers(tensors["output_norm.weight"]), facts, kind)
    head = _numbers(tensors["output.weight"]) if "output.weight" in tensors else embedding
    logits: Numbers = (last @ head.T)[0]
    return logits


def _numbers(tensor: gguf.ReaderTensor) -> Numbers:
    floats: Numbers = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
    return floats


def _layer(
    states: Numbers, own: Mapping[str, Numbers], facts: Mapping[str, object], kind: str
) -> Numbers:
    heads, groups = (int(str(facts[f"{kind}.attention.head_count{each}"])) for each in ("", "_kv"))
    normed = _normed(states, own["attn_norm.weight"], facts, kind)
    parts = []
    for name, count in (("q", heads), ("k", groups), ("v", groups)):
        part = normed @ own[f"attn_{name}.weight"].T + own.get(f"attn_{name}.bias", 0)
        part = part.reshape(len(states), count, -1)
        if f"attn_{name}_norm.weight" in own:
            part = _normed(part, own[f"attn_{name}_norm.weight"], facts, kind)
        parts.append(part if name == "v" else _turned(part, facts, kind))
    queries, keys, values = parts
    seen = np.empty_like(queries)
    for head in range(heads):
        group = head * groups // heads
        scores = queries[:, head] @ keys[:, group].T / np.sqrt(queries.shape[-1])
        scores = np.where(np.tri(len(states), dtype=bool), scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        seen[:, head] = shares / shares.sum(-1, keepdims=True) @ values[:, group]
    states = states + seen.reshape(len(states), -1) @ own["attn_output.weight"].T
    normed = _normed(states, own["ffn_norm.weight"], facts, kind)
    gates = normed @ own["ffn_gate.weight"].T
    inner = gates / (1 + np.exp(-gates)) * (normed @ own["ffn_up.weight"].T)
    result: Numbers = states + inner @ own["ffn_down.weight"].T
    return result


def _normed(states: Numbers, norm: Numbers, facts: Mapping[str, object], kind: str) -> Numbers:
    epsilon = float(str(facts[f"{kind}.attention.layer_norm_rms_epsilon"]))
    result: Numbers = states / np.sqrt((states**2).mean(-1, keepdims=True) + epsilon) * norm
    return result


def _turned(part: Numbers, facts: Mapping[str, object], kind: str) -> Numbers:
    half = part.shape[-1] // 2
    base = float(str(facts[f"{kind}.rope.freq_base"]))
    angles = np.arange(len(part))[:, None, None] * base ** (-np.arange(half) / half)
    first, second = slice(None, None, 2), slice(1, None, 2)
    if kind != "llama":
        first, second = slice(half), slice(half, None)
    one, other = part[..., first], part[..., second]
    result = np.empty_like(part)
    result[..., first] = one * np.cos(angles) - other * np.sin(angles)
    result[..., second] = one * np.sin(angles) + other * np.cos(angles)
    return result

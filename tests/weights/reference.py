"""A model of the converted families computed by the book, from its folder as its makers wrote it.

Positions turn the halves of each head against each other, as the makers' own code does; so this
knows nothing of the order of rows that llama.cpp wants, and the two must agree all the same.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Numbers = NDArray[np.float32]


def logits(folder: Path, tokens: list[int]) -> Numbers:
    """Return the logits of what follows the tokens."""
    config = json.loads((folder / "config.json").read_text())
    weights = {k: v.astype(np.float32) for k, v in load_file(folder / "model.safetensors").items()}
    if config["architectures"] == ["Gemma3ForCausalLM"]:
        return _gemma(config, weights, tokens)
    state = weights["model.embed_tokens.weight"][tokens]
    for layer in range(config["num_hidden_layers"]):
        own = {
            name.removeprefix(f"model.layers.{layer}."): value
            for name, value in weights.items()
            if name.startswith(f"model.layers.{layer}.")
        }
        state = state + _attention(_norm(state, own["input_layernorm.weight"], config), own, config)
        inner = _norm(state, own["post_attention_layernorm.weight"], config)
        gate = inner @ own["mlp.gate_proj.weight"].T
        up = inner @ own["mlp.up_proj.weight"].T
        state = state + (gate / (1 + np.exp(-gate)) * up) @ own["mlp.down_proj.weight"].T
    last = _norm(state[-1], weights["model.norm.weight"], config)
    head = "model.embed_tokens.weight" if config.get("tie_word_embeddings") else "lm_head.weight"
    found: Numbers = last @ weights[head].T
    return found


def _gemma(
    config: Mapping[str, object], weights: Mapping[str, Numbers], tokens: list[int]
) -> Numbers:
    """Return the logits of Gemma 3: more norms, all plus one, and most layers see near tokens."""
    weights = {k: v + 1 if k.endswith("norm.weight") else v for k, v in weights.items()}
    embedding = weights["model.embed_tokens.weight"]
    state = embedding[tokens] * math.sqrt(embedding.shape[1])
    for layer in range(int(str(config["num_hidden_layers"]))):
        own = {
            name.removeprefix(f"model.layers.{layer}."): value
            for name, value in weights.items()
            if name.startswith(f"model.layers.{layer}.")
        }
        near = {**config, "rope_theta": 10_000.0} if layer % 6 != 5 else config
        window = int(str(config["sliding_window"])) if layer % 6 != 5 else len(tokens)
        inner = _norm(state, own["input_layernorm.weight"], config)
        mixed = _attention(inner, own, near, window=window)
        state = state + _norm(mixed, own["post_attention_layernorm.weight"], config)
        inner = _norm(state, own["pre_feedforward_layernorm.weight"], config)
        gate = inner @ own["mlp.gate_proj.weight"].T
        bent = gate * (1 + np.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3))) / 2
        made = (bent * (inner @ own["mlp.up_proj.weight"].T)) @ own["mlp.down_proj.weight"].T
        state = state + _norm(made, own["post_feedforward_layernorm.weight"], config)
    found: Numbers = _norm(state[-1], weights["model.norm.weight"], config) @ embedding.T
    return found


def logprobs(folder: Path, tokens: list[int]) -> Numbers:
    """Return the logarithm of each token's chance to follow."""
    found = logits(folder, tokens)
    top = found.max()
    result: Numbers = found - top - np.log(np.exp(found - top).sum())
    return result


def _attention(
    state: Numbers,
    own: Mapping[str, Numbers],
    config: Mapping[str, object],
    *,
    window: int = 1 << 20,
) -> Numbers:
    heads, kept = int(str(config["num_attention_heads"])), int(str(config["num_key_value_heads"]))
    q, k, v = (
        state @ own[f"self_attn.{part}_proj.weight"].T + own.get(f"self_attn.{part}_proj.bias", 0)
        for part in "qkv"
    )
    count = len(state)
    q, k, v = q.reshape(count, heads, -1), k.reshape(count, kept, -1), v.reshape(count, kept, -1)
    if "self_attn.q_norm.weight" in own:
        q = _norm(q, own["self_attn.q_norm.weight"], config)
        k = _norm(k, own["self_attn.k_norm.weight"], config)
    q, k = _turned(q, config), _turned(k, config)
    k, v = (np.repeat(each, heads // kept, axis=1) for each in (k, v))
    weights = np.einsum("ihd,jhd->hij", q, k) / math.sqrt(q.shape[-1])
    seen = np.tri(count, dtype=bool) & ~np.tri(count, k=-window, dtype=bool)
    weights = np.where(seen, weights, -np.inf)
    weights = np.exp(weights - weights.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    mixed = np.einsum("hij,jhd->ihd", weights, v).reshape(count, -1)
    bias = own.get("self_attn.o_proj.bias", 0)
    found: Numbers = mixed @ own["self_attn.o_proj.weight"].T + bias
    return found


def _norm(state: Numbers, weight: Numbers, config: Mapping[str, object]) -> Numbers:
    root = np.sqrt((state**2).mean(-1, keepdims=True) + float(str(config["rms_norm_eps"])))
    found: Numbers = state / root * weight
    return found


def _turned(state: Numbers, config: Mapping[str, object]) -> Numbers:
    size = state.shape[-1]
    pace = float(str(config["rope_theta"])) ** -(np.arange(0, size, 2) / size)
    scaling = config.get("rope_scaling")
    if isinstance(scaling, dict):
        pace = _stretched(pace, scaling)
    angle = np.arange(len(state))[:, None] * pace
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    first, second = state[..., : size // 2], state[..., size // 2 :]
    turned = np.concatenate([first * cos - second * sin, second * cos + first * sin], -1)
    return turned.astype(np.float32)


def _stretched(pace: NDArray[Any], scaling: Mapping[str, Any]) -> NDArray[Any]:
    if scaling.get("rope_type") != "llama3":
        return np.asarray(pace / scaling["factor"])
    trained = scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    length = 2 * math.pi / pace
    smooth = np.clip((trained / length - low) / (high - low), 0, 1)
    return np.asarray((1 - smooth) * pace / scaling["factor"] + smooth * pace)

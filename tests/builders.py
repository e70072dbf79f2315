"""Small valid values for tests: GGUF files built in memory, manifests, configs."""

import hashlib
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from puna.models.gguf import GgufArray, GgufHeader, GgufValue, TensorRecord, ValueKind
from puna.models.tensor_types import TENSOR_TYPES

Metadata = Mapping[str, object]

_KINDS = {
    "B": 0,
    "b": 1,
    "H": 2,
    "h": 3,
    "I": 4,
    "i": 5,
    "f": 6,
    "?": 7,
    "s": 8,
    "a": 9,
    "Q": 10,
    "q": 11,
    "d": 12,
}
_TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20)}
_TYPES |= {"Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144), "BF16": (30, 1, 2)}

LLAMA: Metadata = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.file_type": 2,
    "llama.block_count": 2,
    "llama.context_length": 2048,
    "llama.embedding_length": 64,
    "llama.feed_forward_length": 128,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.vocab_size": 32,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}",
}
LLAMA_TENSORS: Mapping[str, tuple[str, Sequence[int]]] = {
    "token_embd.weight": ("Q8_0", (64, 32)),
    "blk.0.attn_q.weight": ("Q4_0", (64, 64)),
    "blk.1.attn_q.weight": ("Q4_0", (64, 64)),
    "output_norm.weight": ("F32", (64,)),
}


@dataclass(frozen=True)
class Typed:
    """A metadata value of a chosen type, by letter: `Typed("Q", 5)` is a UINT64."""

    letter: str
    value: object


def a_gguf(
    metadata: Metadata = LLAMA,
    tensors: Mapping[str, tuple[str, Sequence[int]]] = LLAMA_TENSORS,
    *,
    version: int = 3,
    order: str = "<",
    alignment: int = 32,
) -> bytes:
    """Return a whole GGUF file. The tensors hold zeros."""
    return a_gguf_header(
        metadata, tensors, version=version, order=order, alignment=alignment
    ) + bytes(sum(_padded(_size(*tensor), alignment) for tensor in tensors.values()))


def a_gguf_header(
    metadata: Metadata = LLAMA,
    tensors: Mapping[str, tuple[str, Sequence[int]]] = LLAMA_TENSORS,
    *,
    version: int = 3,
    order: str = "<",
    alignment: int = 32,
) -> bytes:
    """Return what stands in front of the tensors, padded."""
    out = b"GGUF" + struct.pack(f"{order}IQQ", version, len(tensors), len(metadata))
    out += b"".join(_text(key, order) + _entry(value, order) for key, value in metadata.items())
    offset = 0
    for name, (kind, shape) in tensors.items():
        number = _TYPES[kind][0]
        out += _text(name, order) + struct.pack(f"{order}I{len(shape)}Q", len(shape), *shape)
        out += struct.pack(f"{order}IQ", number, offset)
        offset += _padded(_size(kind, shape), alignment)
    return out + bytes(_padded(len(out), alignment) - len(out))


def _size(kind: str, shape: Sequence[int]) -> int:
    _, block, block_size = _TYPES[kind]
    elements = 1
    for length in shape:
        elements *= length
    return elements // block * block_size


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _text(text: str | bytes, order: str) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack(f"{order}Q", len(raw)) + raw


def _entry(value: object, order: str) -> bytes:
    typed = _typed(value)
    return struct.pack(f"{order}I", _KINDS[typed.letter]) + _payload(typed, order)


def _typed(value: object) -> Typed:
    if isinstance(value, Typed):
        return value
    if isinstance(value, bool):
        return Typed("?", value)
    if isinstance(value, int):
        return Typed("I" if 0 <= value < 2**32 else "q", value)
    if isinstance(value, float):
        return Typed("f", value)
    return Typed("s" if isinstance(value, str | bytes) else "a", value)


def _payload(typed: Typed, order: str) -> bytes:
    if typed.letter == "s":
        assert isinstance(typed.value, str | bytes)
        return _text(typed.value, order)
    if typed.letter != "a":
        return struct.pack(order + typed.letter, typed.value)
    assert isinstance(typed.value, Sequence)
    items = [_typed(item) for item in typed.value]
    letter = items[0].letter if items else "I"
    start = struct.pack(f"{order}IQ", _KINDS[letter], len(items))
    return start + b"".join(_payload(item, order) for item in items)


def a_digest(content: bytes = b"") -> str:
    """Return `sha256:` and the digest of `content`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def a_layer(kind: str = "model", content: bytes = b"weights", **more: object) -> dict[str, object]:
    """Return a layer of a manifest as JSON has it."""
    media_type = f"application/vnd.ollama.image.{kind}"
    return {"mediaType": media_type, "digest": a_digest(content), "size": len(content), **more}


def a_manifest(*layers: dict[str, object], config: bytes = b"{}", **more: object) -> bytes:
    """Return the bytes of a manifest; without layers it has one, of weights."""
    config_type = "application/vnd.docker.container.image.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": config_type, "digest": a_digest(config), "size": len(config)},
        "layers": list(layers) or [a_layer()],
        **more,
    }
    return json.dumps(manifest).encode()


def a_config(**fields: object) -> bytes:
    """Return the bytes of a config blob."""
    known = {"model_format": "gguf", "model_family": "llama", "model_families": ["llama"]}
    sizes = {"model_type": "134.52M", "file_type": "Q4_1", "architecture": "amd64", "os": "linux"}
    return json.dumps({**known, **sizes, **fields}).encode()


def a_header(
    metadata: Metadata = LLAMA,
    tensors: Mapping[str, tuple[str, Sequence[int]]] = LLAMA_TENSORS,
) -> GgufHeader:
    """Return a header without a file: models of any size, made in memory."""
    records = []
    offset = 0
    for name, (kind, shape) in tensors.items():
        type_ = next(each for each in TENSOR_TYPES.values() if each.name == kind)
        size = math.prod(shape) // type_.block * type_.block_size
        records.append(TensorRecord(name, type_, tuple(shape), offset, size))
        offset += _padded(size, 32)
    return GgufHeader(
        path=Path("/nowhere/model.gguf"),
        version=3,
        alignment=32,
        metadata={key: _value(value) for key, value in metadata.items()},
        tensors=tuple(records),
        data_offset=4096,
        file_size=4096 + offset,
    )


def _value(value: object) -> GgufValue:
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, range):  # a long array, such as a vocabulary: counted, not held
        return GgufArray(ValueKind.STRING, len(value), 0, 0, None)
    assert isinstance(value, Sequence)
    return GgufArray(ValueKind.INT32, len(value), 0, 0, tuple(value))

"""The child process that converts: reads a model's files, writes one GGUF file.

First comes a line of JSON: how long the file will be, and what there is to say. A job names files
as the model's folder does.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from puna.library.weights import moves
from puna.library.weights.adapter import read_adapter
from puna.library.weights.child import work_as_child
from puna.library.weights.families import (
    LEFT_OUT,
    Shape,
    allowed_shapes,
    factors_of,
    family_of,
    gguf_name,
    metadata_of,
    shape_of,
    wanted_shapes,
    warnings_of,
)
from puna.library.weights.made import CannotConvert
from puna.library.weights.moves import ALIGNMENT, Made, Move
from puna.library.weights.repository import BadRepository, Object, Repository
from puna.library.weights.vocabulary import Vocabulary, read_vocabulary
from puna.models.gguf_window import Scalar, ValueKind
from puna.models.gguf_write import array_bytes, entry_bytes, head_bytes, padded
from puna.models.safetensors import StoredTensor
from puna.models.tensor_types import FILE_TYPES
from puna.text import one_line

_QUANTIZATION_VERSION = 2
_FILE_TYPE_BY_NAME = {name: number for number, name in FILE_TYPES.items()}
_TASKS: Mapping[str, str] = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "eot": "eot_token_id",
    "unk": "unknown_token_id",
    "sep": "seperator_token_id",
    "pad": "padding_token_id",
    "cls": "cls_token_id",
    "mask": "mask_token_id",
}


@dataclass(frozen=True, slots=True)
class NewFile:
    """A GGUF file that can be written: its entries, its tensors, and what to say of it."""

    entries: Sequence[bytes]
    tensors: Sequence[Move | Made]
    said: Sequence[str] = ()

    def head(self) -> bytes:
        """Return what stands before the numbers."""
        return head_bytes(self.entries, [each.new for each in self.tensors], alignment=ALIGNMENT)

    @property
    def body_size(self) -> int:
        """The bytes of the numbers."""
        return sum(padded(each.new.size, ALIGNMENT) for each in self.tensors)


def read_model(files: Repository) -> NewFile:
    """Return the file that a model becomes.

    Raises `CannotConvert`, `BadRepository`, `BadSafetensors`, `BadSentencePiece`.
    """
    config = files.needed_json("config.json")
    shape = shape_of(config, family_of(config))
    tensors = list(_tensors(files.tensors(), config, shape))
    vocabulary = read_vocabulary(files, shape.vocabulary)
    entries = [
        *_general(config, shape, tensors),
        *(entry_bytes(*each) for each in metadata_of(config, shape)),
        *_tokenizer(vocabulary),
    ]
    return NewFile(entries, tensors, (*warnings_of(config), *vocabulary.said))


def _tensors(
    stored: Mapping[str, StoredTensor], config: Object, shape: Shape
) -> Iterator[Move | Made]:
    if factors := factors_of(config, shape):
        yield moves.made("rope_freqs.weight", factors)
    wanted, allowed = dict(wanted_shapes(shape)), allowed_shapes(shape)
    for name, tensor in stored.items():
        new = gguf_name(name, shape.family)
        if LEFT_OUT.fullmatch(name) or (new == "output.weight" and shape.is_tied):
            continue
        expected = wanted.pop(new or "", None) or allowed.get(new or "")
        shown = one_line(name, 100)
        if new is None or expected is None:
            raise CannotConvert(
                f"{shape.family.name} models of {shape.layers} layers have no tensor {shown}",
                hint="the model's code adds something that llama.cpp does not have",
            )
        if tensor.shape != expected:
            found = f"{list(tensor.shape)}, by config.json {list(expected)}"
            raise BadRepository(f"tensor {shown} is {found}")
        shift = 1.0 if shape.family.is_gemma and new.endswith("norm.weight") else 0.0
        yield moves.move(tensor, new, heads=heads_of(new, shape), shift=shift)
    if wanted:
        raise BadRepository(f"{len(wanted)} tensors are missing: {', '.join(list(wanted)[:3])}")


def heads_of(name: str, shape: Shape) -> int:
    """Return into how many heads the rows of a tensor are cut, if they are put in order."""
    part = name.split(".")[-2] if shape.family.turns_rows else ""
    return {"attn_q": shape.heads, "attn_k": shape.key_heads}.get(part, 0)


def _general(config: Object, shape: Shape, tensors: Sequence[Move | Made]) -> Iterator[bytes]:
    kinds = Counter(each.new.type.name for each in tensors if len(each.new.shape) > 1)
    most = kinds.most_common(1)[0][0]
    yield entry_bytes("general.architecture", ValueKind.STRING, shape.family.name)
    yield entry_bytes("general.type", ValueKind.STRING, "model")
    name = str(config.get("_name_or_path") or "").rstrip("/").rpartition("/")[2]
    if name:
        yield entry_bytes("general.name", ValueKind.STRING, one_line(name, 200))
    yield entry_bytes("general.file_type", ValueKind.UINT32, _FILE_TYPE_BY_NAME[most])
    yield entry_bytes("general.quantization_version", ValueKind.UINT32, _QUANTIZATION_VERSION)


def _tokenizer(vocabulary: Vocabulary) -> Iterator[bytes]:
    start = "tokenizer.ggml."
    texts: Sequence[Scalar] = [token.text for token in vocabulary.tokens]
    kinds: Sequence[Scalar] = [int(token.type) for token in vocabulary.tokens]
    yield entry_bytes(f"{start}model", ValueKind.STRING, vocabulary.kind)
    yield entry_bytes(f"{start}pre", ValueKind.STRING, vocabulary.pretokenizer)
    yield array_bytes(f"{start}tokens", (ValueKind.STRING, texts))
    yield array_bytes(f"{start}token_type", (ValueKind.INT32, kinds))
    if vocabulary.kind == "llama":
        scores: Sequence[Scalar] = [token.score for token in vocabulary.tokens]
        yield array_bytes(f"{start}scores", (ValueKind.FLOAT32, scores))
    else:
        yield array_bytes(f"{start}merges", (ValueKind.STRING, vocabulary.merges))
    special = vocabulary.special
    for task, number in special.number_by_task.items():
        yield entry_bytes(f"{start}{_TASKS[task]}", ValueKind.UINT32, number)
    # llama.cpp decides by the pre-tokenizer where a file does not say.
    added = {"bos": False, **special.is_added} if vocabulary.merges else special.is_added
    for task in ("bos", "eos", "sep"):
        if task in added:
            yield entry_bytes(f"{start}add_{task}_token", ValueKind.BOOL, added[task])
    if vocabulary.adds_blank is not None:
        yield entry_bytes(f"{start}add_space_prefix", ValueKind.BOOL, vocabulary.adds_blank)
    for name, text in special.templates.items():
        end = "" if name == "default" else f".{name}"
        yield entry_bytes(f"tokenizer.chat_template{end}", ValueKind.STRING, text)


def main(output: BinaryIO) -> None:
    """Do the job that standard input holds."""
    job = json.loads(sys.stdin.buffer.read())
    files = Repository({name: Path(path) for name, path in job["files"].items()})
    if base := job.get("base"):
        entries, tensors = read_adapter(files, base)
        new = NewFile(entries, tensors)
    else:
        new = read_model(files)
    head = new.head()
    line = {"size": len(head) + new.body_size, "said": list(new.said)}
    output.write(json.dumps(line).encode() + b"\n")
    output.write(head)
    for each in new.tensors:
        output.writelines(moves.contents(each))
    output.flush()


if __name__ == "__main__":
    work_as_child(main)

"""An adapter (LoRA) as PEFT keeps it becomes one that llama.cpp loads beside the model.

What it adds to a matrix is a product of two small ones. Where the rows of the matrix were put into
another order for llama.cpp, so are those of the second.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TypedDict

from puna.library.weights import moves
from puna.library.weights.families import FAMILY_BY_NAME, gguf_name
from puna.library.weights.made import CannotConvert
from puna.library.weights.moves import Move
from puna.library.weights.repository import BadRepository, Object, Repository
from puna.models.gguf_window import ValueKind
from puna.models.gguf_write import entry_bytes
from puna.models.safetensors import StoredTensor
from puna.text import one_line

_NAME = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
_LATER = "make a GGUF adapter with llama.cpp's convert_lora_to_gguf.py, and name that in ADAPTER"


class Base(TypedDict):
    """What must be known of the model that an adapter is for."""

    family: str
    heads: int
    key_heads: int


def read_adapter(files: Repository, base: Base) -> tuple[list[bytes], list[Move]]:
    """Return entries and tensors of the adapter's file.

    Raises `CannotConvert`, `BadRepository`, `BadSafetensors`.
    """
    family = FAMILY_BY_NAME.get(base["family"])
    if family is None:
        name = one_line(base["family"], 40)
        raise CannotConvert(f"adapters for {name} models cannot be converted", hint=_LATER)
    config = files.needed_json("adapter_config.json")
    _check(config)
    heads = {"attn_q": base["heads"], "attn_k": base["key_heads"]} if family.turns_rows else {}
    pairs = _pairs(files.tensors())
    tensors: list[Move] = []
    ranks = set()
    for name, (first, second) in pairs.items():
        new = gguf_name(f"{name}.weight", family)
        if new is None or (".attn_" not in new and ".ffn_" not in new):
            raise CannotConvert(f"an adapter cannot change {one_line(name, 100)}", hint=_LATER)
        if len(first.shape) != 2 or len(second.shape) != 2 or first.shape[0] != second.shape[1]:  # noqa: PLR2004 - matrices
            raise BadRepository(f"the two parts of {one_line(name, 100)} do not fit together")
        ranks.add(first.shape[0])
        tensors.append(moves.move(first, f"{new}.lora_a", widens=True))
        cut = heads.get(new.split(".")[-2], 0)
        tensors.append(moves.move(second, f"{new}.lora_b", heads=cut, widens=True))
    return _entries(config, base, ranks), tensors


def _check(config: Object) -> None:
    kind = config.get("peft_type", "LORA")
    if kind != "LORA":
        raise CannotConvert(f"the adapter is of the kind {one_line(str(kind), 40)}, not LORA")
    for name in ("rank_pattern", "alpha_pattern", "modules_to_save", "use_dora", "lora_bias"):
        if config.get(name):
            raise CannotConvert(f"the adapter has {name}, which llama.cpp does not", hint=_LATER)
    if config.get("bias", "none") != "none":
        raise CannotConvert("the adapter changes biases, which llama.cpp's do not", hint=_LATER)


def _pairs(
    stored: Mapping[str, StoredTensor],
) -> Mapping[str, tuple[StoredTensor, StoredTensor]]:
    parts: dict[str, dict[str, StoredTensor]] = {}
    for name, tensor in stored.items():
        found = _NAME.fullmatch(name)
        if found is None:
            raise CannotConvert(f"{one_line(name, 100)} is no part of a LoRA adapter", hint=_LATER)
        parts.setdefault(found[1], {})[found[2]] = tensor
    for name, both in parts.items():
        if len(both) != 2:  # noqa: PLR2004 - A and B
            raise BadRepository(f"{one_line(name, 100)} has only one of its two parts")
    return {name: (both["A"], both["B"]) for name, both in parts.items()}


def _entries(config: Object, base: Base, ranks: set[int]) -> list[bytes]:
    alpha = config.get("lora_alpha")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not abs(alpha) < 1e30:  # noqa: PLR2004 - fits 32 bits
        raise BadRepository("adapter_config.json has no usable lora_alpha")
    if config.get("use_rslora"):
        # llama.cpp divides by the rank; these adapters are meant to be divided by its root.
        if len(ranks) != 1:
            raise CannotConvert("the adapter has several ranks and use_rslora", hint=_LATER)
        alpha *= math.sqrt(next(iter(ranks)))
    texts: Sequence[tuple[str, str]] = (
        ("general.architecture", base["family"]),
        ("general.type", "adapter"),
        ("adapter.type", "lora"),
    )
    return [
        *(entry_bytes(key, ValueKind.STRING, value) for key, value in texts),
        entry_bytes("adapter.lora.alpha", ValueKind.FLOAT32, float(alpha)),
    ]

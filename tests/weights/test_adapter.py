"""Adapters of PEFT become what llama.cpp loads: the same products, rows in its order."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from puna.library.weights.adapter import Base, read_adapter
from puna.library.weights.converter import NewFile
from puna.library.weights.made import CannotConvert
from puna.library.weights.repository import BadRepository, Repository
from puna.models.gguf import read_header
from tests.weights.builders import numbers, tensors_of
from tests.weights.huggingface import safetensors
from tests.weights.test_convert import write

LLAMA: Base = {"family": "llama", "heads": 4, "key_heads": 2}
Q = "base_model.model.model.layers.0.self_attn.q_proj"
DOWN = "base_model.model.model.layers.0.mlp.down_proj"
CONFIG: Mapping[str, object] = {"peft_type": "LORA", "lora_alpha": 16, "r": 4, "bias": "none"}


def an_adapter(
    folder: Path, *, name: str = Q, shape: tuple[int, int] = (64, 64), **changes: object
) -> Repository:
    """Return an adapter of one matrix, as PEFT writes it."""
    parts = {
        f"{name}.lora_A.weight": ("F32", numbers("a", (shape[1], 4))),
        f"{name}.lora_B.weight": ("F32", numbers("b", (4, shape[0]))),
    }
    (folder / "adapter_model.safetensors").write_bytes(safetensors(parts))
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **changes}))
    return Repository({path.name: path for path in folder.iterdir()})


def test_the_product_is_what_the_turned_matrix_needs(tmp_path: Path) -> None:
    entries, tensors = read_adapter(an_adapter(tmp_path), LLAMA)
    header = write(NewFile(entries, tensors), tmp_path / "a.gguf")
    found = tensors_of(tmp_path / "a.gguf")
    product = numbers("b", (4, 64)) @ numbers("a", (64, 4))
    wanted = product.reshape(4, 2, 8, 64).swapaxes(1, 2).reshape(64, 64)
    made = found["blk.0.attn_q.weight.lora_b"] @ found["blk.0.attn_q.weight.lora_a"]
    assert np.allclose(made, wanted, atol=1e-6)
    assert header.text("general.type") == "adapter"
    assert header.text("adapter.type") == "lora"
    assert header.number("adapter.lora.alpha") == 16


def test_other_matrices_keep_their_rows(tmp_path: Path) -> None:
    entries, tensors = read_adapter(an_adapter(tmp_path, name=DOWN, shape=(64, 96)), LLAMA)
    write(NewFile(entries, tensors), tmp_path / "a.gguf")
    found = tensors_of(tmp_path / "a.gguf")
    assert np.array_equal(found["blk.0.ffn_down.weight.lora_b"], numbers("b", (4, 64)))


def test_a_rank_under_the_root_is_put_into_alpha(tmp_path: Path) -> None:
    entries, tensors = read_adapter(an_adapter(tmp_path, use_rslora=True), LLAMA)
    write(NewFile(entries, tensors), tmp_path / "a.gguf")
    assert read_header(tmp_path / "a.gguf").number("adapter.lora.alpha") == 32


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"peft_type": "IA3"}, "of the kind IA3, not LORA"),
        ({"use_dora": True}, "has use_dora"),
        ({"modules_to_save": ["lm_head"]}, "has modules_to_save"),
        ({"rank_pattern": {"q": 8}}, "has rank_pattern"),
        ({"bias": "all"}, "changes biases"),
    ],
)
def test_what_llama_cpp_does_not_have_is_refused(
    tmp_path: Path, changes: Mapping[str, object], reason: str
) -> None:
    with pytest.raises(CannotConvert, match=reason):
        read_adapter(an_adapter(tmp_path, **dict(changes)), LLAMA)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("base_model.model.lm_head", "cannot change lm_head"),
        ("base_model.model.model.layers.0.other", "cannot change model.layers.0.other"),
        ("other", "no part of a LoRA adapter"),
    ],
)
def test_a_tensor_for_nothing_is_named(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(CannotConvert, match=reason):
        read_adapter(an_adapter(tmp_path, name=name), LLAMA)


def test_a_family_that_is_not_known_is_named(tmp_path: Path) -> None:
    base: Base = {"family": "gemma2", "heads": 4, "key_heads": 2}
    with pytest.raises(CannotConvert, match="adapters for gemma2 models cannot be converted"):
        read_adapter(an_adapter(tmp_path), base)


def test_a_configuration_without_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRepository, match="no usable lora_alpha"):
        read_adapter(an_adapter(tmp_path, lora_alpha="many"), LLAMA)


def test_half_of_a_pair_is_refused(tmp_path: Path) -> None:
    files = an_adapter(tmp_path)
    half = {f"{Q}.lora_A.weight": ("F32", numbers("a", (64, 4)))}
    (tmp_path / "adapter_model.safetensors").write_bytes(safetensors(half))
    with pytest.raises(BadRepository, match="only one of its two parts"):
        read_adapter(files, LLAMA)

"""Models in safetensors become GGUF files with the same numbers, or are refused by name."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from puna.library.weights.child import WeightsLost
from puna.library.weights.convert import converted
from puna.library.weights.converter import NewFile, read_model
from puna.library.weights.made import CannotConvert
from puna.library.weights.moves import contents
from puna.library.weights.repository import BadRepository, Repository
from puna.models.gguf import GgufHeader, read_header
from puna.models.safetensors import BadSafetensors
from puna.models.strict_json import JsonValue
from puna.progress import Progress, Step
from tests.stores import blob_names, leftovers
from tests.weights.builders import a_store, finished, numbers, tensors_of
from tests.weights.huggingface import change, files_of, safetensors, tiny_folder


def write(new: NewFile, path: Path) -> GgufHeader:
    """Write the file that a model becomes, and read its header."""
    path.write_bytes(new.head() + b"".join(b"".join(contents(each)) for each in new.tensors))
    return read_header(path)


def turned_back(name: str, heads: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the rows of a tensor as llama.cpp wants them: halves of each head by turns."""
    rows = numbers(name, shape)
    return rows.reshape(heads, 2, -1, shape[0]).swapaxes(1, 2).reshape(rows.shape)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_numbers_are_the_same_and_rows_of_heads_in_pairs(tmp_path: Path, kind: str) -> None:
    files = tiny_folder(tmp_path / "m", kind=kind)
    header = write(read_model(Repository(files)), tmp_path / "m.gguf")
    found = tensors_of(tmp_path / "m.gguf")
    exact = 0 if kind == "F32" else 2**-7
    assert np.allclose(
        found["blk.0.ffn_down.weight"],
        numbers("blk.0.ffn_down.weight", (96, 64)),
        rtol=exact,
        atol=0,
    )
    assert np.allclose(
        found["blk.0.attn_q.weight"],
        turned_back("blk.0.attn_q.weight", 4, (64, 64)),
        rtol=exact,
        atol=0,
    )
    assert np.allclose(
        found["blk.1.attn_k.weight"],
        turned_back("blk.1.attn_k.weight", 2, (64, 32)),
        rtol=exact,
        atol=0,
    )
    kinds = {tensor.name: tensor.type.name for tensor in header.tensors}
    assert (kinds["blk.0.attn_q.weight"], kinds["output_norm.weight"]) == (kind, "F32")


def test_what_the_configuration_says_is_in_the_file(tmp_path: Path) -> None:
    header = write(read_model(Repository(tiny_folder(tmp_path / "m"))), tmp_path / "m.gguf")
    numbers_by_key = {key: header.integer(f"llama.{key}") for key in ("block_count", "vocab_size")}
    assert numbers_by_key == {"block_count": 2, "vocab_size": 264}
    assert header.integer("llama.attention.head_count_kv") == 2
    assert header.number("llama.rope.freq_base") == 10_000
    assert header.integer("general.file_type") == 32


@pytest.mark.parametrize(
    ("architecture", "family", "head"),
    [
        ("MistralForCausalLM", "llama", 32),
        ("Qwen2ForCausalLM", "qwen2", 16),
        ("Qwen3ForCausalLM", "qwen3", 32),
    ],
)
def test_families_have_their_own_tensors(
    tmp_path: Path, architecture: str, family: str, head: int
) -> None:
    files = tiny_folder(tmp_path / "m", architectures=[architecture], head_dim=head)
    header = write(read_model(Repository(files)), tmp_path / "m.gguf")
    names = {tensor.name for tensor in header.tensors}
    assert header.architecture == family
    assert ("blk.0.attn_q.bias" in names) == (family == "qwen2")
    assert ("blk.0.attn_q_norm.weight" in names) == (family == "qwen3")
    if family != "llama":
        found = tensors_of(tmp_path / "m.gguf")["blk.0.attn_k.weight"]
        assert np.allclose(
            found, numbers("blk.0.attn_k.weight", (64, 2 * head)), rtol=2**-7, atol=0
        )


def test_shards_are_read_together_and_a_missing_one_is_named(tmp_path: Path) -> None:
    tiny_folder(tmp_path)
    whole = (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00002.safetensors")
    index = {
        "weight_map": {
            "model.norm.weight": whole.name,
            "lm_head.weight": "model-00002-of-00002.safetensors",
        }
    }
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BadRepository, match=r"model-00002-of-00002\.safetensors is missing"):
        read_model(Repository(files_of(tmp_path)))
    index["weight_map"]["lm_head.weight"] = whole.name
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert read_model(Repository(files_of(tmp_path))).tensors


def test_an_output_that_is_the_embedding_is_not_stored_twice(tmp_path: Path) -> None:
    files = tiny_folder(tmp_path, tie_word_embeddings=True)
    names = [each.new.name for each in read_model(Repository(files)).tensors]
    assert "output.weight" not in names


def test_llama_3_turns_slow_pairs_slower(tmp_path: Path) -> None:
    rope: dict[str, JsonValue] = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    }
    rope |= {"original_max_position_embeddings": 64}
    files = tiny_folder(tmp_path / "m", rope_scaling=rope, head_dim=16)
    write(read_model(Repository(files)), tmp_path / "m.gguf")
    found = tensors_of(tmp_path / "m.gguf")["rope_freqs.weight"]
    assert found[0] == 1
    assert found[-1] == 8
    assert all(1 <= each <= 8 for each in found)
    assert len(found) == 8


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architectures": ["MixtralForCausalLM"]}, "MixtralForCausalLM cannot be converted"),
        (
            {"architectures": None},
            "this model cannot be converted; those that can are LlamaForCausalLM, ",
        ),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantized already, by gptq"),
        ({"hidden_act": "gelu"}, "hidden_act gelu, not silu"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2}}, "rope_type dynamic"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
    ],
)
def test_what_cannot_be_exact_is_refused(
    tmp_path: Path, changes: Mapping[str, object], reason: str
) -> None:
    files = tiny_folder(tmp_path)
    change(files["config.json"], **changes)
    with pytest.raises(CannotConvert, match=reason):
        read_model(Repository(files))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hidden_size": None}, "no usable hidden_size"),
        ({"hidden_size": "64"}, "no usable hidden_size: 64"),
        ({"num_hidden_layers": 10**9}, "cannot be"),
        ({"num_attention_heads": 7}, "7 heads do not share 64 numbers"),
        ({"num_hidden_layers": 3}, "9 tensors are missing: blk.2.attn_norm.weight"),
        ({"intermediate_size": 32}, r"is \[96, 64\], by config.json \[32, 64\]"),
        ({"vocab_size": 263}, r"is \[264, 64\], by config.json \[263, 64\]"),
        ({"vocab_size": 10**8}, "100000000 tokens are more than any model has"),
        ({"rms_norm_eps": 1e40}, "no usable rms_norm_eps"),
    ],
)
def test_a_configuration_that_lies_is_named(
    tmp_path: Path, changes: Mapping[str, object], reason: str
) -> None:
    files = tiny_folder(tmp_path)
    change(files["config.json"], **changes)
    with pytest.raises(BadRepository, match=reason):
        read_model(Repository(files))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_file_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    files = tiny_folder(tmp_path)
    del files[name]
    with pytest.raises(BadRepository, match=name):
        read_model(Repository(files))


def test_a_tensor_that_no_such_model_has_is_named(tmp_path: Path) -> None:
    tiny_folder(tmp_path)
    extra = safetensors({"model.layers.0.mlp.extra.weight": ("F16", numbers("x", (4, 4)))})
    (tmp_path / "model-extra.safetensors").write_bytes(extra)
    with pytest.raises(CannotConvert, match=r"no tensor model\.layers\.0\.mlp\.extra\.weight"):
        read_model(Repository(files_of(tmp_path)))


def test_a_short_memory_is_said(tmp_path: Path) -> None:
    files = tiny_folder(tmp_path, architectures=["MistralForCausalLM"], sliding_window=128)
    (said,) = read_model(Repository(files)).said
    assert "look back 128 tokens" in said


def test_the_child_makes_the_same_file(tmp_path: Path) -> None:
    files = tiny_folder(tmp_path / "m")
    store = a_store(tmp_path / "models")
    told: list[Progress] = []
    with store.draft() as draft:
        made = finished(converted(files, draft), told)
    new = read_model(Repository(files))
    write(new, tmp_path / "m.gguf")
    assert told[0] == Step("converting model")
    assert store.blobs.path(made.digest).read_bytes() == (tmp_path / "m.gguf").read_bytes()


@pytest.mark.parametrize(
    ("content", "kind"), [(b"\xff" * 40, BadSafetensors), (b"{}", BadSafetensors)]
)
def test_a_refusal_of_the_child_is_passed_on_and_nothing_stays(
    tmp_path: Path, content: bytes, kind: type[Exception]
) -> None:
    files = tiny_folder(tmp_path / "m")
    files["model.safetensors"].write_bytes(content)
    store = a_store(tmp_path / "models")
    with (
        store.draft() as draft,
        pytest.raises(Exception, match="not a usable safetensors") as raised,
    ):
        finished(converted(files, draft))
    assert not isinstance(raised.value, WeightsLost)
    assert isinstance(raised.value, kind.__mro__[2])
    assert not blob_names(store.root)
    assert not leftovers(store.root)

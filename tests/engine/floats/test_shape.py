"""Which models the float path takes: only those of which it knows everything."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from puna.models.gguf import read_header
from puna.node.engine.floats.shape import NotFloat, read_shape
from tests.builders import a_header
from tests.tiny_models import Tiny, write_tiny

Facts = dict[str, object]
Tensors = dict[str, tuple[str, tuple[int, ...]]]


def facts(kind: str = "llama", tiny: Tiny = Tiny()) -> Facts:  # noqa: B008 - a frozen value
    return {
        "general.architecture": kind,
        f"{kind}.block_count": tiny.layers,
        f"{kind}.embedding_length": tiny.width,
        f"{kind}.feed_forward_length": tiny.inner,
        f"{kind}.attention.head_count": tiny.heads,
        f"{kind}.attention.head_count_kv": tiny.groups,
        f"{kind}.attention.layer_norm_rms_epsilon": 1e-5,
    }


def tensors(tiny: Tiny = Tiny()) -> Tensors:  # noqa: B008 - a frozen value
    return {name: ("F32", shape[::-1]) for name, shape in tiny.tensors.items()}


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_models_of_the_llama_kind_are_taken(kind: str, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny(kind=kind, has_output=True))
    shape = read_shape(read_header(path))
    assert (shape.layers, shape.width, shape.head, shape.vocabulary) == (2, 64, 16, 256)
    assert (shape.has_bias, shape.has_head_norms) == (kind == "qwen2", kind == "qwen3")


def test_the_count_of_operations_is_two_for_each_weight(tmp_path: Path) -> None:
    tiny = Tiny()
    shape = read_shape(read_header(write_tiny(tmp_path / "tiny.gguf", tiny)))
    products = [size for name, size in tiny.tensors.items() if "blk" in name and len(size) > 1]
    assert shape.token_flops == 2 * sum(rows * columns for rows, columns in products)
    assert shape.attention_flops(100) == 2 * 2 * 2 * 100 * 4 * 16


SETTINGS: Mapping[str, tuple[Facts, str]] = {
    "scaled rope": ({"llama.rope.scaling.type": "yarn"}, "setting llama.rope.scaling.type"),
    "window": ({"llama.attention.sliding_window": 512}, "setting llama.attention.sliding_window"),
    "experts": ({"llama.expert_count": 8}, "setting llama.expert_count"),
    "unheard of": ({"llama.new_trick": 1}, "setting llama.new_trick"),
    "split": ({"split.count": 3}, "spread over several files"),
    "another kind": ({"general.architecture": "gemma3"}, "its architecture is gemma3"),
    "no layers": ({"llama.block_count": "many"}, "one number for llama.block_count"),
    "no epsilon": ({"llama.attention.layer_norm_rms_epsilon": "x"}, "does not say"),
    "part of a head turns": ({"llama.rope.dimension_count": 8}, "rope.dimension_count"),
    "odd groups": ({"llama.attention.head_count_kv": 3}, "do not divide"),
    "another width": ({"llama.embedding_length": 128}, "has the shape"),
}


@pytest.mark.parametrize(("change", "words"), SETTINGS.values(), ids=SETTINGS)
def test_a_setting_that_is_not_known_is_refused_by_name(change: Facts, words: str) -> None:
    with pytest.raises(NotFloat, match=words):
        read_shape(a_header(facts() | change, tensors()))


CHANGES: Mapping[str, tuple[Callable[[Tensors], object], str]] = {
    "another tensor": (lambda some: some.update(new=("F32", (4,))), "has the tensor new"),
    "factors of rope": (
        lambda some: some.update({"rope_freqs.weight": ("F32", (8,))}),
        "has the tensor rope_freqs.weight",
    ),
    "one bias": (
        lambda some: some.update({"blk.1.attn_q.bias": ("F32", (64,))}),
        "has the tensor blk.1.attn_q.bias",
    ),
    "one too few": (lambda some: some.pop("blk.1.ffn_up.weight"), "no tensor blk.1.ffn_up.weight"),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_a_tensor_that_is_not_known_is_refused_by_name(
    change: Callable[[Tensors], object], words: str
) -> None:
    some = tensors()
    change(some)
    with pytest.raises(NotFloat, match=words):
        read_shape(a_header(facts(), some))


def test_rope_that_is_said_to_be_unscaled_is_taken() -> None:
    change = {"llama.rope.scaling.type": "none"}
    assert read_shape(a_header(facts() | change, tensors())).layers == 2

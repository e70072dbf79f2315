"""A model's shape is read from its header as llama.cpp reads it."""

import pytest

from puna.models.fit_shape import ImpossibleModel, Layer, shape_of
from puna.models.gguf import GgufHeader
from tests.builders import a_header
from tests.models.architectures import a_model, a_transformer

WIDTHS = (1024, 4096)
HEADS = (8, 2, 128)


def windowed(header: GgufHeader) -> str:
    """Write W for a layer with a window and F for one with full attention."""
    return "".join("W" if layer.has_window else "F" for layer in shape_of(header).layers)


def kinds(header: GgufHeader) -> str:
    """Write A for a layer with attention, R for a recurrent one, B for both, - for neither."""
    return "".join(_kind(layer) for layer in shape_of(header).layers)


def _kind(layer: Layer) -> str:
    names = {(True, False): "A", (False, True): "R", (True, True): "B", (False, False): "-"}
    return names[layer.key_width > 0, layer.state_size > 0]


def test_grouped_heads_keep_few_keys_and_values() -> None:
    layer = shape_of(a_transformer("llama", WIDTHS, HEADS)).layers[0]

    assert (layer.key_width, layer.value_width) == (256, 256)


def test_heads_are_as_wide_as_the_embedding_allows_where_the_file_does_not_say() -> None:
    header = a_model("llama", embedding_length=1024, attention__head_count=8)

    assert shape_of(header).layers[0] == Layer(key_width=1024, value_width=1024)


def test_each_layer_can_have_its_own_heads() -> None:
    header = a_transformer("deci", WIDTHS, HEADS, attention__head_count_kv=[2, 0, 1, 8])

    assert [layer.key_width for layer in shape_of(header).layers] == [256, 0, 128, 1024]


def test_latent_attention_keeps_no_values() -> None:
    header = a_transformer(
        "deepseek2",
        WIDTHS,
        (16, 1, 576),
        attention__key_length_mla=192,
        attention__value_length_mla=128,
    )

    assert shape_of(header).layers[0] == Layer(key_width=576, value_width=0)


@pytest.mark.parametrize(
    ("architecture", "more", "expected"),
    [
        ("llama", {}, "FFFFFFFF"),
        ("llama", {"attention__sliding_window": 512}, "FFFFFFFF"),
        ("phi3", {"attention__sliding_window": 2048}, "FFFFFFFF"),
        ("gemma2", {}, "WFWFWFWF"),
        ("gemma3", {"attention__sliding_window": 512}, "WWWWWFWW"),
        ("gemma3", {}, "FFFFFFFF"),
        ("gpt-oss", {"attention__sliding_window": 128}, "WFWFWFWF"),
        ("gptoss", {"attention__sliding_window": 128}, "WFWFWFWF"),
        ("llama4", {}, "WWWFWWWF"),
        ("llama4", {"attention__sliding_window": 0}, "FFFFFFFF"),
        ("cohere2moe", {"attention__sliding_window": 128}, "FWWWFWWW"),
        ("exaone4", {}, "FFFFFFFF"),
        (
            "gemma4",
            {
                "attention__sliding_window": 512,
                "attention__sliding_window_pattern": [1, 1, 0, 1, 1, 0, 1, 0],
            },
            "WWFWWFWF",
        ),
        ("gemma4", {"attention__sliding_window": 512}, "FFFFFFFF"),
        (
            "gemma3",
            {"attention__sliding_window": 512, "attention__sliding_window_pattern": 2},
            "WFWFWFWF",
        ),
        ("lfm2", {"attention__sliding_window": 512}, "WWWWWWWW"),
    ],
)
def test_windows_are_where_the_architecture_has_them(
    architecture: str, more: dict[str, object], expected: str
) -> None:
    header = a_transformer(architecture, WIDTHS, HEADS, block_count=8, **more)

    assert windowed(header) == expected


def test_the_large_exaone4_alone_has_windows() -> None:
    header = a_transformer("exaone4", WIDTHS, HEADS, block_count=64)

    assert windowed(header) == "WWWF" * 16
    assert shape_of(header).window == 4096


def test_windowed_layers_can_have_narrower_heads() -> None:
    header = a_transformer(
        "gemma4",
        WIDTHS,
        (8, 2, 512),
        attention__key_length_swa=256,
        attention__value_length_swa=256,
        attention__sliding_window=512,
        attention__sliding_window_pattern=[1, 0, 1, 0],
    )

    assert [layer.key_width for layer in shape_of(header).layers] == [512, 1024, 512, 1024]


@pytest.mark.parametrize(
    ("architecture", "more", "expected"),
    [
        ("llama", {}, "AAAA"),
        ("mamba2", {"ssm__inner_size": 64, "ssm__state_size": 8}, "RRRR"),
        ("rwkv7", {"wkv__head_size": 64}, "RRRR"),
        ("jamba", {"attention__head_count_kv": [0, 2, 0, 2], "ssm__inner_size": 8}, "-A-A"),
        (
            "granitehybrid",
            {
                "attention__head_count_kv": [0, 2, 0, 2],
                "ssm__inner_size": 64,
                "ssm__conv_kernel": 4,
            },
            "RARA",
        ),
        (
            "nemotron_h",
            {
                "attention__head_count_kv": [0, 0, 2, 0],
                "feed_forward_length": [0, 512, 0, 0],
                "ssm__inner_size": 64,
                "ssm__conv_kernel": 4,
            },
            "R-AR",
        ),
        ("falcon-h1", {"ssm__inner_size": 64, "ssm__conv_kernel": 4}, "BBBB"),
        ("qwen3next", {"ssm__inner_size": 64, "ssm__conv_kernel": 4}, "RRRA"),
        (
            "qwen35",
            {
                "ssm__inner_size": 64,
                "ssm__conv_kernel": 4,
                "attention__recurrent_layers": [0, 1, 1, 0],
            },
            "ARRA",
        ),
        (
            "qwen35",
            {"ssm__inner_size": 8, "ssm__conv_kernel": 4, "nextn_predict_layers": 1},
            "RRR-",
        ),
        ("glm4moe", {"nextn_predict_layers": 1}, "AAA-"),
        ("gemma4", {"attention__shared_kv_layers": 3}, "A---"),
        ("bert", {}, "----"),
    ],
)
def test_each_layer_remembers_what_its_kind_does(
    architecture: str, more: dict[str, object], expected: str
) -> None:
    assert kinds(a_transformer(architecture, WIDTHS, HEADS, **more)) == expected


@pytest.mark.parametrize(
    ("architecture", "more", "numbers"),
    [
        ("rwkv7", {"wkv__head_size": 64}, 1024 * (2 + 64)),
        ("lfm2", {"shortconv__l_cache": 3, "attention__head_count_kv": 0}, 1024 * 2),
        (
            "kimi-linear",
            {"kda__head_dim": 128, "ssm__conv_kernel": 4, "attention__head_count_kv": 0},
            3 * 3 * 8 * 128 + 8 * 128 * 128,
        ),
        ("minimax-01", {}, 8 * 128 * 128),
        (
            "mamba2",
            {
                "ssm__conv_kernel": 4,
                "ssm__inner_size": 512,
                "ssm__state_size": 16,
                "ssm__group_count": 2,
            },
            3 * (512 + 2 * 2 * 16) + 512 * 16,
        ),
    ],
)
def test_the_state_of_a_slot_has_the_architectures_size(
    architecture: str, more: dict[str, object], numbers: int
) -> None:
    header = a_transformer(architecture, WIDTHS, HEADS, **more)

    assert shape_of(header).layers[0].state_size == 4 * numbers


def test_the_vocabulary_is_counted_without_being_read() -> None:
    header = a_header(
        {
            "general.architecture": "llama",
            "llama.block_count": 1,
            "tokenizer.ggml.tokens": range(50_000),
            "tokenizer.ggml.merges": range(40_000),
        },
        {},
    )

    shape = shape_of(header)
    assert (shape.vocabulary, shape.merges) == (50_000, 40_000)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("block_count", 0),
        ("block_count", 513),
        ("block_count", 2**32),
        ("embedding_length", -1),
        ("embedding_length", 2**40),
        ("attention.head_count_kv", [1, 2]),
        ("attention.head_count_kv", [1, 2, 3, -4]),
        ("attention.head_count_kv", range(5000)),
        ("expert_used_count", 2**63),
        ("ssm.state_size", -(2**31)),
    ],
)
def test_numbers_that_no_model_can_have_are_refused(name: str, value: object) -> None:
    numbers = {"ssm__inner_size": 1, "embedding_length": 64, name.replace(".", "__"): value}

    with pytest.raises(ImpossibleModel, match=r"layers|no model"):
        shape_of(a_model("falcon-h1", **numbers))  # type: ignore[arg-type]


def test_an_unknown_architecture_counts_as_full_attention() -> None:
    known = shape_of(a_transformer("llama", WIDTHS, HEADS))
    unknown = shape_of(a_transformer("yet-to-come", WIDTHS, HEADS, attention__sliding_window=8))

    assert unknown.layers == known.layers


def test_an_architecture_with_rules_of_its_own_is_said_to_be_a_bound() -> None:
    assert shape_of(a_transformer("deepseek4", WIDTHS, HEADS)).is_upper_bound
    assert not shape_of(a_transformer("llama", WIDTHS, HEADS)).is_upper_bound

"""Details are read from the header and the templates."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from puna.models.details import Capability, ModelDetails, details_of, metadata_json
from puna.models.gguf import GgufHeader, read_header
from puna.models.tensor_types import FILE_TYPES
from tests.builders import LLAMA, LLAMA_TENSORS, Typed, a_gguf

Tensors = Mapping[str, tuple[str, Sequence[int]]]


def header_of(
    folder: Path, metadata: Mapping[str, object] = LLAMA, tensors: Tensors = LLAMA_TENSORS
) -> GgufHeader:
    path = folder / "model.gguf"
    path.write_bytes(a_gguf(metadata, tensors))
    return read_header(path)


def with_fields(folder: Path, **fields: object) -> ModelDetails:
    more = {key.replace("__", "."): value for key, value in fields.items()}
    return details_of(header_of(folder, {**LLAMA, **more}))


def test_a_plain_model_says_what_it_is(tmp_path: Path) -> None:
    details = details_of(header_of(tmp_path))

    assert details.format == "gguf"
    assert (details.family, details.families) == ("llama", ("llama",))
    assert details.quantization_level == "Q4_0"
    assert details.parameter_count == 64 * 32 + 2 * 64 * 64 + 64
    assert details.parameter_size == "10K"
    assert (details.context_length, details.embedding_length) == (2048, 64)
    assert details.sorted_capabilities == (Capability.COMPLETION,)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "F32"),
        (1, "F16"),
        (2, "Q4_0"),
        (3, "Q4_1"),
        (7, "Q8_0"),
        (14, "Q4_K_S"),
        (15, "Q4_K_M"),
        (18, "Q6_K"),
        (30, "IQ4_XS"),
        (32, "BF16"),
        (38, "MXFP4"),
        (1024 + 15, "Q4_K_M"),
        (4, "unknown"),
        (999, "unknown"),
    ],
)
def test_the_file_type_has_the_name_that_people_know(
    tmp_path: Path, number: int, name: str
) -> None:
    assert with_fields(tmp_path, general__file_type=number).quantization_level == name


def test_without_a_file_type_the_largest_part_counts(tmp_path: Path) -> None:
    tensors = {"a": ("F32", (8,)), "b": ("Q4_K", (256, 8)), "c": ("Q8_0", (32,))}

    details = details_of(header_of(tmp_path, {"general.architecture": "llama"}, tensors))

    assert details.quantization_level == "Q4_K"


def test_an_empty_file_has_unknown_details(tmp_path: Path) -> None:
    details = details_of(header_of(tmp_path, {}, {}))

    assert (details.family, details.quantization_level) == ("unknown", "unknown")
    assert (details.parameter_count, details.parameter_size) == (0, "0")
    assert (details.context_length, details.embedding_length) == (None, None)


@pytest.mark.parametrize("value", ["many", 1.5, True, [2048], Typed("i", -1), Typed("i", 0)])
def test_a_context_of_the_wrong_kind_is_no_context(tmp_path: Path, value: object) -> None:
    assert with_fields(tmp_path, llama__context_length=value).context_length is None


def test_parameters_are_counted_not_believed(tmp_path: Path) -> None:
    details = with_fields(tmp_path, general__parameter_count=8_000_000_000)

    assert details.parameter_size == "10K"


def test_the_first_of_several_files_speaks_for_all(tmp_path: Path) -> None:
    claim = {"general__parameter_count": Typed("Q", 70_553_706_496), "split__count": Typed("H", 3)}

    assert with_fields(tmp_path, **claim).parameter_size == "70.6B"


JINJA = "tokenizer__chat_template"


@pytest.mark.parametrize(
    ("fields", "capability"),
    [
        ({JINJA: "{% if tools %}{{ tools | tojson }}{% endif %}"}, Capability.TOOLS),
        ({JINJA: "<think>\n{{ x }}</think>"}, Capability.THINKING),
        ({JINJA: "{% if enable_thinking is defined %}"}, Capability.THINKING),
        ({JINJA: "<|START_THINKING|>{{ x }}"}, Capability.THINKING),
        ({JINJA: "<|channel>thought"}, Capability.THINKING),
        ({JINJA: "<seed:think>"}, Capability.THINKING),
        ({"general__architecture": "gpt-oss"}, Capability.THINKING),
        ({"llama__vision__block_count": 24}, Capability.VISION),
        ({"clip__has_audio_encoder": True}, Capability.AUDIO),
        (
            {"tokenizer__ggml__fim_pre_token_id": 1, "tokenizer__ggml__fim_suf_token_id": 2},
            Capability.INSERT,
        ),
        (
            {"tokenizer__ggml__prefix_token_id": 1, "tokenizer__ggml__suffix_token_id": 2},
            Capability.INSERT,
        ),
    ],
)
def test_an_ability_shows_in_the_header(
    tmp_path: Path, fields: dict[str, object], capability: Capability
) -> None:
    assert with_fields(tmp_path, **fields).capabilities == {Capability.COMPLETION, capability}


@pytest.mark.parametrize(
    ("template", "capability"),
    [
        ("{{ if .Tools }}{{ .Tools }}{{ end }}", Capability.TOOLS),
        ("{{ .Prompt }}<fim>{{ .Suffix }}", Capability.INSERT),
        ("<think>{{ .Thinking }}</think>", Capability.THINKING),
    ],
)
def test_an_ability_shows_in_a_go_template(
    tmp_path: Path, template: str, capability: Capability
) -> None:
    details = details_of(header_of(tmp_path), go_template=template)

    assert details.sorted_capabilities == (Capability.COMPLETION, capability)


@pytest.mark.parametrize("template", ["{{ message.tool_calls }}", "stools", "rethinking"])
def test_a_word_inside_another_is_no_ability(tmp_path: Path, template: str) -> None:
    assert with_fields(tmp_path, **{JINJA: template}).capabilities == {Capability.COMPLETION}


def test_a_projector_gives_sight(tmp_path: Path) -> None:
    eye = {"general.architecture": "clip", "clip.has_vision_encoder": True}
    projector = header_of(tmp_path, eye, {})

    details = details_of(header_of(tmp_path), projectors=[projector])

    assert details.families == ("llama", "clip")
    assert Capability.VISION in details.capabilities


@pytest.mark.parametrize(
    "fields",
    [
        {"general__architecture": "bert"},
        {"general__architecture": "nomic-bert"},
        {"llama__pooling_type": 3, JINJA: "{{ tools }}"},
    ],
)
def test_an_embedding_model_does_nothing_else(tmp_path: Path, fields: dict[str, object]) -> None:
    assert with_fields(tmp_path, **fields).capabilities == {Capability.EMBEDDING}


def test_no_pooling_is_no_embedding_model(tmp_path: Path) -> None:
    assert Capability.COMPLETION in with_fields(tmp_path, llama__pooling_type=0).capabilities


def test_model_info_hides_name_and_template_and_shortens_arrays(tmp_path: Path) -> None:
    fields = {**LLAMA, "tokenizer.ggml.tokens": ["a"] * 5000, "empty": [], "ints": [1, 2]}
    header = header_of(tmp_path, fields)

    short, verbose = metadata_json(header), metadata_json(header, verbose=True)

    assert not {"general.name", "tokenizer.chat_template"} & set(short)
    assert short["general.parameter_count"] == 10304
    assert (short["tokenizer.ggml.tokens"], short["ints"], short["empty"]) == (None, None, [])
    assert verbose["tokenizer.ggml.tokens"] == ["a"] * 5000
    assert verbose["ints"] == [1, 2]


def test_model_info_is_json_even_where_the_file_holds_no_numbers(tmp_path: Path) -> None:
    odd = [float("nan"), float("-inf"), 1.0]
    header = header_of(tmp_path, {"nan": odd[0], "inf": Typed("d", -odd[1]), "array": odd})

    shown = metadata_json(header, verbose=True)

    assert (shown["nan"], shown["inf"], shown["array"]) == (None, None, [None, None, 1.0])
    assert json.dumps(shown, allow_nan=False)


def test_a_float_of_32_bits_is_written_with_the_digits_that_it_has(tmp_path: Path) -> None:
    numbers = [1e-05, 0.1, 10000.0, 3.4028235e38]
    header = header_of(tmp_path, {"llama.epsilon": 1e-05, "llama.factors": numbers})
    shown = metadata_json(header, verbose=True)
    assert shown["llama.epsilon"] == 1e-05
    assert shown["llama.factors"] == numbers


def test_file_types_have_one_name_each() -> None:
    assert len(set(FILE_TYPES.values())) == len(FILE_TYPES)

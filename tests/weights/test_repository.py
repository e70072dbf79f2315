"""The files of a model by their names: found, limited, and read in one meaning."""

import json
from pathlib import Path

import pytest

from puna.library.weights.repository import BadRepository, Repository
from tests.weights.builders import numbers
from tests.weights.huggingface import safetensors


def a_repository(folder: Path, **contents: bytes) -> Repository:
    """Return files; two underscores in a name stand for a slash, one for a dot."""
    paths = {}
    for name, content in contents.items():
        own = name.replace("__", "/").replace("_", ".")
        paths[own] = folder / name
        paths[own].write_bytes(content)
    return Repository(paths)


def weights(name: str) -> bytes:
    return safetensors({name: ("F32", numbers(name, (4, 2)))})


def test_files_one_folder_down_are_found_by_their_names_there(tmp_path: Path) -> None:
    files = a_repository(tmp_path, inner__config_json=b'{"a": 1}', other__x_json=b"{}")
    assert files.json("config.json") == {"a": 1}
    assert not files.has("x.json")


def test_tensors_of_all_files_are_together(tmp_path: Path) -> None:
    files = a_repository(tmp_path, a_safetensors=weights("x"), b_safetensors=weights("y"))
    assert sorted(files.tensors()) == ["x", "y"]


def test_the_same_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    files = a_repository(tmp_path, a_safetensors=weights("x"), b_safetensors=weights("x"))
    with pytest.raises(BadRepository, match="two files hold a tensor x"):
        files.tensors()


def test_other_copies_of_the_weights_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(weights("x"))
    (tmp_path / "m").write_bytes(weights("y"))
    names = {"consolidated.safetensors": tmp_path / "c", "model.safetensors": tmp_path / "m"}
    assert list(Repository(names).tensors()) == ["y"]


def test_an_index_is_believed_in_nothing(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(weights("x"))
    (tmp_path / "i").write_text(json.dumps({"weight_map": {"z": "model.safetensors"}}))
    names = {"model.safetensors": tmp_path / "m", "model.safetensors.index.json": tmp_path / "i"}
    with pytest.raises(BadRepository, match="z is in no file, though"):
        Repository(names).tensors()
    (tmp_path / "i").write_text(json.dumps({"weight_map": [1]}))
    with pytest.raises(BadRepository, match="no usable weight_map"):
        Repository(names).tensors()


def test_no_weights_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadRepository, match="there are no weights"):
        a_repository(tmp_path, config_json=b"{}").tensors()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[]", "config.json holds no object"),
        (b'{"a": 1, "a": 2}', "a key twice"),
        (b"\xff", "it is not UTF-8"),
        (b"{", "it is not JSON"),
    ],
)
def test_json_that_is_wrong_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(BadRepository, match=reason):
        a_repository(tmp_path, config_json=content).json("config.json")


def test_a_text_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRepository, match=r"template\.jinja is not UTF-8"):
        a_repository(tmp_path, template_jinja=b"\xff").text("template.jinja")


def test_a_file_that_has_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadRepository, match=r"config\.json cannot be read"):
        Repository({"config.json": tmp_path / "gone"}).json("config.json")

"""Which files a path in a Modelfile stands for."""

from pathlib import Path

import pytest

from puna.cli.model_files import model_files
from puna.errors import Invalid
from puna.library.weights.made import CannotConvert
from puna.library.weights.split import PartMissing


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_a_file_stands_for_itself(tmp_path: Path) -> None:
    fill(tmp_path, "model.gguf", "config.json")
    assert list(model_files(tmp_path / "model.gguf")) == ["model.gguf"]


def test_a_part_stands_for_all_of_its_model(tmp_path: Path) -> None:
    fill(tmp_path, "m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "other.gguf")
    found = model_files(tmp_path / "m-00002-of-00002.gguf")
    assert list(found) == ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]
    (tmp_path / "m-00001-of-00002.gguf").unlink()
    with pytest.raises(PartMissing, match=r"m-00001-of-00002\.gguf: a split model needs all its 2"):
        model_files(tmp_path / "m-00002-of-00002.gguf")


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "config.json"],
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "config.json"],
        ),
        (
            ["model.safetensors", "consolidated.safetensors", "tokenizer.model", "README.md"],
            ["model.safetensors", "tokenizer.model"],
        ),
        (
            ["adapter_model.safetensors", "adapter_config.json"],
            ["adapter_model.safetensors", "adapter_config.json"],
        ),
        (
            ["inner/model.safetensors", "inner/config.json", "notes.json"],
            ["inner/model.safetensors", "inner/config.json"],
        ),
        (["model.safetensors", "model.gguf"], ["model.safetensors"]),
        (["a.gguf", "mmproj.gguf", "config.json"], ["a.gguf", "mmproj.gguf"]),
    ],
)
def test_a_folder_stands_for_its_weights_and_what_tells_of_them(
    tmp_path: Path, names: list[str], taken: list[str]
) -> None:
    assert sorted(model_files(fill(tmp_path, *names))) == sorted(taken)


def test_weights_of_pytorch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotConvert, match="as PyTorch writes them"):
        model_files(fill(tmp_path, "pytorch_model.bin", "config.json"))


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no Modelfile or safetensors files found"):
        model_files(fill(tmp_path, "notes.txt"))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = fill(tmp_path / "m", "model.safetensors")
    (tmp_path / "secret.json").write_bytes(b"{}")
    (folder / "config.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(Invalid, match=r"insecure path: .* leads out of"):
        model_files(folder)


def test_the_cache_of_hugging_face_may_link_to_its_own_blobs(tmp_path: Path) -> None:
    repository = fill(tmp_path / "models--org--name", "blobs/123")
    folder = fill(repository / "snapshots" / "abc", "config.json")
    (folder / "model.safetensors").symlink_to(repository / "blobs" / "123")
    assert sorted(model_files(folder)) == ["config.json", "model.safetensors"]

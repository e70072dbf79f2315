import contextlib
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from puna.library.manifests import AmbiguousName, Manifests, UnreadableManifest, UnsafeStore
from puna.library.store import ModelStore
from puna.models.manifest import DamagedManifest, Manifest
from puna.models.name import InvalidName, ModelName
from tests.builders import a_manifest
from tests.stores import put, put_manifest
from tests.worlds import FakeWorld


@pytest.fixture
def manifests(tmp_path: Path) -> Manifests:
    return Manifests(tmp_path / "manifests")


def names(manifests: Manifests) -> list[str]:
    return sorted(file.name.shortest for file in manifests.files())


def test_a_manifest_keeps_its_bytes_and_its_id(tmp_path: Path, manifests: Manifests) -> None:
    raw = b"\n  " + a_manifest() + b"\t\n"
    put_manifest(tmp_path, "odd", raw)
    (file,) = manifests.files()
    manifest = manifests.read(file)
    assert manifest.raw == raw
    assert manifest.digest.hex == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize("asked", ["mistral", "MISTRAL", "Mistral:Latest", "LIBRARY/mistral"])
def test_a_name_is_found_whatever_its_case(
    tmp_path: Path, manifests: Manifests, asked: str
) -> None:
    put(tmp_path, "Mistral")
    file = manifests.find(ModelName.parse(asked))
    assert file is not None
    assert file.name.shortest == "Mistral:latest"


def test_of_names_that_differ_in_case_the_exact_one_is_meant(
    tmp_path: Path, manifests: Manifests
) -> None:
    put(tmp_path, "Mistral", b"one")
    put(tmp_path, "mistral", b"two")
    file = manifests.find(ModelName.parse("Mistral"))
    assert file is not None
    assert file.name.model == "Mistral"


def test_a_name_that_means_two_models_is_refused(tmp_path: Path, manifests: Manifests) -> None:
    put(tmp_path, "Mistral", b"one")
    put(tmp_path, "mistral", b"two")
    with pytest.raises(AmbiguousName, match='"Mistral:latest" and "mistral:latest"'):
        manifests.find(ModelName.parse("MISTRAL"))


@pytest.mark.parametrize(
    "path",
    ["tag", "library/m/tag", "h/library/m/tag/more", "h/library/m/.DS_Store", "h/library/-m/tag"],
)
def test_what_is_not_four_levels_of_valid_names_is_passed_over(
    tmp_path: Path, manifests: Manifests, path: str
) -> None:
    stray = tmp_path / "manifests" / path
    stray.parent.mkdir(parents=True)
    stray.write_bytes(a_manifest())
    put(tmp_path, "good")
    assert names(manifests) == ["good:latest"]


@pytest.mark.parametrize("level", range(4))
def test_a_link_out_of_the_store_is_no_model(
    tmp_path: Path, manifests: Manifests, level: int
) -> None:
    outside = tmp_path / "outside"
    put(outside, "secret")
    parts = ModelName("secret").path_parts
    link = tmp_path.joinpath("manifests", *parts[: level + 1])
    link.parent.mkdir(parents=True)
    link.symlink_to(outside.joinpath("manifests", *parts[: level + 1]))
    assert names(manifests) == []
    with pytest.raises(UnreadableManifest, match="leads out of the store"):
        manifests.find(ModelName("secret"))


def test_a_link_that_stays_in_the_store_is_a_model(tmp_path: Path, manifests: Manifests) -> None:
    put(tmp_path, "real")
    folder = tmp_path.joinpath("manifests", *ModelName("real").path_parts[:3])
    folder.with_name("alias").symlink_to(folder)
    assert names(manifests) == ["alias:latest", "real:latest"]


def test_a_store_behind_a_link_is_an_ordinary_store(tmp_path: Path) -> None:
    put(tmp_path / "disk", "good")
    (tmp_path / "models").symlink_to(tmp_path / "disk")
    assert names(Manifests(tmp_path / "models" / "manifests")) == ["good:latest"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b'{"layers": 5}', b"x" * 10**7])
def test_a_damaged_manifest_is_reported_by_name(
    tmp_path: Path, manifests: Manifests, raw: bytes
) -> None:
    put_manifest(tmp_path, "broken:7b", raw)
    (file,) = manifests.files()
    with pytest.raises(DamagedManifest, match='"broken:7b"'):
        manifests.read(file)


def test_a_pipe_in_place_of_a_manifest_does_not_hang(tmp_path: Path, manifests: Manifests) -> None:
    path = put_manifest(tmp_path, "pipe", b"")
    path.unlink()
    os.mkfifo(path)
    (file,) = manifests.files()
    with pytest.raises(UnreadableManifest, match=r'"pipe:latest".*named pipe'):
        manifests.read(file)


def test_nothing_is_written_through_a_link_out_of_the_store(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    store = ModelStore(tmp_path / "store", FakeWorld())
    store.manifests.folder.mkdir(parents=True)
    (store.manifests.folder / "registry.ollama.ai").symlink_to(outside)
    with store.draft() as draft, pytest.raises(UnsafeStore):
        store.manifests.write(
            ModelName("tiny"), Manifest.parse(a_manifest()), scratch=draft.scratch
        )
    assert list(outside.rglob("latest")) == []


def test_a_name_without_a_store_is_not_there(manifests: Manifests) -> None:
    assert manifests.find(ModelName("tiny")) is None


@given(st.from_regex(r"[A-Za-z0-9_.:/~\\-]{1,40}", fullmatch=True))
def test_no_text_that_passes_as_a_name_leads_out_of_the_store(text: str) -> None:
    folder = Path("/store/manifests")
    with contextlib.suppress(InvalidName):
        path = folder.joinpath(*ModelName.parse(text).path_parts)
        assert Path(os.path.normpath(path)) == path
        assert len(path.relative_to(folder).parts) == 4

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from puna.library.blobs import BlobMissing, Blobs, DigestMismatch, is_partial, partial_name
from puna.library.store import ModelStore
from puna.models.digest import Digest, digest_of
from tests.stores import blob_name, blob_names, leftovers, put_blob
from tests.worlds import FakeWorld

TEXT = b"some text of a model"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path, FakeWorld())


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
def test_everyone_may_read_a_blob_whatever_the_umask(store: ModelStore) -> None:
    with store.draft() as draft:
        digest = draft.write(TEXT)
    assert stat.S_IMODE(store.blobs.path(digest).stat().st_mode) == 0o644


def test_a_blob_is_named_by_its_digest_and_read_back(store: ModelStore) -> None:
    with store.draft() as draft:
        digest = draft.write(TEXT)
    assert blob_names(store.root) == {blob_name(TEXT)}
    assert store.blobs.read(digest) == TEXT


def test_other_content_than_announced_is_refused_and_not_kept(store: ModelStore) -> None:
    with (
        store.draft() as draft,
        pytest.raises(DigestMismatch, match="must be downloaded again"),
        draft.receive(digest_of(TEXT)) as incoming,
    ):
        incoming.write(TEXT[:-1])
    assert blob_names(store.root) == set()


def test_an_error_in_the_middle_leaves_nothing(store: ModelStore) -> None:
    with pytest.raises(ZeroDivisionError):
        write_half(store)
    assert blob_names(store.root) == set()
    assert leftovers(store.root) == set()


def write_half(store: ModelStore) -> None:
    with store.draft() as draft, draft.receive(digest_of(TEXT)) as incoming:
        incoming.write(TEXT[:5])
        raise ZeroDivisionError


def test_a_blob_on_its_way_in_is_no_state_of_an_ollama_download(store: ModelStore) -> None:
    """Ollama reads every `sha256-<digest>-partial-*` of a blob that it pulls as JSON of its own."""
    with store.draft() as draft, draft.receive(digest_of(TEXT)) as incoming:
        (name,) = blob_names(store.root)
        incoming.write(TEXT)
    assert is_partial(name)
    assert not name.startswith(blob_name(TEXT))


def test_a_written_blob_is_not_written_again(store: ModelStore) -> None:
    with store.draft() as draft:
        first = store.blobs.path(draft.write(TEXT)).stat().st_ino
        assert store.blobs.path(draft.write(TEXT)).stat().st_ino == first


def test_a_blob_of_the_wrong_size_is_written_again(store: ModelStore) -> None:
    put_blob(store.root, TEXT).write_bytes(b"cut")
    with store.draft() as draft:
        digest = draft.write(TEXT)
    assert store.blobs.read(digest) == TEXT


def test_ollamas_first_names_of_blobs_are_understood(tmp_path: Path) -> None:
    put_blob(tmp_path, TEXT).rename(tmp_path / "blobs" / digest_of(TEXT))
    assert Blobs(tmp_path / "blobs").read(digest_of(TEXT)) == TEXT


def a_sparse_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


MAKE: dict[str, Callable[[Path], None]] = {
    "absent": lambda _: None,
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "too long": a_sparse_file,
}


@pytest.mark.parametrize("kind", MAKE)
def test_what_is_no_small_file_is_no_text(tmp_path: Path, kind: str) -> None:
    path = put_blob(tmp_path, TEXT)
    path.unlink()
    MAKE[kind](path)
    with pytest.raises(BlobMissing, match=digest_of(TEXT)):
        Blobs(tmp_path / "blobs").read(digest_of(TEXT))


@pytest.mark.parametrize(
    ("name", "partial"),
    [
        (partial_name("0" * 64), True),
        (blob_name(TEXT), False),
        (f"{blob_name(TEXT)}-partial-3", False),
        (f"../{blob_name(TEXT)}-partial", False),
    ],
)
def test_only_puna_s_own_partial_files_are_known_by_name(*, name: str, partial: bool) -> None:
    assert is_partial(name) is partial


def test_a_file_is_adopted_by_a_second_name_for_it(store: ModelStore, tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(TEXT)
    with store.draft() as draft:
        draft.adopt(source, digest_of(TEXT), len(TEXT))
    assert store.blobs.path(digest_of(TEXT)).samefile(source)


def test_a_file_that_others_may_not_read_is_adopted_by_a_copy(
    store: ModelStore, tmp_path: Path
) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(TEXT)
    source.chmod(0o600)
    with store.draft() as draft:
        draft.adopt(source, digest_of(TEXT), len(TEXT))
    adopted = store.blobs.path(digest_of(TEXT))
    assert not adopted.samefile(source)
    assert adopted.read_bytes() == TEXT


@pytest.mark.parametrize("mode", [0o644, 0o600], ids=["by link", "by copy"])
def test_a_file_that_is_not_what_it_should_be_is_not_adopted(
    store: ModelStore, tmp_path: Path, mode: int
) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(b"other")
    source.chmod(mode)
    with store.draft() as draft, pytest.raises(DigestMismatch):
        draft.adopt(source, digest_of(TEXT), len(TEXT))
    assert blob_names(store.root) == set()


def test_a_digest_in_capitals_is_the_same_blob(store: ModelStore) -> None:
    with store.draft() as draft:
        digest = draft.write(TEXT)
    assert store.blobs.read(Digest(f"sha256:{digest.hex.upper()}")) == TEXT

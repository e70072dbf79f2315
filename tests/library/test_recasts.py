"""Translated files: made once beside the blobs, made again if touched, gone with their blob."""

from pathlib import Path

import pytest

from puna.library.disk import StoreFull, StoreReadOnly
from puna.library.recasts import Recasts
from puna.library.store import ModelStore
from puna.models.former.forms import former_of
from puna.models.former.recast import Recast
from puna.models.gguf import read_header
from puna.models.name import ModelName
from puna.world import RealWorld
from tests.builders import a_gguf
from tests.stores import put

OLD = a_gguf({"general.architecture": "olmo3", "olmo3.block_count": 2})


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    put(tmp_path, "old", OLD)
    return ModelStore(tmp_path, RealWorld())


@pytest.fixture
def recasts(store: ModelStore) -> Recasts:
    return Recasts(store.recast_folder, store.draft)


def a_recast(path: Path) -> Recast:
    former = former_of(read_header(path))
    assert former is not None
    return former.text


def the_blob(store: ModelStore) -> Path:
    return next(path for path in store.blobs.folder.iterdir() if path.read_bytes() == OLD)


def test_a_file_is_made_once(store: ModelStore, recasts: Recasts) -> None:
    made = recasts.path(a_recast(the_blob(store)), "text")
    first = made.stat()
    assert read_header(made).architecture == "olmo2"
    assert recasts.path(a_recast(the_blob(store)), "text") == made
    assert made.stat() == first


def test_the_blob_stays_as_it_is(store: ModelStore, recasts: Recasts) -> None:
    recasts.path(a_recast(the_blob(store)), "text")
    assert the_blob(store).read_bytes() == OLD


def test_one_that_was_touched_is_made_again(store: ModelStore, recasts: Recasts) -> None:
    made = recasts.path(a_recast(the_blob(store)), "text")
    whole = made.read_bytes()
    made.write_bytes(b"something else")
    assert recasts.path(a_recast(the_blob(store)), "text").read_bytes() == whole


def test_it_goes_with_its_model(store: ModelStore, recasts: Recasts) -> None:
    made = recasts.path(a_recast(the_blob(store)), "text")
    store.remove(ModelName.parse("old"))
    assert not list(made.parent.iterdir())


def test_pruning_keeps_what_is_in_use(store: ModelStore, recasts: Recasts) -> None:
    made = recasts.path(a_recast(the_blob(store)), "text")
    store.prune()
    assert made.exists()


def test_a_file_outside_the_store_has_one_as_long_as_it_stays(
    store: ModelStore, recasts: Recasts, tmp_path: Path
) -> None:
    outside = tmp_path / "old.gguf"
    outside.write_bytes(OLD)
    made = recasts.path(a_recast(outside), "text")
    store.prune()
    assert made.exists()
    outside.write_bytes(OLD + bytes(32))
    store.prune()
    assert not made.exists()


@pytest.mark.parametrize("error", [StoreFull("store is full"), StoreReadOnly("is read-only")])
def test_without_room_a_file_that_works_is_named(
    store: ModelStore, tmp_path: Path, error: Exception
) -> None:
    def no_draft() -> None:
        raise error

    outside = tmp_path / "old.gguf"
    outside.write_bytes(a_gguf({"general.architecture": "gptoss"}))
    recasts = Recasts(store.recast_folder, no_draft)  # type: ignore[arg-type]
    with pytest.raises(type(error), match=r"has to be put into llama\.cpp's form, and") as caught:
        recasts.path(a_recast(outside), "text")
    assert "hf.co/ggml-org/gpt-oss-20b-GGUF" in str(getattr(caught.value, "hint", ""))

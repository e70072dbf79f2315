from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from puna.library.blobs import BlobMissing
from puna.library.store import ModelNotFound, ModelStore
from puna.models.manifest import Manifest
from puna.models.name import ModelName
from tests.builders import a_config, a_layer, a_manifest
from tests.stores import blob_name, blob_names, leftovers, put, put_blob, put_manifest
from tests.worlds import FakeWorld

TINY = ModelName("tiny")
CONFIG = a_config()


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path, FakeWorld())


def publish(store: ModelStore, name: ModelName, weights: bytes) -> ModelName:
    manifest = Manifest.parse(a_manifest(a_layer("model", weights), config=CONFIG))
    with store.draft() as draft:
        draft.write(CONFIG)
        draft.write(weights)
        return store.publish(draft, name, manifest)


def stored_names(store: ModelStore) -> set[str]:
    return {file.name.shortest for file in store.manifests.files()}


def test_a_published_model_is_there_and_nothing_else(store: ModelStore) -> None:
    publish(store, TINY, b"weights")
    assert stored_names(store) == {"tiny:latest"}
    assert blob_names(store.root) == {blob_name(b"weights"), blob_name(CONFIG)}
    assert leftovers(store.root) == set()


@pytest.mark.parametrize("content", [None, b"cut"], ids=["absent", "of another size"])
def test_a_model_without_all_its_blobs_is_not_published(
    store: ModelStore, content: bytes | None
) -> None:
    manifest = Manifest.parse(a_manifest(a_layer("model", b"weights"), config=CONFIG))
    if content is not None:
        put_blob(store.root, b"weights").write_bytes(content)
    with store.draft() as draft, pytest.raises(BlobMissing, match="of tiny:latest"):
        store.publish(draft, TINY, manifest)
    assert stored_names(store) == set()


def test_publishing_over_a_model_removes_what_only_the_old_one_used(store: ModelStore) -> None:
    publish(store, TINY, b"old")
    publish(store, TINY, b"new")
    assert blob_names(store.root) == {blob_name(b"new"), blob_name(CONFIG)}


def test_publishing_adopts_the_case_that_is_stored(store: ModelStore) -> None:
    publish(store, ModelName("Tiny"), b"old")
    assert publish(store, ModelName("TINY"), b"new").model == "Tiny"
    assert stored_names(store) == {"Tiny:latest"}


def test_removing_keeps_what_another_model_uses(store: ModelStore) -> None:
    put(store.root, "one", b"weights", system=b"be kind")
    put(store.root, "two", b"weights")
    removed = store.remove(ModelName("ONE"))
    assert removed.name.shortest == "one:latest"
    assert removed.freed == len(b"be kind")
    assert blob_names(store.root) == {blob_name(b"weights"), blob_name(CONFIG)}


def test_removing_the_last_model_leaves_no_empty_folders(store: ModelStore) -> None:
    put(store.root, "hf.co/user/model:Q4_0")
    store.remove(ModelName.parse("hf.co/user/model:Q4_0"))
    assert list(store.manifests.folder.iterdir()) == []
    assert blob_names(store.root) == set()


def test_removing_leaves_the_neighbours_folder(store: ModelStore) -> None:
    put(store.root, "tiny:1b")
    put(store.root, "tiny:2b")
    store.remove(ModelName("tiny", "1b"))
    assert stored_names(store) == {"tiny:2b"}


@pytest.mark.parametrize(("typed", "shown"), [("", "tiny"), ("Tiny:latest", "Tiny:latest")])
def test_what_is_not_there_cannot_be_removed(store: ModelStore, typed: str, shown: str) -> None:
    with pytest.raises(ModelNotFound) as raised:
        store.remove(TINY, typed=typed)
    assert raised.value.message == f"model '{shown}' not found"
    assert not (store.root / ".puna").exists()


def test_a_damaged_model_can_be_removed_with_its_blobs(store: ModelStore) -> None:
    whole = put(store.root, "tiny", b"weights").raw
    put_manifest(store.root, "tiny", whole[:-10])
    store.remove(TINY)
    assert blob_names(store.root) == set()
    assert stored_names(store) == set()


def test_a_damaged_manifest_protects_the_blobs_that_it_still_names(store: ModelStore) -> None:
    put(store.root, "one", b"shared")
    put_manifest(store.root, "broken", a_manifest(a_layer("model", b"shared"))[:-1])
    store.remove(ModelName("one"))
    assert blob_names(store.root) == {blob_name(b"shared")}


def test_digests_that_are_written_in_another_way_still_protect_their_blobs(
    store: ModelStore,
) -> None:
    put(store.root, "one", b"shared")
    raw = put(store.root, "two", b"shared").raw
    put_manifest(store.root, "two", raw.replace(b"sha256:", rb"sha256\u003a"))
    store.remove(ModelName("one"))
    assert blob_name(b"shared") in blob_names(store.root)


def test_where_a_manifest_cannot_be_read_blobs_stay(store: ModelStore, tmp_path: Path) -> None:
    put(store.root, "one", b"shared")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (store.manifests.folder / "hf.co").symlink_to(elsewhere)
    removed = store.remove(ModelName("one"))
    assert removed.freed == 0
    assert blob_name(b"shared") in blob_names(store.root)


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["put a", "put b", "rm a", "rm b"]), max_size=8))
def test_a_model_that_is_there_has_all_its_blobs(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    store = ModelStore(tmp_path_factory.mktemp("store"), FakeWorld())
    for number, step in enumerate(steps):
        verb, _, name = step.partition(" ")
        if verb == "put":
            publish(store, ModelName(name), b"%d" % (number % 3))
        elif store.manifests.find(ModelName(name)):
            store.remove(ModelName(name))
    named = {
        layer.digest.blob_name
        for file in store.manifests.files()
        for layer in store.manifests.read(file).blobs
    }
    assert blob_names(store.root) == named

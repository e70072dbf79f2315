import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from puna.library.blobs import BlobFile
from puna.library.store import ModelStore, Pruned, prunable
from puna.units import Size
from tests.builders import a_config
from tests.stores import blob_name, blob_names, put, put_blob, put_manifest
from tests.worlds import NOON, FakeWorld

OLD = NOON - timedelta(hours=2)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path, FakeWorld())


def make_old(path: Path) -> Path:
    os.utime(path, (OLD.timestamp(), OLD.timestamp()))
    return path


@pytest.mark.parametrize(
    ("age", "used", "held", "goes"),
    [
        (timedelta(hours=2), False, False, True),
        (timedelta(minutes=59), False, False, False),
        (timedelta(hours=1), False, False, False),
        (timedelta(hours=-5), False, False, False),
        (timedelta(days=900), True, False, False),
        (timedelta(days=900), False, True, False),
    ],
    ids=["old", "young", "one hour", "from the future", "used", "held by a writer"],
)
def test_what_goes(*, age: timedelta, used: bool, held: bool, goes: bool) -> None:
    file = BlobFile("sha256-x", Size(1), NOON - age)
    names = frozenset({"sha256-x"})
    gone = prunable(
        [file], used=names if used else frozenset(), held=names if held else frozenset(), now=NOON
    )
    assert gone == ((file,) if goes else ())


def test_old_files_that_no_model_uses_are_removed(store: ModelStore) -> None:
    put(store.root, "tiny", b"weights")
    for path in (store.root / "blobs").iterdir():
        make_old(path)
    make_old(put_blob(store.root, b"unused"))
    make_old(put_blob(store.root, b"?").rename(store.root / "blobs" / "a strange name"))
    put_blob(store.root, b"young")
    assert store.prune() == Pruned(files=2, freed=Size(len(b"unused") + 1))
    kept = {blob_name(content) for content in (b"weights", a_config(), b"young")}
    assert blob_names(store.root) == kept


def test_a_damaged_manifest_stops_all_pruning(store: ModelStore) -> None:
    put_manifest(store.root, "broken", b"{")
    make_old(put_blob(store.root, b"unused"))
    pruned = store.prune()
    assert '"broken:latest"' in pruned.skipped
    assert blob_names(store.root) == {blob_name(b"unused")}


def test_a_link_out_of_the_store_stops_all_pruning(store: ModelStore, tmp_path: Path) -> None:
    make_old(put_blob(store.root, b"unused"))
    store.manifests.folder.mkdir()
    (store.manifests.folder / "hf.co").symlink_to(tmp_path / "another disk")
    assert "leads out" in store.prune().skipped
    assert blob_names(store.root) == {blob_name(b"unused")}


def test_empty_folders_of_names_go(store: ModelStore) -> None:
    put(store.root, "tiny")
    (store.manifests.folder / "hf.co" / "user" / "gone").mkdir(parents=True)
    store.prune()
    assert [path.name for path in store.manifests.folder.iterdir()] == ["registry.ollama.ai"]


def test_ollamas_first_names_become_those_of_today(store: ModelStore) -> None:
    manifest = put(store.root, "tiny", b"weights")
    path = store.blobs.path(manifest.layers[0].digest)
    path.rename(path.with_name(str(manifest.layers[0].digest)))
    store.prune()
    assert blob_name(b"weights") in blob_names(store.root)


def test_pruning_where_no_store_is_makes_none(tmp_path: Path) -> None:
    assert ModelStore(tmp_path / "none", FakeWorld()).prune() == Pruned()
    assert list(tmp_path.iterdir()) == []


def test_a_clock_that_jumped_ahead_does_not_harm_a_running_writer(store: ModelStore) -> None:
    world = FakeWorld(seed=2, start=datetime(2040, 1, 1, tzinfo=UTC))
    with store.draft() as draft:
        draft.write(b"half a model")
        assert ModelStore(store.root, world).prune().files == 0
    assert blob_names(store.root) == {blob_name(b"half a model")}

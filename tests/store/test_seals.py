"""A damaged blob is refused by name; a whole one is read once."""

import os
from pathlib import Path

import pytest

from puna.library.blobs import BlobDamaged
from puna.library.store import ModelStore
from puna.models.digest import Digest, digest_of
from puna.world import RealWorld
from tests.stores import blob_name, put_blob

CONTENT = os.urandom(10_000)
DIGEST = digest_of(CONTENT)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path, RealWorld())


def flip_a_bit(path: Path, *, at: int = 5000) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def seal(store: ModelStore, digest: Digest = DIGEST) -> Path:
    return store.root / ".puna" / "seals" / digest.hex


def test_a_whole_blob_is_sealed_when_it_is_first_read(store: ModelStore) -> None:
    path = put_blob(store.root, CONTENT)
    store.check(path)
    assert seal(store).exists()
    store.check(path)


def test_what_a_draft_writes_is_sealed_at_once(store: ModelStore) -> None:
    with store.draft() as draft:
        draft.write(CONTENT)
    assert seal(store).exists()


@pytest.mark.parametrize("was_sealed", [True, False])
def test_a_flipped_bit_is_refused_with_the_blobs_name(store: ModelStore, was_sealed: bool) -> None:
    path = put_blob(store.root, CONTENT)
    if was_sealed:
        store.check(path)
    flip_a_bit(path)
    with pytest.raises(BlobDamaged, match=DIGEST):
        store.check(path)


def test_a_flipped_bit_is_seen_behind_an_old_date(store: ModelStore) -> None:
    path = put_blob(store.root, CONTENT)
    store.check(path)
    before = path.stat()
    flip_a_bit(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(BlobDamaged):
        store.check(path)


def test_a_seal_outlives_the_fresh_date_of_a_blob_that_is_used_again(store: ModelStore) -> None:
    path = put_blob(store.root, CONTENT)
    store.check(path)
    with store.draft() as draft:
        draft.keep(DIGEST, len(CONTENT))
    state = path.stat()
    assert str(state.st_mtime_ns) in seal(store).read_text()


def test_a_file_outside_the_store_is_not_its_business(store: ModelStore, tmp_path: Path) -> None:
    path = tmp_path / blob_name(b"other")
    path.write_bytes(CONTENT)
    store.check(path)


def test_a_store_that_cannot_be_written_works_without_seals(store: ModelStore) -> None:
    path = put_blob(store.root, CONTENT)
    (store.root / ".puna").write_bytes(b"a file where the folder should be")
    store.check(path)
    flip_a_bit(path)
    with pytest.raises(BlobDamaged):
        store.check(path)


def test_seals_go_with_their_blobs(store: ModelStore) -> None:
    store.check(put_blob(store.root, CONTENT))
    store.blobs.path(DIGEST).unlink()
    store.prune()
    assert not seal(store).exists()

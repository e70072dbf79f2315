"""Disks that are full, read-only or broken: one clear line, and nothing half-written."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from puna.library.disk import StoreFull, StoreReadOnly, remove_tree
from puna.library.library import Library
from puna.library.manifests import UnreadableManifest
from puna.library.store import ModelStore
from puna.models.name import ModelName
from tests.builders import a_gguf
from tests.stores import a_library, blob_name, blob_names, leftovers, put
from tests.worlds import FakeWorld

NOBODY = 65534


@pytest.fixture
def read_only() -> Iterator[Library]:
    """Return a library on a store with one model that this process may read and not write."""
    with TemporaryDirectory() as folder:  # not tmp_path: nobody may enter that
        root = Path(folder)
        put(root, "tiny", a_gguf(), system=b"be kind")
        for path in (root, *root.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        if os.getuid() == 0:
            os.seteuid(NOBODY)
        yield a_library(root)
        with as_owner(root):
            pass
        os.seteuid(os.getuid())


@contextlib.contextmanager
def as_owner(root: Path) -> Iterator[None]:
    """Let the block write to a store that is otherwise read-only."""
    me = os.geteuid()
    os.seteuid(os.getuid())
    for path in (root, *root.rglob("*")):
        path.chmod(0o755)
    yield
    os.seteuid(me)


def test_a_read_only_store_can_be_listed_and_used(read_only: Library) -> None:
    (model,) = read_only.list_models().models
    assert model.details.family == "llama"
    assert read_only.find(ModelName("TINY")).system == "be kind"


def test_a_folder_of_names_without_permission_is_named_and_harms_no_other(
    read_only: Library,
) -> None:
    folder = read_only.store.manifests.folder / "hf.co"
    with as_owner(read_only.store.root):
        put(read_only.store.root, "hf.co/user/model:Q4_0")
        folder.chmod(0)
    listing = read_only.list_models()
    assert [model.label for model in listing.models] == ["tiny:latest"]
    assert str(folder) in listing.damaged[0].error.message
    with pytest.raises(UnreadableManifest, match="Permission denied"):
        read_only.find(ModelName.parse("hf.co/user/model:Q4_0"))


def test_a_read_only_store_says_so_when_written(read_only: Library) -> None:
    with pytest.raises(StoreReadOnly, match="cannot be written: permission denied") as raised:
        read_only.copy(ModelName("tiny"), ModelName("mine"))
    assert "\n" not in raised.value.message
    assert "PUNA_MODELS" in raised.value.hint


def test_nothing_is_removed_from_a_read_only_store(read_only: Library) -> None:
    with pytest.raises(StoreReadOnly):
        read_only.remove(ModelName("tiny"))
    assert read_only.find(ModelName("tiny")).header().version == 3


def test_a_read_only_store_is_not_pruned_and_that_is_no_error(read_only: Library) -> None:
    assert "cannot be written" in read_only.prune().skipped


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of its own, of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_ends_a_write_and_leaves_nothing(full_disk: Path) -> None:
    store = ModelStore(full_disk, FakeWorld())
    with store.draft() as draft, pytest.raises(StoreFull, match="no space left on device"):
        draft.write(bytes(3 << 20))
    assert blob_names(full_disk) == leftovers(full_disk) == set()


def test_a_model_that_will_not_fit_is_refused_before_it_is_written(full_disk: Path) -> None:
    store = ModelStore(full_disk, FakeWorld())
    with store.draft() as draft, pytest.raises(StoreFull, match=r"4 MB needed, .* free"):
        draft.ensure_room(4_000_000)


def test_a_model_can_be_removed_from_a_full_disk(full_disk: Path) -> None:
    put(full_disk, "tiny", b"weights")
    fill(full_disk / "ballast")
    ModelStore(full_disk, FakeWorld()).remove(ModelName("tiny"))
    assert blob_names(full_disk) == set()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_limit_on_the_size_of_files_is_a_full_disk(tmp_path: Path) -> None:
    child = Path(__file__).with_name("children.py")
    done = subprocess.run(
        [sys.executable, child, "limited", tmp_path],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(child.parents[2])},
    )
    assert done.stdout.startswith(f"StoreFull store {tmp_path} is full: the file is larger")
    assert blob_names(tmp_path) == leftovers(tmp_path) == set()


def test_a_folder_in_place_of_the_store_file_system_is_named(tmp_path: Path) -> None:
    root = tmp_path / "a file"
    root.write_bytes(b"")
    with pytest.raises(Exception, match=f"store {root} failed"):
        ModelStore(root, FakeWorld()).draft().__enter__()


def test_removing_a_folder_does_not_follow_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    inside = tmp_path / "inside"
    (inside / "deep").mkdir(parents=True)
    (inside / "deep" / "link").symlink_to(outside)
    remove_tree(inside)
    assert (outside / "kept").exists()
    assert not inside.exists()


def test_a_store_that_was_never_made_is_empty(tmp_path: Path) -> None:
    listing = a_library(tmp_path / "none").list_models()
    assert (listing.models, listing.damaged) == ((), ())
    assert list(tmp_path.iterdir()) == []


def test_blobs_may_lie_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "blobs").symlink_to(tmp_path / "large disk")
    with ModelStore(tmp_path / "store", FakeWorld()).draft() as draft:
        draft.write(b"weights")
    assert (tmp_path / "large disk" / blob_name(b"weights")).exists()

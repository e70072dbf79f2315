"""Two processes on one store, and processes that die: real ones, since locks are the system's."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from puna.library.lock import StoreBusy, exclusive
from puna.library.store import ModelNotFound, ModelStore
from puna.models.name import ModelName
from puna.units import Span
from tests.builders import a_config
from tests.stores import blob_name, blob_names, leftovers, put, put_blob
from tests.worlds import FakeWorld

ROOT = Path(__file__).parents[2]
CHILDREN = Path(__file__).with_name("children.py")
WEIGHTS = b"weights" * 1000
FAR_FUTURE = datetime(2099, 1, 1, tzinfo=UTC)


@contextmanager
def child(part: str, root: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(CHILDREN), part, str(root)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    ) as process:
        assert line_of(process) in {"there\n", "turn\n"}
        yield process
        process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """Return the store as a process sees it for which every file is old."""
    return ModelStore(tmp_path, FakeWorld(start=FAR_FUTURE))


def test_pruning_spares_what_another_process_is_writing(store: ModelStore) -> None:
    with child("hold", store.root):
        assert store.prune().files == 0
        assert blob_names(store.root) == {blob_name(WEIGHTS)}


def test_pruning_spares_a_blob_on_its_way_in(store: ModelStore) -> None:
    with child("write", store.root):
        assert store.prune().files == 0
        assert len(blob_names(store.root)) == 1


def test_removing_spares_what_another_process_is_about_to_use(store: ModelStore) -> None:
    put(store.root, "tiny", WEIGHTS)
    with child("hold", store.root):
        store.remove(ModelName("tiny"))
        assert blob_names(store.root) == {blob_name(WEIGHTS)}


def test_what_a_killed_process_had_whole_is_pruned(store: ModelStore) -> None:
    with child("hold", store.root) as process:
        process.kill()
        process.wait()
    assert store.prune().files == 1
    assert blob_names(store.root) == leftovers(store.root) == set()


def test_what_a_killed_process_had_half_is_removed_by_the_next_writer(store: ModelStore) -> None:
    with child("write", store.root) as process:
        process.kill()
        process.wait()
    assert len(leftovers(store.root)) == 2
    with store.draft() as draft:
        draft.write(b"other")
    assert leftovers(store.root) == set()
    assert blob_names(store.root) == {blob_name(b"other")}


def test_a_killed_writer_harms_no_model(store: ModelStore) -> None:
    put(store.root, "tiny", b"small")
    with child("write", store.root) as process:
        process.kill()
        process.wait()
    store.prune()
    assert [file.name.shortest for file in store.manifests.files()] == ["tiny:latest"]
    assert blob_names(store.root) == {blob_name(b"small"), blob_name(a_config())}


def test_of_two_who_remove_a_model_one_is_told_that_it_is_not_there(store: ModelStore) -> None:
    names = [ModelName(f"model{number}") for number in range(20)]
    for name in names:
        put(store.root, name.model, name.model.encode())
    with ThreadPoolExecutor() as pool:
        removals = [pool.submit(store.remove, name) for name in names for _ in range(2)]
    failures = [each.exception() for each in removals if each.exception() is not None]
    assert [type(each) for each in failures] == [ModelNotFound] * len(names)
    assert blob_names(store.root) == set()


def test_a_lock_that_another_process_keeps_is_waited_for_and_then_named(store: ModelStore) -> None:
    put_blob(store.root, b"x")
    store.prune()
    lock = store.root / ".puna" / "lock"
    with child("lock", store.root), pytest.raises(StoreBusy, match=str(lock)):
        take(lock)


def take(lock: Path) -> None:
    with exclusive(lock, limit=Span.of(ms=30)):
        pytest.fail("two processes have the lock")


def test_the_lock_of_a_killed_process_is_free(store: ModelStore) -> None:
    put_blob(store.root, b"x")
    store.prune()
    with child("lock", store.root) as process:
        process.kill()
        process.wait()
    with exclusive(store.root / ".puna" / "lock", limit=Span(0)):
        pass


def check_models(store: ModelStore) -> None:
    for file in store.manifests.files():
        for layer in store.manifests.read(file).blobs:
            assert store.blobs.size(layer.digest) == layer.size


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
def test_killed_at_any_moment_a_store_is_whole(store: ModelStore, turns: int) -> None:
    with child("churn", store.root) as process:
        assert [line_of(process) for _ in range(turns)] == ["turn\n"] * turns
    check_models(store)
    store.prune()
    check_models(store)
    assert leftovers(store.root) == set()


def test_two_busy_processes_never_break_each_others_models(store: ModelStore) -> None:
    with child("churn", store.root) as one, child("churn", store.root) as two:
        for _ in range(40):
            assert (line_of(one), line_of(two)) == ("turn\n", "turn\n")
            assert store.prune().skipped == ""
    check_models(store)


def test_two_drafts_in_one_process_do_not_disturb_each_other(tmp_path: Path) -> None:
    one, two = (ModelStore(tmp_path, FakeWorld(seed=seed)) for seed in (1, 2))
    with one.draft() as first, two.draft() as second:
        first.write(b"first")
        second.write(b"second")
        assert two.prune().files == 0
    assert blob_names(tmp_path) == {blob_name(b"first"), blob_name(b"second")}

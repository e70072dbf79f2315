"""Pulls from a registry that is honest, and may have a bad line."""

import os
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from puna.library.library import Library
from puna.library.sources.registries import RegistrySettings
from puna.library.sources.registry import ManifestMissing
from puna.models.reference import parse_reference
from puna.progress import Transfer
from tests.builders import a_digest
from tests.fakes.registry import FakeRegistry, Line, a_registry
from tests.sources.pulls import pulled, pulling
from tests.stores import a_library, blob_name, blob_names, leftovers, put

WEIGHTS = os.urandom(3_000_000)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with a_registry() as registry:
        yield registry


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return a_library(tmp_path / "store", registries=RegistrySettings(home=tmp_path / "home"))


async def test_a_pulled_model_has_the_registrys_bytes(
    registry: FakeRegistry, library: Library
) -> None:
    raw = registry.add("a/b:latest", WEIGHTS, license=b"Do what you like.\n")
    events = await pulled(library, f"http://{registry.name}/a/b")
    statuses = list(
        dict.fromkeys(event.status for event in events if "pulling " not in event.status)
    )
    assert statuses == ["verifying sha256 digest", "writing manifest", "success"]
    model = library.find(parse_reference(f"{registry.name}/a/b", cwd=Path("/")).name)  # type: ignore[union-attr]
    assert model.manifest.raw == raw
    assert model.weights.read_bytes() == WEIGHTS
    assert leftovers(library.store.root) == set()


async def test_progress_never_goes_back_and_ends_whole(library: Library) -> None:
    with a_registry(line=Line(breaks_after=200_000)) as registry:
        registry.add("a/b:latest", WEIGHTS)
        events = await pulled(library, f"http://{registry.name}/a/b")
    digest = a_digest(WEIGHTS)
    done = [
        each.completed for each in events if isinstance(each, Transfer) and each.digest == digest
    ]
    assert done == sorted(done)
    assert done[-1] == len(WEIGHTS)


async def test_what_another_model_has_is_not_fetched(
    registry: FakeRegistry, library: Library
) -> None:
    put(library.store.root, "other", WEIGHTS)
    registry.add("a/b:latest", WEIGHTS)
    await pulled(library, f"http://{registry.name}/a/b")
    assert registry.sent == []


async def test_a_damaged_blob_of_another_model_is_fetched_again(
    registry: FakeRegistry, library: Library
) -> None:
    put(library.store.root, "other", WEIGHTS)
    path = library.store.root / "blobs" / blob_name(WEIGHTS)
    path.write_bytes(b"x" + WEIGHTS[1:])
    registry.add("a/b:latest", WEIGHTS)
    await pulled(library, f"http://{registry.name}/a/b")
    assert path.read_bytes() == WEIGHTS


async def test_a_newer_model_takes_the_place_of_the_older(
    registry: FakeRegistry, library: Library
) -> None:
    name = f"http://{registry.name}/a/b"
    registry.add("a/b:latest", b"older")
    await pulled(library, name)
    registry.add("a/b:latest", b"newer")
    events = await pulled(library, name)
    assert "removing unused layers" in [event.status for event in events]
    assert blob_name(b"newer") in blob_names(library.store.root)
    assert blob_name(b"older") not in blob_names(library.store.root)


async def test_a_registry_without_ranges_sends_whole_blobs(
    library: Library, tmp_path: Path
) -> None:
    weights = os.urandom(17_000_000)
    with a_registry(has_ranges=False) as registry:
        registry.add("a/b:latest", weights)
        await pulled(library, f"http://{registry.name}/a/b")
    assert (tmp_path / "store" / "blobs" / blob_name(weights)).read_bytes() == weights


async def test_an_unknown_model_is_named_as_ollama_names_it(
    registry: FakeRegistry, library: Library
) -> None:
    with pytest.raises(ManifestMissing, match=r"^pull model manifest: file does not exist$"):
        await pulled(library, f"http://{registry.name}/a/b")


async def test_plain_http_needs_the_flag(registry: FakeRegistry, library: Library) -> None:
    with pytest.raises(Exception, match=r"^insecure protocol http$"):
        await pulled(library, f"http://{registry.name}/a/b", insecure=False)
    assert registry.asked == []


async def test_with_the_flag_http_is_found_out(registry: FakeRegistry, library: Library) -> None:
    registry.add("a/b:latest", b"weights")
    await pulled(library, f"{registry.name}/a/b")
    assert blob_name(b"weights") in blob_names(library.store.root)


async def test_a_mirror_is_asked_instead(tmp_path: Path, registry: FakeRegistry) -> None:
    registry.add("library/qwen3:8b", b"weights")
    known = RegistrySettings(home=tmp_path, mirrors=(f"registry.ollama.ai={registry.url}",))
    library = a_library(tmp_path / "store", registries=known)
    await pulled(library, "qwen3:8b", insecure=False)
    assert [model.label for model in library.list_models().models] == ["qwen3:8b"]


async def test_who_stops_listening_goes_on_later_where_it_was(
    library: Library,
) -> None:
    weights = os.urandom(20_000_000)
    with a_registry(line=Line(bytes_per_s=4e6)) as registry:
        registry.add("a/b:latest", weights)
        name = f"http://{registry.name}/a/b"
        async with aclosing(pulling(library, name)) as events:
            async for event in events:
                if isinstance(event, Transfer) and event.completed >= 5_000_000:
                    break
        registry.line = Line()
        registry.asked.clear()
        await pulled(library, name)
    assert 0 < registry.asked_for <= len(weights) - 5_000_000
    assert leftovers(library.store.root) == set()


async def test_blobs_in_a_storage_elsewhere_are_fetched_without_our_token(
    library: Library, tmp_path: Path
) -> None:
    with a_registry() as storage, a_registry(token="secret", storage=storage.url) as registry:
        registry.realm = f"{registry.url}/token"
        registry.add("a/b:latest", b"weights")
        storage.blobs = registry.blobs
        await pulled(library, f"http://{registry.name}/a/b")
        assert "Bearer secret" in registry.headers_of("Authorization")
        assert storage.headers_of("Authorization") == []
    assert (tmp_path / "home" / "id_ed25519").stat().st_mode & 0o777 == 0o600

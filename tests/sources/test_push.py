"""Pushes, and what comes back from a pull of them."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from puna.library.library import Library
from puna.library.push import NotYours
from puna.library.sources.registries import RegistrySettings
from puna.library.store import ModelNotFound
from puna.models.name import ModelName
from puna.progress import Transfer
from tests.builders import a_digest
from tests.fakes.registry import FakeRegistry, Talk, a_registry
from tests.sources.pulls import pulled, pushed
from tests.stores import a_library, a_package, put

WEIGHTS = os.urandom(2_500_000)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with a_registry() as registry:
        yield registry


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return a_library(tmp_path / "store", registries=RegistrySettings(home=tmp_path / "home"))


async def test_a_pushed_model_arrives_byte_for_byte(
    registry: FakeRegistry, library: Library
) -> None:
    name = f"{registry.name}/me/tiny:q4"
    manifest = put(library.store.root, name, WEIGHTS, license=b"Do what you like.\n")
    events = await pushed(library, name)
    statuses = list(
        dict.fromkeys(event.status for event in events if "pushing s" not in event.status)
    )
    assert (statuses[0], statuses[-2:]) == ("retrieving manifest", ["pushing manifest", "success"])
    assert registry.manifests["me/tiny:q4"] == manifest.raw
    assert registry.blobs[a_digest(WEIGHTS)] == WEIGHTS


async def test_progress_ends_whole_for_every_blob(registry: FakeRegistry, library: Library) -> None:
    name = f"{registry.name}/me/tiny"
    manifest = put(library.store.root, name, WEIGHTS)
    last = {
        event.digest: event for event in await pushed(library, name) if isinstance(event, Transfer)
    }
    assert list(last) == [layer.digest for layer in manifest.blobs]
    assert all(event.completed == event.total for event in last.values())


async def test_what_the_registry_has_is_not_sent(registry: FakeRegistry, library: Library) -> None:
    name = f"{registry.name}/me/tiny"
    put(library.store.root, name, WEIGHTS)
    await pushed(library, name)
    registry.asked.clear()
    await pushed(library, f"http://{name}")
    assert {each.method for each in registry.asked} == {"HEAD", "PUT"}


async def test_parts_that_are_led_to_a_storage_go_there_without_our_token(
    library: Library,
) -> None:
    with a_registry() as storage, a_registry(token="secret", storage=storage.url) as registry:
        registry.realm = f"{registry.url}/token"
        storage.uploads = registry.uploads
        name = f"{registry.name}/me/tiny"
        put(library.store.root, name, WEIGHTS)
        await pushed(library, name)
        assert registry.blobs[a_digest(WEIGHTS)] == WEIGHTS
        assert storage.headers_of("Authorization") == []


async def test_a_bundled_model_can_be_pushed_under_another_name(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    a_package(tmp_path / "site")
    known = RegistrySettings(home=tmp_path / "home")
    library = a_library(tmp_path / "store", packages=tmp_path / "site", registries=known)
    name = ModelName.parse(f"{registry.name}/me/tiny")
    library.copy(ModelName("tiny"), name)
    await pushed(library, name.full)
    again = a_library(tmp_path / "again", registries=known)
    await pulled(again, name.full)
    assert again.find(name).digest == library.find(name).digest


async def test_who_may_not_push_is_told_as_ollama_tells_it(
    registry: FakeRegistry, library: Library
) -> None:
    name = f"{registry.name}/me/tiny"
    put(library.store.root, name, WEIGHTS)
    registry.login = "somebody:else"
    with pytest.raises(NotYours) as raised:
        await pushed(library, name)
    assert raised.value.message.startswith("you are not authorized to push to this namespace")


async def test_an_unknown_model_is_not_pushed(registry: FakeRegistry, library: Library) -> None:
    with pytest.raises(ModelNotFound):
        await pushed(library, f"{registry.name}/me/tiny")


async def test_a_registry_that_is_busy_is_asked_again(
    registry: FakeRegistry, library: Library
) -> None:
    name = f"{registry.name}/me/tiny"
    put(library.store.root, name, WEIGHTS)

    def busy_once(talk: Talk) -> None:
        registry.answers.clear()
        talk.say(b"{}", 503)

    registry.answers["/v2/me/tiny/blobs"] = busy_once
    await pushed(library, name)
    assert registry.blobs[a_digest(WEIGHTS)] == WEIGHTS


async def test_blobs_go_side_by_side(registry: FakeRegistry, library: Library) -> None:
    name = f"{registry.name}/me/many"
    texts = {f"license{number}": b"%d" % number for number in range(6)}
    put(library.store.root, name, WEIGHTS, **texts)
    seen: list[int] = []
    under_way = 0
    one_at_a_time, are_four = threading.Lock(), threading.Event()

    def slow(talk: Talk) -> None:
        nonlocal under_way
        with one_at_a_time:
            under_way += 1
            seen.append(under_way)
            if under_way == 4:
                are_four.set()
        assert are_four.wait(60)
        with one_at_a_time:
            under_way -= 1
        talk.say(b"{}", 404)

    registry.answers["/v2/me/many/blobs/sha256"] = slow
    await pushed(library, name)
    assert 4 <= max(seen) <= 8
    assert "me/many:latest" in registry.manifests

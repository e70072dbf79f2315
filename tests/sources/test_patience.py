"""A registry that is busy is asked again when it says, and nobody waits for hours."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from puna.errors import Unavailable
from puna.library.sources.patience import pause_before
from puna.library.sources.registries import RegistrySettings
from puna.library.sources.registry import RegistryBusy
from puna.units import Span
from tests.fakes.registry import FakeRegistry, Talk, a_registry
from tests.sources.pulls import pulled
from tests.stores import a_library
from tests.worlds import FakeWorld

WEIGHTS = b"weights" * 1000


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with a_registry() as registry:
        registry.add("a/b:latest", WEIGHTS)
        yield registry


@pytest.mark.parametrize(
    ("attempt", "said", "seconds"),
    [
        (1, "", 1),
        (3, "", 4),
        (1, "7", 7),
        (4, "7", 8),
        (0, "7", 7),
        (1, "soon", 1),
        (1, "-5", 1),
        (1, "Sat, 01 Aug 2026 12:00:30 GMT", 30),
        (1, "Sat, 01 Aug 2020 12:00:30 GMT", 1),
    ],
)
def test_it_waits_as_long_as_it_is_told(attempt: int, said: str, seconds: int) -> None:
    error = RegistryBusy("busy", retry_after=said)
    assert pause_before(attempt, error, FakeWorld()) == Span.of(seconds=seconds)


def test_who_wants_it_to_wait_for_hours_is_not_waited_for() -> None:
    with pytest.raises(RegistryBusy) as raised:
        pause_before(1, RegistryBusy("busy", retry_after="21600"), FakeWorld())
    assert raised.value.hint == "it asks to come back in 6h0m0s"


def test_who_says_nothing_is_asked_after_the_usual_pause() -> None:
    assert pause_before(2, Unavailable("gone"), FakeWorld()) == Span.of(seconds=2)


@pytest.mark.parametrize("path", ["/v2/a/b/manifests", "/v2/a/b/blobs"])
async def test_a_pull_comes_back_when_the_registry_says(
    registry: FakeRegistry, tmp_path: Path, path: str
) -> None:
    def busy_once(talk: Talk) -> None:
        registry.answers.clear()
        talk.say(b"{}", 429, {"Retry-After": "30"})

    registry.answers[path] = busy_once
    world = FakeWorld()
    known = RegistrySettings(home=tmp_path / "home")
    library = a_library(tmp_path / "store", registries=known, world=world)
    work = asyncio.create_task(pulled(library, f"http://{registry.name}/a/b"))
    begun = world.elapsed()
    while not work.done():
        await asyncio.sleep(0.01)
        await world.advance(Span.of(ms=500))
    await work
    assert world.elapsed() - begun >= Span.of(seconds=30)
    assert [model.label for model in library.list_models().models] == [
        f"{registry.name}/a/b:latest"
    ]

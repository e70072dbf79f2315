"""The gate as a table: where the node listens, what is sent, and who gets in."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from puna.errors import PunaError
from puna.node.api.access import Gate, OutOfScope, TooOften
from puna.node.keys import Key, KeyRing, KeyScope, KeyWish, WrongKey
from puna.settings import Address
from tests.api.stage import settings_for
from tests.worlds import FakeWorld

HOME = Address()
PUBLIC = Address(host="0.0.0.0")


class Door:
    """A gate with one key, `good`, in its ring."""

    def __init__(self, home: Path, **changes: object) -> None:
        world = FakeWorld()
        self.ring = KeyRing(home, world)
        self.good = self.ring.create(KeyWish(name="good"))[1]
        self.gate = Gate(settings_for(home, **changes), self.ring, world)

    def try_it(
        self,
        headers: Mapping[str, str],
        *,
        path: str = "/api/tags",
        address: str = "10.0.0.9",
    ) -> str:
        """Return the name of the key that let a request in, or of the error that did not."""
        scope = {"type": "http", "path": path, "client": (address, 5)}
        told = {name: value.replace("GOOD", self.good) for name, value in headers.items()}
        try:
            key = self.gate.admit(scope, Headers(told))
        except PunaError as error:
            return type(error).__name__
        return key.name if isinstance(key, Key) else key


WRONG = WrongKey.__name__


@pytest.mark.parametrize(
    ("host", "headers", "outcome"),
    [
        (HOME, {}, ""),
        (HOME, {"authorization": "Bearer GOOD"}, "good"),
        (HOME, {"authorization": "bearer   GOOD"}, "good"),
        (HOME, {"x-api-key": "GOOD"}, "good"),
        (HOME, {"authorization": "Bearer ollama"}, WRONG),
        (HOME, {"authorization": "Bearer ollama", "x-api-key": "GOOD"}, "good"),
        (HOME, {"authorization": "Bearer GOOD", "x-api-key": ""}, "good"),
        (HOME, {"authorization": "Basic GOOD"}, ""),
        (PUBLIC, {}, WRONG),
        (PUBLIC, {"authorization": ""}, WRONG),
        (PUBLIC, {"authorization": "Bearer"}, WRONG),
        (PUBLIC, {"authorization": "Bearer "}, WRONG),
        (PUBLIC, {"authorization": "Bearer GOOD"}, "good"),
        (PUBLIC, {"authorization": "Bearer GOODx"}, WRONG),
        (PUBLIC, {"authorization": "Bearer xGOOD"}, WRONG),
        (PUBLIC, {"authorization": "Bearer GOOD GOOD"}, WRONG),
        (PUBLIC, {"authorization": "GOOD"}, WRONG),
        (PUBLIC, {"authorization": "Basic GOOD"}, WRONG),
        (PUBLIC, {"x-api-key": "GOOD"}, "good"),
        (PUBLIC, {"x-api-key": "wrong", "authorization": "Bearer GOOD"}, "good"),
    ],
)
def test_who_gets_in(
    tmp_path: Path, host: Address, headers: Mapping[str, str], outcome: str
) -> None:
    assert Door(tmp_path, host=host).try_it(headers) == outcome


@pytest.mark.parametrize("path", ["/", "/health"])
def test_the_open_paths_ask_for_nothing(tmp_path: Path, path: str) -> None:
    door = Door(tmp_path, host=PUBLIC)
    assert door.try_it({}, path=path) == ""
    assert door.try_it({"authorization": "Bearer wrong"}, path=path) == ""


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/api/pull", "/api/push", "/api/create", "/api/blobs/sha256:0", "/api/delete"],
)
def test_a_key_to_use_models_changes_nothing(tmp_path: Path, path: str) -> None:
    outcome = Door(tmp_path, host=PUBLIC).try_it({"x-api-key": "GOOD"}, path=path)
    assert outcome == OutOfScope.__name__


@pytest.mark.parametrize("path", ["/metrics", "/api/pull", "/api/tags"])
def test_the_owners_own_key_opens_all(tmp_path: Path, path: str) -> None:
    door = Door(tmp_path, host=PUBLIC, api_key="żółw")
    sent = "żółw".encode().decode("latin-1")
    assert door.try_it({"x-api-key": sent}, path=path) == "PUNA_API_KEY"


def test_a_key_in_the_environment_that_was_revoked_opens_nothing(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path, FakeWorld(seed=3))
    secret = ring.create(KeyWish(name="old", scope=KeyScope.ADMIN))[1]
    ring.revoke("old")
    door = Door(tmp_path, host=PUBLIC, api_key=secret)
    assert door.try_it({"x-api-key": secret}) == WRONG


def test_who_guesses_locks_out_nobody_at_another_address(tmp_path: Path) -> None:
    door = Door(tmp_path, host=PUBLIC, api_key="word")
    guesses = [door.try_it({"x-api-key": f"no{n}"}, address="10.0.0.1") for n in range(12)]
    assert guesses == [WRONG] * 10 + [TooOften.__name__] * 2
    assert door.try_it({"x-api-key": "word"}, address="10.0.0.2") == "PUNA_API_KEY"


def test_limits_of_the_settings_hold_for_keys_that_have_none(tmp_path: Path) -> None:
    door = Door(tmp_path, host=PUBLIC, rate_limit=2)
    outcomes = [door.try_it({"x-api-key": "GOOD"}) for _ in range(3)]
    assert outcomes == ["good", "good", TooOften.__name__]

"""Logins that programs of Docker's keep: asked when a registry asks, and by plain names only."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from puna.library.sources.access import Unauthorized
from puna.library.sources.logins import read_logins
from puna.library.sources.registries import RegistrySettings
from tests.fakes.registry import FakeRegistry, a_registry
from tests.sources.pulls import pulled
from tests.stores import a_library

KEEPER = """#!/bin/sh
echo "$1 $(cat)" >> "$0.asked"
{body}
"""


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with a_registry(login="me:secret") as registry:
        registry.add("a/b:latest", b"weights")
        yield registry


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def a_program(folder: Path, name: str, *, user: str = "me", body: str = "") -> Path:
    path = folder / f"docker-credential-{name}"
    said = json.dumps({"ServerURL": "x", "Username": user, "Secret": "secret"})
    path.write_text(KEEPER.format(body=body or f"echo '{said}'"))
    path.chmod(0o755)
    return path


def docker(folder: Path, **config: object) -> Path:
    (folder / "docker").mkdir(exist_ok=True)
    (folder / "docker" / "config.json").write_text(json.dumps(config))
    return folder / "docker"


async def test_a_program_of_dockers_opens_the_door_when_it_is_shut(
    registry: FakeRegistry, programs: Path, tmp_path: Path
) -> None:
    path = a_program(programs, "store")
    known = RegistrySettings(home=tmp_path, docker=docker(tmp_path, credsStore="store"))
    library = a_library(tmp_path, registries=known)
    await pulled(library, f"http://{registry.name}/a/b")
    assert len(library.list_models().models) == 1
    assert path.with_name(f"{path.name}.asked").read_text() == f"get {registry.name}\n"


async def test_nobody_is_asked_where_the_door_is_open(
    registry: FakeRegistry, programs: Path, tmp_path: Path
) -> None:
    registry.login = ""
    path = a_program(programs, "store")
    known = RegistrySettings(home=tmp_path, docker=docker(tmp_path, credsStore="store"))
    await pulled(a_library(tmp_path, registries=known), f"http://{registry.name}/a/b")
    assert not path.with_name(f"{path.name}.asked").exists()


@pytest.mark.parametrize(
    ("host", "user"), [("special.example", "one"), ("other.example", "all"), ("docker.io", "hub")]
)
async def test_the_program_of_a_registry_comes_before_that_of_all(
    programs: Path, tmp_path: Path, host: str, user: str
) -> None:
    for name in ("one", "all", "hub"):
        a_program(programs, name, user=name)
    hosts = {"special.example": "one", "https://index.docker.io/v1/": "hub"}
    logins = read_logins((), docker(tmp_path, credsStore="all", credHelpers=hosts))
    found = base64.b64decode((await logins.find(host)).header.removeprefix("Basic "))
    assert found == f"{user}:secret".encode()


async def test_a_login_of_the_settings_asks_no_program(programs: Path, tmp_path: Path) -> None:
    path = a_program(programs, "store")
    logins = read_logins(("h=me:mine",), docker(tmp_path, credsStore="store"))
    assert base64.b64decode((await logins.find("h")).header[6:]) == b"me:mine"
    assert not path.with_name(f"{path.name}.asked").exists()


@pytest.mark.parametrize("name", ["../evil", "a/b", "a b", "-x", ".", "", "a\nb", "none"])
async def test_a_name_that_is_no_plain_word_is_never_started(
    programs: Path, tmp_path: Path, name: str
) -> None:
    (programs.parent / "evil").write_text("#!/bin/sh\ntouch ran\n")
    logins = read_logins((), docker(tmp_path, credsStore=name))
    assert not await logins.find("h")


@pytest.mark.parametrize(
    "body",
    ["exit 1", "echo no", "echo '[]'", 'echo \'{"Username":"<token>","Secret":""}\'', "true"],
)
async def test_a_program_that_knows_nothing_leaves_what_the_file_says(
    programs: Path, tmp_path: Path, body: str
) -> None:
    a_program(programs, "store", body=body)
    auths = {"h": {"username": "me", "password": "file"}}
    logins = read_logins((), docker(tmp_path, credsStore="store", auths=auths))
    assert base64.b64decode((await logins.find("h")).header[6:]) == b"me:file"


@pytest.fixture
def door(registry: FakeRegistry) -> FakeRegistry:
    """The registry with a token server, which knows one identity."""
    registry.login, registry.token, registry.identity = "", "opened", "id/+="
    registry.realm = f"{registry.url}/token"
    return registry


async def test_an_identity_token_in_dockers_file_opens_the_door(
    door: FakeRegistry, tmp_path: Path
) -> None:
    nobody = base64.b64encode(b"00000000-0000-0000-0000-000000000000:").decode()
    auths = {door.name: {"auth": nobody, "identitytoken": "id/+="}}
    known = RegistrySettings(home=tmp_path, docker=docker(tmp_path, auths=auths))
    library = a_library(tmp_path, registries=known)
    await pulled(library, f"http://{door.name}/a/b")
    assert len(library.list_models().models) == 1
    assert door.forms[0] == {
        "grant_type": ["refresh_token"],
        "service": ["fake"],
        "client_id": ["puna"],
        "scope": ["repository:a/b:pull"],
        "refresh_token": ["id/+="],
    }
    assert not any("id" in each for each in door.headers_of("Authorization"))


async def test_an_identity_token_that_a_program_keeps_opens_the_door(
    door: FakeRegistry, programs: Path, tmp_path: Path
) -> None:
    said = json.dumps({"Username": "<token>", "Secret": "id/+="})
    a_program(programs, "store", body=f"echo '{said}'")
    config = docker(tmp_path, credHelpers={door.name: "store"})
    known = RegistrySettings(home=tmp_path, docker=config)
    await pulled(a_library(tmp_path, registries=known), f"http://{door.name}/a/b")
    assert door.forms[0]["refresh_token"] == ["id/+="]


async def test_an_identity_that_is_not_known_any_more_is_said(
    door: FakeRegistry, tmp_path: Path
) -> None:
    auths = {door.name: {"identitytoken": "old"}}
    known = RegistrySettings(home=tmp_path, docker=docker(tmp_path, auths=auths))
    door.answers["/token"] = lambda handler: handler.say(b"{}", 401)
    with pytest.raises(Unauthorized):
        await pulled(a_library(tmp_path, registries=known), f"http://{door.name}/a/b")
    assert door.forms

"""Doors of registries, and the key pair that opens some."""

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from puna.library.sources.access import Challenge, Unauthorized, read_challenge
from puna.library.sources.identity import UnusableKey, load_identity
from puna.library.sources.logins import read_logins
from puna.library.sources.registries import RegistrySettings
from tests.fakes.registry import FakeRegistry, a_registry
from tests.sources.pulls import pulled
from tests.stores import a_library


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with a_registry() as registry:
        registry.add("a/b:latest", b"weights")
        yield registry


def docker_config(folder: Path, host: str, login: str) -> Path:
    folder.mkdir(exist_ok=True)
    auth = base64.b64encode(login.encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return folder


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        (['Basic realm="x"'], Challenge(is_bearer=False, realm="x")),
        (
            ['Bearer realm="https://a/t",service="s",scope="repository:a/b:pull push"'],
            Challenge(
                is_bearer=True,
                realm="https://a/t",
                service="s",
                scopes=("repository:a/b:pull", "push"),
            ),
        ),
        (['Basic realm="x"', 'bearer realm="y"'], Challenge(is_bearer=True, realm="y")),
        (["Bearer realm=y , service=s"], Challenge(is_bearer=True, realm="y", service="s")),
        (["Bearer"], Challenge(is_bearer=True)),
        (["Negotiate"], None),
        ([], None),
    ],
)
def test_a_challenge_is_read(headers: list[str], challenge: Challenge | None) -> None:
    assert read_challenge(headers) == challenge


async def test_a_login_of_dockers_opens_a_basic_door(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.login = "me:secret"
    docker = docker_config(tmp_path / "docker", registry.name, "me:secret")
    library = a_library(tmp_path, registries=RegistrySettings(home=tmp_path, docker=docker))
    await pulled(library, f"http://{registry.name}/a/b")
    assert len(library.list_models().models) == 1


async def test_a_login_of_the_settings_wins(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.login = "me:secret"
    docker = docker_config(tmp_path / "docker", registry.name, "me:wrong")
    logins = (f"{registry.name}=me:secret",)
    known = RegistrySettings(home=tmp_path, docker=docker, logins=logins)
    await pulled(a_library(tmp_path, registries=known), f"http://{registry.name}/a/b")


async def test_a_login_is_used_at_the_realm_of_its_registry_alone(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    with a_registry(token="secret") as door:
        registry.token, registry.realm = "secret", f"{door.url}/token"
        logins = (f"{registry.name}=me:mine", f"{door.name}=me:theirs")
        known = RegistrySettings(home=tmp_path, logins=logins)
        await pulled(a_library(tmp_path, registries=known), f"http://{registry.name}/a/b")
        sent = [base64.b64decode(each.split()[1]) for each in door.headers_of("Authorization")]
        assert sent == [b"me:mine"]


async def test_a_realm_elsewhere_is_asked_without_a_name(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    with a_registry("127.0.0.2", token="secret") as door:
        registry.token, registry.realm = "secret", f"{door.url}/token"
        library = a_library(tmp_path, registries=RegistrySettings(home=tmp_path))
        await pulled(library, f"http://{registry.name}/a/b")
        assert door.headers_of("Authorization") == []


async def test_a_realm_of_ollamas_kind_gets_a_signature_over_its_address(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.token, registry.realm = "secret", f"{registry.url}/token"
    library = a_library(tmp_path, registries=RegistrySettings(home=tmp_path))
    await pulled(library, f"http://{registry.name}/a/b")
    asked = next(each for each in registry.asked if each.path.startswith("/token"))
    key, _, signature = asked.headers["Authorization"].partition(":")
    empty = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()
    signed = f"GET,{registry.url}{asked.path},{empty}".encode()
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[-32:])
    public.verify(base64.b64decode(signature), signed)
    query = parse_qs(urlsplit(asked.path).query)
    assert list(query) == ["nonce", "scope", "service", "ts"]


async def test_without_a_login_a_basic_door_stays_shut(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.login = "me:secret"
    library = a_library(tmp_path, registries=RegistrySettings(home=tmp_path))
    with pytest.raises(Unauthorized) as raised:
        await pulled(library, f"http://{registry.name}/a/b")
    assert "docker login" in raised.value.hint


@pytest.mark.parametrize("content", ["", "{", "[]", '{"auths":5}', '{"auths":{"h":{"auth":"%"}}}'])
def test_a_damaged_file_of_logins_holds_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    assert not read_logins((), tmp_path).of("h")


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_a_login_of_docker_hub_has_many_names(tmp_path: Path, host: str) -> None:
    docker_config(tmp_path, "https://index.docker.io/v1/", "me:secret")
    assert read_logins((), tmp_path).of(host).header.startswith("Basic ")


def test_a_new_key_pair_is_private_and_stays(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = load_identity(home, ollama=tmp_path / "none")
    assert (home / "id_ed25519").stat().st_mode & 0o777 == 0o600
    assert (home / "id_ed25519").read_bytes().startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    assert (home / "id_ed25519.pub").read_text() == f"{first.public_line}\n"
    assert load_identity(home, ollama=tmp_path / "none").public_line == first.public_line
    assert {path.name for path in home.iterdir()} == {"id_ed25519", "id_ed25519.pub"}


def test_ollamas_key_pair_is_used_where_puna_has_none(tmp_path: Path) -> None:
    ollamas = load_identity(tmp_path / "ollama", ollama=tmp_path / "none")
    found = load_identity(tmp_path / "home", ollama=tmp_path / "ollama")
    assert found.public_line == ollamas.public_line
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("content", [b"", b"no key", os.urandom(400)])
def test_a_damaged_key_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "id_ed25519").write_bytes(content)
    with pytest.raises(UnusableKey, match="id_ed25519"):
        load_identity(tmp_path, ollama=tmp_path)

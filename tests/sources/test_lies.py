"""Registries that lie: nothing of the store is lost, nothing fills the disk, no secret gets out."""

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from puna.errors import PunaError, Unavailable
from puna.fetcher import UnsafeRedirect
from puna.library.library import Library
from puna.library.sources.registries import RegistrySettings
from puna.models.manifest import DamagedManifest
from puna.origin import InvalidUrl
from puna.units import Span
from tests.builders import a_config, a_digest, a_layer, a_manifest
from tests.fakes.registry import FakeRegistry, Talk, a_registry
from tests.sources.pulls import as_if_public, pulled
from tests.stores import a_library, blob_name, blob_names, leftovers, put

WEIGHTS = os.urandom(1_000_000)
MINE = b"what was here before"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with a_registry() as registry:
        registry.add("a/b:latest", WEIGHTS)
        yield registry


@pytest.fixture
def library(tmp_path: Path) -> Library:
    settings = RegistrySettings(home=tmp_path / "home", nearness=as_if_public)
    library = a_library(tmp_path / "store", registries=settings)
    put(library.store.root, "mine", MINE)
    return library


def used(root: Path) -> int:
    """Return the bytes that the store really takes on the disk."""
    return sum(path.lstat().st_blocks * 512 for path in root.rglob("*") if path.is_file())


async def refusal(library: Library, registry: FakeRegistry) -> PunaError:
    """Pull, and return why that fails; what was here before is still here."""
    with pytest.raises(PunaError) as raised:
        await pulled(library, f"http://{registry.name}/a/b")
    assert [model.label for model in library.list_models().models] == ["mine:latest"]
    assert blob_name(MINE) in blob_names(library.store.root)
    assert used(library.store.root) < 3_000_000
    return raised.value


async def test_other_content_than_announced(registry: FakeRegistry, library: Library) -> None:
    registry.blobs[a_digest(WEIGHTS)] = bytes(len(WEIGHTS))
    error = await refusal(library, registry)
    want, got = a_digest(WEIGHTS), a_digest(bytes(len(WEIGHTS)))
    assert error.message == (
        f"digest mismatch, file must be downloaded again: want {want}, got {got}"
    )
    assert leftovers(library.store.root) == set()


@pytest.mark.parametrize("size", [10, 999_999, 1_000_001, 5_000_000])
async def test_another_size_than_announced(
    registry: FakeRegistry, library: Library, size: int
) -> None:
    registry.blobs[a_digest(WEIGHTS)] = os.urandom(size)
    error = await refusal(library, registry)
    assert error.code == "wrong_size"
    assert str(size) in error.message


async def test_a_manifest_that_wants_more_than_the_disk_has(
    registry: FakeRegistry, library: Library
) -> None:
    layer = a_layer() | {"size": 2**60}
    registry.add_manifest("a/b:latest", a_manifest(layer))
    error = await refusal(library, registry)
    assert error.code == "store_full"
    assert registry.sent == []


def endless(talk: Talk) -> None:
    talk.say_endlessly({}, bytes(100_000))


def endless_json(talk: Talk) -> None:
    talk.say_endlessly({"Content-Type": "application/json"}, b'{"layers":[' * 1000)


def packed(talk: Talk) -> None:
    talk.say(gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("path", "answer", "code"),
    [
        ("/v2/a/b/blobs", endless, "wrong_size"),
        ("/v2/a/b/blobs", packed, "wrong_size"),
        ("/v2/a/b/manifests", endless_json, "too_long"),
        ("/v2/a/b/manifests", packed, "too_long"),
    ],
)
async def test_a_body_without_end(
    registry: FakeRegistry, library: Library, path: str, answer: Callable[[Talk], None], code: str
) -> None:
    registry.answers[path] = answer
    assert (await refusal(library, registry)).code == code


async def test_a_token_without_end(registry: FakeRegistry, library: Library) -> None:
    registry.token, registry.realm = "secret", f"{registry.url}/token"
    registry.answers["/token"] = endless_json
    assert (await refusal(library, registry)).code == "too_long"


async def test_ten_thousand_layers(registry: FakeRegistry, library: Library) -> None:
    layers = [a_layer(content=b"%d" % number) for number in range(10_000)]
    registry.add_manifest("a/b:latest", a_manifest(*layers))
    error = await refusal(library, registry)
    assert isinstance(error, DamagedManifest)
    assert "10000 layers" in error.message


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../../etc/passwd",
        "../../../../etc/passwd",
        "sha256:" + "0" * 63 + "/",
        "sha256:" + "a" * 64 + "/../x",
        "md5:" + "0" * 32,
        "",
    ],
)
async def test_digests_that_are_paths(
    registry: FakeRegistry, library: Library, digest: str
) -> None:
    registry.add_manifest("a/b:latest", a_manifest(a_layer() | {"digest": digest}))
    assert isinstance(await refusal(library, registry), DamagedManifest)


async def test_one_blob_of_two_sizes(registry: FakeRegistry, library: Library) -> None:
    layer = a_layer(content=WEIGHTS)
    raw = a_manifest(layer | {"size": 2**61}, layer, config=a_config())
    registry.add_manifest("a/b:latest", raw)
    assert isinstance(await refusal(library, registry), DamagedManifest)


async def test_names_of_layers_that_are_paths_lead_nowhere(
    registry: FakeRegistry, library: Library
) -> None:
    layer = a_layer(content=WEIGHTS, name="../../../../evil", **{"from": "../../evil"})
    registry.add_manifest("a/b:latest", a_manifest(layer, config=a_config()))
    await pulled(library, f"http://{registry.name}/a/b")
    assert not list(library.store.root.parent.rglob("*evil*"))


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b"{" * 100_000, b"\xff\xfe", json.dumps({"layers": 5}).encode()]
)
async def test_what_is_no_manifest(registry: FakeRegistry, library: Library, raw: bytes) -> None:
    registry.add_manifest("a/b:latest", raw)
    assert isinstance(await refusal(library, registry), DamagedManifest)


async def test_another_manifest_than_its_header_says(
    registry: FakeRegistry, library: Library
) -> None:
    raw, head = registry.manifests["a/b:latest"], {"Docker-Content-Digest": a_digest(b"other")}
    registry.answers["/v2/a/b/manifests"] = lambda talk: talk.say(raw, headers=head)
    assert isinstance(await refusal(library, registry), DamagedManifest)


def redirect_to(place: str) -> Callable[[Talk], None]:
    return lambda talk: talk.say(b"", 307, {"Location": place})


@pytest.mark.parametrize("path", ["/v2/a/b/manifests", "/v2/a/b/blobs"])
@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.2:1/x",
        "http://[::1]:1/x",
        "http://localhost.:1/x",
        "http://[::ffff:127.0.0.2]:1/x",
        "http://2130706434:1/x",
    ],
)
async def test_a_redirect_into_this_machine(
    registry: FakeRegistry, library: Library, path: str, place: str
) -> None:
    registry.answers[path] = redirect_to(place)
    error = await refusal(library, registry)
    assert isinstance(error, UnsafeRedirect) or error.code == "unreachable"


async def test_a_redirect_into_this_machine_asks_nothing_there(
    registry: FakeRegistry, library: Library
) -> None:
    with a_registry("127.0.0.2") as inner:
        registry.answers["/v2/a/b/blobs"] = redirect_to(f"{inner.url}/v2/a/b/blobs/x")
        assert isinstance(await refusal(library, registry), UnsafeRedirect)
        assert inner.asked == []


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", ""])
async def test_a_redirect_to_another_scheme(
    registry: FakeRegistry, library: Library, place: str
) -> None:
    registry.answers["/v2/a/b/manifests"] = redirect_to(place)
    error = await refusal(library, registry)
    assert isinstance(error, InvalidUrl) or error.code == "registry_refused"


async def test_a_redirect_in_a_circle(registry: FakeRegistry, library: Library) -> None:
    registry.answers["/v2/a/b/manifests"] = redirect_to("/v2/a/b/manifests/latest")
    assert "circle" in (await refusal(library, registry)).message


async def test_a_token_goes_to_no_other_origin(registry: FakeRegistry, library: Library) -> None:
    registry.token, registry.realm = "secret", f"{registry.url}/token"
    with a_registry() as other:
        other.blobs = registry.blobs
        for path in ("/v2/a/b/manifests", "/v2/a/b/blobs"):
            registry.answers[path] = redirect_to(f"{other.url}/v2/a/b/blobs/x")
            await refusal(library, registry)
        assert len(other.asked) >= 1
        assert other.headers_of("Authorization") == []


async def test_our_signature_goes_to_no_realm_elsewhere(
    registry: FakeRegistry, library: Library
) -> None:
    with a_registry("127.0.0.1") as other:
        registry.token, registry.realm = "secret", f"http://localhost:{other.port}/token"
        await refusal(library, registry)
        assert other.headers_of("Authorization") == []


async def test_a_realm_inside_this_machine_is_not_asked(
    registry: FakeRegistry, library: Library
) -> None:
    with a_registry("127.0.0.2") as inner:
        registry.token, registry.realm = "secret", f"{inner.url}/token"
        assert isinstance(await refusal(library, registry), UnsafeRedirect)
        assert inner.asked == []


async def test_who_asks_for_more_each_time_is_left(
    registry: FakeRegistry, library: Library
) -> None:
    head = {"WWW-Authenticate": f'Bearer realm="{registry.url}/token"'}
    registry.token = "secret"
    registry.answers["/v2/"] = lambda talk: talk.say(b"{}", 401, head)
    error = await refusal(library, registry)
    assert error.message == "pull model manifest: unauthorized: access denied"


async def test_who_says_nothing_is_given_up_in_the_end(tmp_path: Path) -> None:
    settings = RegistrySettings(home=tmp_path / "home", patience=Span.of(ms=50))
    library = a_library(tmp_path / "store", registries=settings)
    with a_registry() as registry:
        registry.add("a/b:latest", b"weights")
        registry.answers["/v2/a/b/blobs"] = lambda talk: talk.say_endlessly({}, b"", pause_s=0.1)
        with pytest.raises(PunaError, match="sent nothing"):
            await pulled(library, f"http://{registry.name}/a/b")


def trickle(talk: Talk) -> None:
    talk.say_endlessly({}, b" ", pause_s=0.02)


@pytest.mark.parametrize("path", ["/v2/a/b/manifests", "/v2/a/b/blobs", "/token"])
async def test_who_sends_a_byte_now_and_then_is_given_up_too(tmp_path: Path, path: str) -> None:
    settings = RegistrySettings(home=tmp_path / "home", patience=Span.of(ms=60))
    library = a_library(tmp_path / "store", registries=settings)
    with a_registry() as registry:
        registry.add("a/b:latest", WEIGHTS)
        if path == "/token":
            registry.token, registry.realm = "secret", f"{registry.url}/token"
        registry.answers[path] = trickle
        with pytest.raises(Unavailable):
            await pulled(library, f"http://{registry.name}/a/b")
    assert library.list_models().models == ()


async def test_a_registry_that_sends_whole_blobs_only_and_breaks_is_asked_again(
    registry: FakeRegistry, library: Library
) -> None:
    registry.has_ranges = False
    blob = registry.blobs[a_digest(WEIGHTS)]
    breaks = iter([True, True, True])

    def sometimes(talk: Talk) -> None:
        if next(breaks, False):
            talk.begin_blob(len(blob))
            talk.wfile.write(blob[:500_000])
            talk.reset()
        else:
            talk.say(blob)

    registry.answers[f"/v2/a/b/blobs/{a_digest(WEIGHTS)}"] = sometimes
    await pulled(library, f"http://{registry.name}/a/b")
    assert len(library.list_models().models) == 2

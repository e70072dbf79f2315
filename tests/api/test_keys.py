"""Keys at the door: scopes, ends, dialects, limits, and those who try."""

from datetime import timedelta
from pathlib import Path

import pytest

from puna.node.keys import KeyRing, KeyScope, KeyWish
from puna.settings import Address
from puna.units import Span
from tests.api.stage import Stage, staged

PUBLIC = Address(host="0.0.0.0")


def a_key(stage: Stage, scope: KeyScope = KeyScope.USE, **wish: object) -> str:
    """Make a key as the command does, in a process of its own."""
    ring = KeyRing(stage.node.settings.home, stage.world)
    return ring.create(KeyWish(name=f"k-{scope}", scope=scope, **wish))[1]  # type: ignore[arg-type]


async def status_of(stage: Stage, path: str, key: str, method: str = "GET") -> int:
    return (await stage.ask(method, path, Authorization=f"Bearer {key}")).status


@pytest.mark.parametrize(
    ("scope", "statuses"),
    [
        (KeyScope.USE, (200, 403, 403)),
        (KeyScope.MANAGE, (200, 400, 403)),
        (KeyScope.ADMIN, (200, 400, 200)),
    ],
)
async def test_a_scope_opens_its_paths_and_no_others(
    tmp_path: Path, scope: KeyScope, statuses: tuple[int, ...]
) -> None:
    async with staged(tmp_path, host=PUBLIC) as stage:
        key = a_key(stage, scope)
        asked = (("/api/tags", "GET"), ("/api/delete", "DELETE"), ("/metrics", "GET"))
        assert tuple([await status_of(stage, path, key, verb) for path, verb in asked]) == statuses


async def test_a_running_node_sees_a_new_key_and_a_revoked_one_at_once(tmp_path: Path) -> None:
    async with staged(tmp_path, host=PUBLIC) as stage:
        key = a_key(stage)
        before = await status_of(stage, "/api/tags", key)
        KeyRing(tmp_path, stage.world).revoke("k-use")
        after = await status_of(stage, "/api/tags", key)
    assert (before, after) == (200, 401)


async def test_an_expired_key_opens_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path, host=PUBLIC) as stage:
        key = a_key(stage, life=timedelta(days=1))
        stage.world.jump(timedelta(days=1))
        reply = await stage.ask("GET", "/api/tags", Authorization=f"Bearer {key}")
    assert (reply.status, reply.error) == (401, 'unauthorized: the key "k-use" has expired')


async def test_anthropics_header_is_read_too(tmp_path: Path) -> None:
    async with staged(tmp_path, host=PUBLIC) as stage:
        reply = await stage.ask("GET", "/api/tags", x_api_key=a_key(stage))
    assert reply.status == 200


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/api/chat", {"error": "unauthorized: the request has no key"}),
        ("/v1/chat/completions", {"message": "unauthorized: the request has no key"}),
        ("/v1/messages", {"type": "authentication_error"}),
    ],
)
async def test_a_refusal_is_told_in_the_dialect_of_the_path(
    tmp_path: Path, path: str, shape: dict[str, str]
) -> None:
    async with staged(tmp_path, host=PUBLIC) as stage:
        reply = await stage.ask("POST", path, {})
    said = reply.json if "error" in shape else reply.json["error"]
    assert isinstance(said, dict)
    assert shape.items() <= said.items()
    assert "puna keys create" in reply.headers["Puna-Hint"]


async def test_on_loopback_a_key_may_be_missing_but_not_wrong(stage: Stage) -> None:
    a_key(stage)
    assert (await stage.ask("GET", "/api/tags")).status == 200
    assert await status_of(stage, "/api/tags", "other") == 401


async def test_a_node_without_keys_takes_the_word_that_clients_must_send(stage: Stage) -> None:
    assert await status_of(stage, "/api/tags", "ollama") == 200
    assert await status_of(stage, "/api/tags", "puna_0123") == 401


async def test_a_setting_asks_for_keys_on_loopback_too(tmp_path: Path) -> None:
    async with staged(tmp_path, require_keys=True) as stage:
        assert (await stage.ask("GET", "/api/tags")).status == 401
        assert (await stage.ask("GET", "/health")).status == 200


async def test_a_key_has_so_many_requests_a_minute(tmp_path: Path) -> None:
    async with staged(tmp_path, host=PUBLIC) as stage:
        key = a_key(stage, requests_per_minute=2)
        statuses = [await status_of(stage, "/api/tags", key) for _ in range(3)]
        refused = await stage.ask("GET", "/api/tags", Authorization=f"Bearer {key}")
        await stage.world.advance(Span.of(seconds=30))
        again = await status_of(stage, "/api/tags", key)
    assert (statuses, again) == ([200, 200, 429], 200)
    assert refused.headers["Retry-After"] == "30"


async def test_a_key_has_so_many_tokens_a_minute(tmp_path: Path) -> None:
    async with staged(tmp_path, host=PUBLIC) as stage:
        key = a_key(stage, tokens_per_minute=3)
        body = {"model": "tiny", "prompt": "one two three four", "stream": False}
        sent = {"Authorization": f"Bearer {key}"}
        first = await stage.ask("POST", "/api/generate", body, **sent)
        second = await stage.ask("POST", "/api/generate", body, **sent)
    assert (first.status, second.status) == (200, 429)


async def test_guessing_is_slowed_down_and_good_keys_are_not(tmp_path: Path) -> None:
    async with staged(tmp_path, host=PUBLIC, api_key="word") as stage:
        key = a_key(stage)
        guesses = [await status_of(stage, "/api/tags", f"guess{n}") for n in range(11)]
        owner, good = (
            await status_of(stage, "/api/tags", "word"),
            await status_of(stage, "/api/tags", key),
        )
    assert guesses == [401] * 10 + [429]
    assert (owner, good) == (429, 200)


@pytest.mark.parametrize(
    "header",
    [
        b"Authorization: Bearer " + b"A" * 10_000_000,
        b"Authorization: Bearer \xff\xfe\x80",
        b"Authorization: Bearer",
        b"Authorization: \x80",
        b"X-Api-Key: \xc3\x28",
        b"Authorization: Basic cHVuYTpwdW5h",
        b"Authorization: Bearer a\r\nAuthorization: Bearer b",
    ],
    ids=["10MB", "not-utf8", "empty", "no-scheme", "bad-utf8", "basic", "twice"],
)
async def test_hostile_headers_open_nothing(tmp_path: Path, header: bytes) -> None:
    async with staged(tmp_path, host=PUBLIC) as stage:
        a_key(stage)
        request = b"GET /api/tags HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header
        try:
            reply = await stage.raw(request + b"\r\n\r\n")
        except ConnectionError:
            reply = b"HTTP/1.1 431"
        alive = (await stage.ask("GET", "/health")).status
    assert reply[:12] in {b"HTTP/1.1 401", b"HTTP/1.1 431", b"HTTP/1.1 400", b""}
    assert alive == 200


async def test_a_damaged_file_of_keys_lets_nobody_in(tmp_path: Path) -> None:
    async with staged(tmp_path, host=PUBLIC) as stage:
        key = a_key(stage)
        (tmp_path / "keys.json").write_text("{")
        assert await status_of(stage, "/api/tags", key) == 500
        assert (await stage.ask("GET", "/health")).status == 200


async def test_the_last_use_is_written_down(tmp_path: Path) -> None:
    async with staged(tmp_path, host=PUBLIC) as stage:
        await status_of(stage, "/api/tags", a_key(stage))
        ring = KeyRing(tmp_path, stage.world)
        await stage.until(lambda: bool(ring.last_used()))
        assert list(ring.last_used().values()) == [stage.world.now()]

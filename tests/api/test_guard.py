"""Who may call: Host, Origin, key, and what a browser is told."""

from pathlib import Path

import pytest

from puna.node.api.guard import ExposedWithoutKey, Rules, check_exposure
from puna.node.keys import KeyRing
from puna.settings import Address
from tests.api.stage import Stage, settings_for, staged
from tests.worlds import FakeWorld

PUBLIC = Address(host="0.0.0.0")


def a_ring(home: Path) -> KeyRing:
    return KeyRing(home, FakeWorld())


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("localhost:11434", True),
        ("LOCALHOST", True),
        ("127.0.0.1:11434", True),
        ("127.8.9.1", True),
        ("[::1]:11434", True),
        ("::1", True),
        ("0.0.0.0:11434", True),
        ("192.168.1.20:11434", True),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("[fd00::1]:80", True),
        ("box.local", True),
        ("ollama.internal:11434", True),
        ("app.localhost", True),
        ("", True),
        ("evil.com", False),
        ("evil.com:11434", False),
        ("localhost.evil.com", False),
        ("127.0.0.1.evil.com", False),
        ("evillocalhost", False),
        ("8.8.8.8", False),
        ("172.32.0.1", False),
        ("203.0.113.5", False),
        ("[2001:db8::1]", False),
        ("[::1].evil.com", False),
        ("[::1]evil.com:80", False),
        ("127.0.0.1:80.evil.com", False),
        ("localhost:80@evil.com", False),
        ("localhost, evil.com", False),
        ("local host", False),
    ],
)
def test_a_host_must_name_this_machine(tmp_path: Path, host: str, *, is_allowed: bool) -> None:
    assert Rules.of(settings_for(tmp_path)).allows_host(host) is is_allowed


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("http://localhost", True),
        ("https://localhost:3000", True),
        ("http://127.0.0.1:8080", True),
        ("http://0.0.0.0:1", True),
        ("app://obsidian.md", True),
        ("tauri://localhost", True),
        ("vscode-webview://abc", True),
        ("vscode-file://vscode-app", True),
        ("http://node.example:11434", True),
        ("http://evil.com", False),
        ("https://localhost.evil.com", False),
        ("http://localhost:1/x", False),
        ("http://localhost:1.evil.com", False),
        ("http://127.0.0.1:1@evil.com", False),
        ("chrome-extension://abc", False),
        ("null", False),
        ("http://node.example", False),
    ],
)
def test_an_origin_must_be_local_or_the_node_itself(
    tmp_path: Path, origin: str, *, is_allowed: bool
) -> None:
    rules = Rules.of(settings_for(tmp_path))
    assert rules.allows_origin(origin, "node.example:11434") is is_allowed


@pytest.mark.parametrize(
    ("setting", "origin"),
    [
        ("https://app.example", "https://app.example"),
        ("https://*.example", "https://a.b.example"),
        ("chrome-extension://*", "chrome-extension://abc"),
        ("http://10.0.0.5:*", "http://10.0.0.5:99"),
        ("*", "http://anything.at.all"),
    ],
)
def test_settings_add_origins_with_wildcards(tmp_path: Path, setting: str, origin: str) -> None:
    rules = Rules.of(settings_for(tmp_path, origins=(setting,)))
    assert rules.allows_origin(origin, "localhost")


async def test_a_foreign_host_gets_403_with_an_empty_body(stage: Stage) -> None:
    reply = await stage.ask("GET", "/api/tags", Host="evil.com")
    assert (reply.status, reply.body) == (403, b"")


async def test_two_hosts_are_one_too_many(stage: Stage) -> None:
    head = (
        b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\nHost: evil.com\r\nConnection: close\r\n\r\n"
    )
    assert (await stage.raw(head)).startswith(b"HTTP/1.1 403 ")


async def test_a_foreign_origin_gets_403_even_for_a_plain_question(stage: Stage) -> None:
    reply = await stage.ask("POST", "/api/generate", {"model": "tiny"}, Origin="http://evil.com")
    assert reply.status == 403
    assert stage.node.running() == ()


async def test_a_local_page_may_read_the_answer(stage: Stage) -> None:
    reply = await stage.ask("GET", "/api/tags", Origin="http://localhost:3000")
    assert reply.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert reply.headers["Vary"] == "Origin"


async def test_a_local_page_may_read_errors_too(stage: Stage) -> None:
    reply = await stage.ask("GET", "/nothing", Origin="http://localhost:3000")
    assert reply.status == 404
    assert reply.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"


async def test_a_preflight_is_answered_with_methods_headers_and_age(stage: Stage) -> None:
    asked = {"Access_Control_Request_Method": "POST", "Origin": "http://localhost:3000"}
    reply = await stage.ask("OPTIONS", "/api/chat", **asked)
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["Access-Control-Allow-Methods"] == "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
    allowed = reply.headers["Access-Control-Allow-Headers"].lower().split(",")
    assert {"authorization", "content-type", "x-stainless-os", "openai-beta"} <= set(allowed)
    assert reply.headers["Access-Control-Max-Age"] == "43200"


async def test_a_preflight_of_a_foreign_page_gets_403(stage: Stage) -> None:
    reply = await stage.ask("OPTIONS", "/api/chat", Origin="http://evil.com")
    assert reply.status == 403


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer s3cret", 200),
        ("bearer s3cret", 200),
        ("Bearer S3CRET", 401),
        ("Bearer s3cret2", 401),
        ("Basic s3cret", 401),
        ("s3cret", 401),
        ("Bearer \xff", 401),
        ("", 401),
    ],
)
async def test_with_a_key_only_its_bearers_get_in(
    tmp_path: Path, authorization: str, status: int
) -> None:
    async with staged(tmp_path, api_key="s3cret") as stage:
        reply = await stage.ask("GET", "/api/tags", Authorization=authorization)
    assert reply.status == status


@pytest.mark.parametrize("path", ["/api/version", "/api/ps", "/docs", "/openapi.json", "/nothing"])
async def test_with_a_key_every_path_but_the_root_asks_for_it(tmp_path: Path, path: str) -> None:
    async with staged(tmp_path, api_key="s3cret") as stage:
        reply, root = await stage.ask("GET", path), await stage.ask("GET", "/")
    assert (reply.status, reply.error) == (401, "unauthorized: the request has no key")
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert "s3cret" not in str(reply)
    assert root.status == 200


def test_listening_for_everybody_without_a_key_is_refused_with_both_ways_out(
    tmp_path: Path,
) -> None:
    with pytest.raises(ExposedWithoutKey) as refusal:
        check_exposure(settings_for(tmp_path, host=PUBLIC), a_ring(tmp_path))
    assert "PUNA_API_KEY" in refusal.value.hint
    assert "PUNA_HOST" in refusal.value.hint


@pytest.mark.parametrize(
    ("address", "key"), [(PUBLIC, "s3cret"), (Address(), ""), (Address(host="::1"), "")]
)
def test_loopback_or_a_key_is_enough_to_listen(tmp_path: Path, address: Address, key: str) -> None:
    check_exposure(settings_for(tmp_path, host=address, api_key=key), a_ring(tmp_path))


def test_a_gateway_in_front_is_enough_to_listen(tmp_path: Path) -> None:
    check_exposure(settings_for(tmp_path, host=PUBLIC, guarded=True), a_ring(tmp_path))


@pytest.mark.parametrize(
    ("requires", "key", "status"), [(False, "", 200), (True, "", 401), (False, "k", 401)]
)
async def test_behind_a_gateway_a_key_is_asked_for_only_where_one_is_set(
    tmp_path: Path, requires: bool, key: str, status: int
) -> None:
    async with staged(
        tmp_path, host=PUBLIC, guarded=True, require_keys=requires, api_key=key
    ) as stage:
        reply = await stage.ask("GET", "/api/tags", Host="pod.example")
    assert reply.status == status


async def test_a_node_that_others_reach_answers_to_any_host_name(tmp_path: Path) -> None:
    async with staged(tmp_path, host=PUBLIC, api_key="k") as stage:
        reply = await stage.ask("GET", "/api/tags", Host="node.example", Authorization="Bearer k")
    assert reply.status == 200

"""Failures in each dialect: what clients look for, with the status that goes with it."""

import json

import pytest

from puna.errors import Conflict, Denied, Failed, Invalid, NotFound, PunaError, Unavailable
from puna.node.api.dialect import ANTHROPIC, OLLAMA, OPENAI, Dialect, dialect_of
from tests.api.stage import Stage


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/api/chat", OLLAMA),
        ("/", OLLAMA),
        ("/v1", OLLAMA),
        ("/v1/chat/completions", OPENAI),
        ("/v1/models/a/b", OPENAI),
        ("/v1/messagesque", OPENAI),
        ("/v1/messages", ANTHROPIC),
        ("/v1/messages/count_tokens", ANTHROPIC),
    ],
)
def test_the_path_says_which_dialect_is_spoken(path: str, dialect: Dialect) -> None:
    assert dialect_of(path) is dialect


@pytest.mark.parametrize(
    ("error", "openai", "anthropic"),
    [
        (Invalid("x"), "invalid_request_error", "invalid_request_error"),
        (Denied("x"), "api_error", "permission_error"),
        (NotFound("x"), "not_found_error", "not_found_error"),
        (Conflict("x"), "api_error", "invalid_request_error"),
        (Failed("x"), "api_error", "api_error"),
        (Unavailable("x"), "api_error", "overloaded_error"),
    ],
)
def test_each_family_has_its_type(error: PunaError, openai: str, anthropic: str) -> None:
    assert json.loads(OPENAI.body(error, ""))["error"]["type"] == openai
    assert json.loads(ANTHROPIC.body(error, "req_1"))["error"]["type"] == anthropic


PROBLEM = '"type":"invalid_request_error"'


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (OLLAMA, '{"error":"no \\"é\\""}'),
        (OPENAI, f'{{"error":{{"message":"no \\"é\\"",{PROBLEM},"param":null,"code":null}}}}'),
        (
            ANTHROPIC,
            f'{{"type":"error","error":{{{PROBLEM},"message":"no \\"é\\""}},"request_id":"req_1"}}',
        ),
    ],
)
def test_the_bytes_of_a_failure(dialect: Dialect, text: str) -> None:
    assert dialect.body(Invalid('no "é"'), "req_1") == text.encode()


@pytest.mark.parametrize(
    ("dialect", "begins", "ends"),
    [
        (OLLAMA, b'{"error":"gone"}', b"\n"),
        (OPENAI, b'data: {"error":{"message":"gone"', b"data: [DONE]\n\n"),
        (ANTHROPIC, b'event: error\ndata: {"type":"error"', b"\n\n"),
    ],
)
def test_the_last_words_of_an_answer_that_failed(
    dialect: Dialect, begins: bytes, ends: bytes
) -> None:
    words = dialect.last_words(Failed("gone"))
    assert words.startswith(begins)
    assert words.endswith(ends)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_body_that_is_no_json_is_told_in_the_dialect(stage: Stage, path: str) -> None:
    reply = await stage.ask("POST", path, b"{")
    assert reply.status == 400
    assert isinstance(reply.error, dict)
    assert reply.error["type"] == "invalid_request_error"


async def test_a_wrong_method_is_405(stage: Stage) -> None:
    assert (await stage.ask("GET", "/v1/chat/completions")).status == 405


async def test_a_request_has_one_id(stage: Stage) -> None:
    ids = {(await stage.ask("POST", "/v1/messages", b"{")).headers["Request-Id"] for _ in "ab"}
    assert [len(each) for each in ids] == [28, 28]

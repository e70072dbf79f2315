"""What every path has in common: who answers, unknown paths, wrong methods, the OpenAPI page."""

import pytest

from tests.api.stage import Stage


async def test_the_root_says_what_ollama_s_clients_look_for(stage: Stage) -> None:
    reply = await stage.ask("GET", "/")
    assert (reply.status, reply.body) == (200, b"Ollama is running")


@pytest.mark.parametrize("path", ["/", "/api/tags", "/api/version"])
async def test_head_answers_without_a_body(stage: Stage, path: str) -> None:
    reply = await stage.ask("HEAD", path)
    assert (reply.status, reply.body) == (200, b"")


async def test_the_version_names_ollama_s_and_puna_s(stage: Stage) -> None:
    reply = await stage.ask("GET", "/api/version")
    assert reply.body == b'{"version":"0.32.15","puna":"0.1.0"}'
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    "path", ["/nothing", "/api", "/api/tags/", "/api/embedded", "/v1/nothing", "/etc/passwd"]
)
async def test_an_unknown_path_is_404_in_plain_text(stage: Stage, path: str) -> None:
    reply = await stage.ask("GET", path)
    assert (reply.status, reply.body) == (404, b"404 page not found")
    assert reply.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/chat", "POST"),
        ("PUT", "/api/generate", "POST"),
        ("POST", "/api/delete", "DELETE"),
        ("DELETE", "/api/ps", "GET"),
    ],
)
async def test_a_wrong_method_is_405_and_told_the_right_one(
    stage: Stage, method: str, path: str, allowed: str
) -> None:
    reply = await stage.ask(method, path)
    assert (reply.status, reply.headers["Allow"]) == (405, allowed)


async def test_the_openapi_document_lists_every_path_and_what_it_takes(stage: Stage) -> None:
    document = (await stage.ask("GET", "/openapi.json")).json
    paths, components = document["paths"], document["components"]
    assert isinstance(paths, dict)
    assert isinstance(components, dict)
    assert {"/api/chat", "/api/generate", "/api/show", "/api/pull", "/api/ps"} <= set(paths)
    taken = paths["/api/chat"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert taken == {"$ref": "#/components/schemas/puna__wire__ollama__ChatRequest"}
    assert "messages" in components["schemas"]["puna__wire__ollama__ChatRequest"]["properties"]


async def test_every_reference_in_the_openapi_document_leads_somewhere(stage: Stage) -> None:
    document = await stage.ask("GET", "/openapi.json")
    text, components = document.body.decode(), document.json["components"]
    assert isinstance(components, dict)
    named = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert named <= set(components["schemas"])


async def test_the_docs_page_needs_no_other_server(stage: Stage) -> None:
    reply = await stage.ask("GET", "/docs")
    assert reply.status == 200
    assert b"openapi.json" in reply.body
    assert b"http://" not in reply.body
    assert b"https://" not in reply.body


async def test_there_is_no_cloud_behind_a_node(stage: Stage) -> None:
    reply = await stage.ask("GET", "/api/status")
    assert reply.json == {"cloud": {"disabled": True, "source": "env"}}


async def test_json_has_the_type_that_ollama_gives_it(stage: Stage) -> None:
    for path, type_ in (
        ("/api/tags", "application/json; charset=utf-8"),
        ("/v1/models", "application/json"),
    ):
        assert (await stage.ask("GET", path)).headers["Content-Type"] == type_


async def test_a_body_of_null_is_an_empty_one(stage: Stage) -> None:
    reply = await stage.ask("POST", "/api/chat", b"null")
    assert (reply.status, reply.error) == (400, "model is required")


@pytest.mark.parametrize(
    ("method", "path", "number", "says"),
    [
        ("POST", "/api/me", 501, "puna has no accounts"),
        ("POST", "/api/signout", 501, "puna has no accounts"),
        ("DELETE", "/api/user/keys/abc", 501, "puna has no accounts"),
        ("POST", "/api/experimental/web_search", 403, "web search is unavailable"),
        ("POST", "/api/experimental/web_fetch", 403, "web fetch is unavailable"),
    ],
)
async def test_what_ollama_s_cloud_does_is_refused_with_the_reason(
    stage: Stage, method: str, path: str, number: int, says: str
) -> None:
    reply = await stage.ask(method, path, {})
    assert reply.status == number
    assert says in str(reply.error)

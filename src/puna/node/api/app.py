"""The node's HTTP application: Ollama's paths, an OpenAPI page, and the guard before all of it.

FastAPI knows every path and describes it at `/docs` and `/openapi.json`, and answers what is no
path. The paths themselves are called straight from a table: FastAPI's way to them (eight layers, a
scan of all paths, two stacks of exits) took a third of the time that a request spends in puna.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Literal

from fastapi import FastAPI, Request
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from puna.node.api import catalog, health, scoring
from puna.node.api.access import Gate
from puna.node.api.anthropic import routes as anthropic
from puna.node.api.desk import Desk
from puna.node.api.dialect import ANTHROPIC, EVENTS, NDJSON, OLLAMA, OPENAI, dialect_of
from puna.node.api.docs import PAGE
from puna.node.api.endpoint import Endpoint
from puna.node.api.guard import Guard, Rules
from puna.node.api.ollama import (
    cloud as ollama_cloud,
    embedding as ollama_embedding,
    routes as ollama,
)
from puna.node.api.openai import (
    batches as openai_batches,
    embeddings as openai_embeddings,
    files as openai_files,
    routes as openai,
)
from puna.node.api.reply import LastResort, add_error_replies
from puna.node.api.rows import RowCalls
from puna.node.api.watch import AccessLog, Watch
from puna.node.keys import KeyRing
from puna.version import __version__
from puna.wire import anthropic as anthropic_wire, openai as openai_wire
from puna.wire.ollama import ErrorReply

ENDPOINTS: tuple[Endpoint, ...] = (
    *ollama.ENDPOINTS,
    *ollama_cloud.ENDPOINTS,
    *ollama_embedding.ENDPOINTS,
    *scoring.ENDPOINTS,
    *openai.ENDPOINTS,
    *openai_embeddings.ENDPOINTS,
    *openai_files.ENDPOINTS,
    *openai_batches.ENDPOINTS,
    *catalog.ENDPOINTS,
    *health.ENDPOINTS,
    *anthropic.ENDPOINTS,
)
"""Every path of the node."""
_FIXED = frozenset(each.path for each in ENDPOINTS if not each.parameter) | {"/docs"}
_OPEN = tuple(each for each in ENDPOINTS if each.parameter)
_FAILURES: Mapping[str, type[BaseModel]] = {
    OLLAMA.name: ErrorReply,
    OPENAI.name: openai_wire.Failure,
    ANTHROPIC.name: anthropic_wire.Failure,
}
_SCHEMA = "#/components/schemas/{model}"
Call = Callable[[Request], Awaitable[Response]]
_DESCRIPTION = (
    'Ollama\'s API, spoken by puna. Errors are `{"error": "..."}`; the header `Puna-Error-Code` '
    "is for programs and `Puna-Hint` says what to do next. `Puna-Truncated` tells what was "
    "cut, and `Puna-Ignored-Options` what had no effect."
)


def make_app(desk: Desk) -> ASGIApp:
    """Return the whole application for one node."""
    api = FastAPI(
        title="puna",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for endpoint in ENDPOINTS:
        _add(api, endpoint)
    api.add_api_route("/docs", _docs, methods=["GET"], include_in_schema=False)
    add_error_replies(api)
    _describe_bodies(api)
    return _watched(api, desk)


def _watched(api: FastAPI, desk: Desk) -> ASGIApp:
    node, settings = desk.node, desk.node.settings
    ring = KeyRing(settings.home, node.world)
    gate = Gate(settings, ring, node.world)
    paths = Paths(api)
    desk.batches.answer_with(RowCalls(LastResort(paths, desk), desk, gate, ring.good))
    inner = LastResort(Guard(paths, Rules.of(settings), gate), desk)
    log = AccessLog(settings.home / "logs" / "access.log") if settings.access_log else None
    return Watch(inner, gate, desk.metrics, log=log, route_of=_route_of)


def _route_of(path: str) -> str:
    """Return the path as the table has it, empty for one that is not there."""
    if path in _FIXED:
        return path
    return next((each.route for each in _OPEN if each.value_in(path)), "")


class Paths:
    """Calls the path that a request names; whatever is not in the table goes to `others`."""

    def __init__(self, others: ASGIApp) -> None:
        self._others = others
        self._calls = {
            (each.method, each.path): each.call for each in ENDPOINTS if not each.parameter
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. What a path raises rises."""
        method, path = scope.get("method", ""), scope.get("path", "")
        call = self._calls.get((method, path)) or self._call_of(scope, method, path)
        if call is None:
            await self._others(scope, receive, send)
            return
        response = await call(Request(scope, receive, send))
        await response(scope, receive, send)

    def _call_of(self, scope: Scope, method: str, path: str) -> Call | None:
        """Find the call of a path with a parameter, and let the request know the parameter."""
        for each in _OPEN:
            if each.method == method and (value := each.value_in(path)):
                scope["path_params"] = {each.parameter: value}
                return each.call
        return None


async def _docs(_request: Request) -> Response:
    return HTMLResponse(PAGE)


def _add(api: FastAPI, endpoint: Endpoint) -> None:
    """Add one path. FastAPI documents it; the path itself reads the body."""
    extra: dict[str, object] = {}
    if endpoint.takes is not None:
        extra["requestBody"] = {"content": _json_of(endpoint.takes), "required": True}
    if endpoint.parameter:
        where = {"name": endpoint.parameter, "in": "path", "required": True}
        extra["parameters"] = [{**where, "schema": {"type": "string"}}]
    api.add_api_route(
        endpoint.path,
        endpoint.call,
        methods=[endpoint.method],
        name=f"{endpoint.method.lower()}_{endpoint.call.__name__}",
        summary=endpoint.summary,
        response_model=None,
        responses=_responses(endpoint),
        openapi_extra=extra or None,
        include_in_schema=endpoint.method != "HEAD",
    )


def _responses(endpoint: Endpoint) -> dict[int | str, dict[str, object]]:
    success: dict[str, object] = {"description": "Success"}
    if endpoint.gives is not None:
        success["content"] = _json_of(endpoint.gives)
        if endpoint.streams:
            success |= _streamed(endpoint.path, endpoint.gives)
    if endpoint.path == "/":
        success["content"] = {"text/plain": {}}
        return {200: success}
    failure = _FAILURES[dialect_of(endpoint.path).name]
    return {200: success, "default": {"description": "Failure", "content": _json_of(failure)}}


def _streamed(path: str, shape: type[BaseModel]) -> dict[str, object]:
    """Describe an answer that comes whole or in pieces, as the client asks."""
    if dialect_of(path) is OLLAMA:
        pieces = {NDJSON: {"schema": _reference(shape)}}
        return {
            "description": "One object, or one object a line",
            "content": {**pieces, **_json_of(shape)},
        }
    events = {EVENTS: {"schema": {"type": "string"}}}
    return {
        "description": "One object, or a stream of events",
        "content": {**_json_of(shape), **events},
    }


def _json_of(shape: type[BaseModel]) -> dict[str, object]:
    return {"application/json": {"schema": _reference(shape)}}


def _reference(shape: type[BaseModel]) -> dict[str, str]:
    """Point to a body; `_resolve` puts in its name, since two dialects may have one of the same."""
    return {"$ref": _place(shape)}


def _place(shape: type[BaseModel]) -> str:
    return f"{shape.__module__}.{shape.__qualname__}"


def _describe_bodies(api: FastAPI) -> None:
    """Let the OpenAPI document define the bodies, which FastAPI itself never sees."""
    describe = api.openapi

    def described() -> dict[str, object]:
        document = describe()
        if "components" not in document:
            schemas, places = _body_schemas()
            document["components"] = {"schemas": schemas}
            _resolve(document["paths"], places)
        return document

    api.openapi = described  # type: ignore[method-assign]


def _resolve(part: object, places: Mapping[str, str]) -> None:
    """Let every reference in a part of the document point to its schema."""
    if isinstance(part, list):
        for each in part:
            _resolve(each, places)
    if isinstance(part, dict):
        if "$ref" in part:
            part["$ref"] = places[part["$ref"]]
        for each in part.values():
            _resolve(each, places)


@cache
def _body_schemas() -> tuple[Mapping[str, object], Mapping[str, str]]:
    """Return the schema of every body, and where each is found.

    It takes a tenth of a second, so only the page asks.
    """
    shapes: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        *((each.takes, "validation") for each in ENDPOINTS if each.takes),
        *((each.gives, "serialization") for each in ENDPOINTS if each.gives),
        *((each, "serialization") for each in _FAILURES.values()),
    ]
    found, definitions = models_json_schema(list(dict.fromkeys(shapes)), ref_template=_SCHEMA)
    places = {_place(shape): str(found[shape, mode]["$ref"]) for shape, mode in shapes}
    return definitions["$defs"], places

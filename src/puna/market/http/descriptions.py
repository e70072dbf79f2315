"""`/v1/openapi.json` and `/v2/openapi.json`: where RunPod's own descriptions lie, the market's.

What every path may answer (no key, too often, not well just now) is written down here once, in the
words of each dialect, so that a client made from a description knows of it.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request

router = APIRouter(include_in_schema=False)
_OF_ALL = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.NOT_IMPLEMENTED,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_OF_A_BODY = (HTTPStatus.UNPROCESSABLE_ENTITY,)
_OF_RENTING = (HTTPStatus.PAYMENT_REQUIRED,)
_PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "hint": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "string"}},
    },
}
_ERROR = {
    "type": "object",
    "required": ["error", "message", "status"],
    "properties": {
        "error": {"type": "string"},
        "message": {"type": "string"},
        "status": {"type": "integer"},
    },
}
_OPEN = frozenset({"/health"})
"""What needs no key."""
_OF_GRAPHQL = {
    "type": "object",
    "required": ["errors"],
    "properties": {"errors": {"type": "array", "items": {"type": "object"}}},
}
_OF_NO_DIALECT = {
    "type": "object",
    "required": ["error", "code"],
    "properties": {
        "error": {"type": "string"},
        "code": {"type": "string"},
        "hint": {"type": "string"},
    },
}


@router.get("/v1/openapi.json")
async def version_1(request: Request) -> Mapping[str, Any]:
    """Describe version 1. Needs no key."""
    return _described(request, "v1")


@router.get("/v2/openapi.json")
async def version_2(request: Request) -> Mapping[str, Any]:
    """Describe version 2, with what is the market's own. Needs no key."""
    return _described(request, "v2")


def _described(request: Request, version: str) -> Mapping[str, Any]:
    whole = request.app.openapi()
    paths = {path: each for path, each in whole["paths"].items() if path.startswith(f"/{version}/")}
    return {**whole, "paths": paths}


def complete(described: dict[str, Any]) -> dict[str, Any]:
    """Return what FastAPI says of the market with keys and with errors as they are answered."""
    for path, operations in described["paths"].items():
        for operation in operations.values():
            operation["responses"] = _answers(path, operation)
            if path in _OPEN:
                operation["security"] = []
    key = {"bearer": {"type": "http", "scheme": "bearer"}}
    components = {**described.get("components", {}), "securitySchemes": key}
    return {**described, "components": components, "security": [{"bearer": []}]}


def _answers(path: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a path may answer: what it is for, and what may go wrong."""
    unprocessable = str(int(HTTPStatus.UNPROCESSABLE_ENTITY))
    known = {code: each for code, each in operation["responses"].items() if code != unprocessable}
    rents = path.endswith(("/pods", "/action", "/start", "/restart", "/reset"))
    codes = (*_OF_ALL, *(_OF_RENTING if rents else ()), *(() if _is_v1(path) else _OF_A_BODY))
    return known | {str(int(code)): _failure(path, code) for code in sorted(codes)}


def _is_v1(path: str) -> bool:
    return path.startswith("/v1/")


def _failure(path: str, code: HTTPStatus) -> Mapping[str, Any]:
    kind, schema = "application/json", _OF_NO_DIALECT
    if path.startswith("/v2/"):
        kind, schema = "application/problem+json", _PROBLEM
    if _is_v1(path):
        schema = _ERROR
    if path == "/graphql":
        schema = _OF_GRAPHQL
    return {"description": code.phrase, "content": {kind: {"schema": schema}}}

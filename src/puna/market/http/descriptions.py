"""`/v1/openapi.json` and `/v2/openapi.json`: where RunPod's own descriptions lie, the market's."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request

router = APIRouter(include_in_schema=False)


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
    key = {"bearer": {"type": "http", "scheme": "bearer"}}
    components = {**whole.get("components", {}), "securitySchemes": key}
    return {**whole, "paths": paths, "components": components, "security": [{"bearer": []}]}

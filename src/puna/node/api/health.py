"""`GET /health` and `GET /metrics`: whether the node is well, and its numbers."""

import json

from fastapi import Request
from starlette.responses import Response

from puna.node.api.desk import desk_of
from puna.node.api.endpoint import Endpoint
from puna.node.api.metrics import TEXT_TYPE
from puna.node.api.streaming import JSON
from puna.version import __version__


async def health(request: Request) -> Response:
    """Tell that the node lives, and whether it takes requests. Needs no key."""
    node = desk_of(request).node
    waiting = node.waiting
    is_ready = waiting < node.settings.max_queue
    value = {
        "status": "ok" if is_ready else "busy",
        "ready": is_ready,
        "version": __version__,
        "loaded_models": len(node.running()),
        "waiting_requests": waiting,
    }
    return Response(json.dumps(value), media_type=JSON)


async def metrics(request: Request) -> Response:
    """Tell numbers for Prometheus. A key needs the scope admin."""
    desk = desk_of(request)
    return Response(desk.metrics.text(desk.node), media_type=TEXT_TYPE)


ENDPOINTS = (
    Endpoint(method="GET", path="/health", call=health),
    Endpoint(method="HEAD", path="/health", call=health),
    Endpoint(method="GET", path="/metrics", call=metrics),
)

"""What Ollama's programs ask about its cloud: there is none behind a node, and each is told so."""

from fastapi import Request
from starlette.responses import Response

from puna.errors import Denied, Unsupported
from puna.node.api.endpoint import Endpoint
from puna.node.api.streaming import JSON
from puna.wire import ollama as wire


class NoAccounts(Unsupported):
    """Somebody wants to sign in, or asks who has."""

    code = "no_accounts"


class NoCloud(Denied):
    """A service is asked for that Ollama's cloud has."""

    code = "no_cloud"


async def status(_request: Request) -> Response:
    """Tell that there is no cloud behind this node, in the form in which Ollama tells it."""
    told = wire.Status(cloud=wire.CloudStatus(disabled=True, source="env"))
    return Response(told.to_json(), media_type=JSON)


async def account(_request: Request) -> Response:
    """Refuse to sign in or out, or to say who has."""
    raise NoAccounts(
        "there is nobody to sign in or out: puna has no accounts",
        hint="`puna push` pushes with the key of this machine, without signing in",
    )


async def search(_request: Request) -> Response:
    """Refuse to search the web, in Ollama's words."""
    raise NoCloud("ollama cloud is disabled: web search is unavailable")


async def fetch(_request: Request) -> Response:
    """Refuse to fetch a page, in Ollama's words."""
    raise NoCloud("ollama cloud is disabled: web fetch is unavailable")


ENDPOINTS = (
    Endpoint(method="GET", path="/api/status", call=status, gives=wire.Status),
    Endpoint(method="POST", path="/api/me", call=account),
    Endpoint(method="POST", path="/api/signout", call=account),
    Endpoint(method="DELETE", path="/api/user/keys/{key}", call=account),
    Endpoint(method="POST", path="/api/experimental/web_search", call=search),
    Endpoint(method="POST", path="/api/experimental/web_fetch", call=fetch),
)

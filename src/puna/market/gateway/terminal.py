"""A terminal of a pod, in a page: the page and what it needs. Its socket is in `terminals.py`.

xterm.js is shipped with puna as it was published, so that the page loads nothing from elsewhere.
"""

import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from puna.errors import NotFound

router = APIRouter(include_in_schema=False)
_ASSETS = Path(__file__).with_name("assets")
_KINDS = {
    "addon-fit.js": "text/javascript",
    "terminal.css": "text/css",
    "terminal.html": "text/html; charset=utf-8",
    "terminal.js": "text/javascript",
    "xterm.css": "text/css",
    "xterm.js": "text/javascript",
}
_POD = re.compile(r"[a-z0-9]{14}")
_RULES = {
    # xterm.js writes style elements of its own
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class NoSuchPage(NotFound):
    """There is no such page."""

    code = "no_such_page"


@router.get("/terminal/{pod}")
async def page(pod: str) -> Response:
    """Return the page. It is the same for every pod, and asks for a key without a ticket."""
    if not _POD.fullmatch(pod):
        raise NoSuchPage("a terminal is at /terminal/POD")
    return _file("terminal.html", "no-store")


@router.get("/terminal/assets/{name}")
async def asset(name: str) -> Response:
    """Return a file that the page needs."""
    if name not in _KINDS or name.endswith(".html"):
        raise NoSuchPage("the terminal has no such file")
    return _file(name, "public, max-age=3600")


def _file(name: str, caching: str) -> Response:
    headers = {"Cache-Control": caching, **_RULES}
    return Response(_read(name), headers=headers, media_type=_KINDS[name])


@cache
def _read(name: str) -> bytes:
    return (_ASSETS / name).read_bytes()

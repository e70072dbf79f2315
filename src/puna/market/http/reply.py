"""Failures become replies, in the dialect of the path.

Version 2 has problem objects, version 1 `{error, message, status}`, GraphQL a list of errors with
status 200, and what is ours `{error, code, hint}`. What nobody foresaw is logged and gives nothing
away.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from puna.errors import Failed, Invalid, NotFound, PunaError, Unavailable
from puna.market.db.database import DatabaseClash
from puna.market.http.again import tell_clash
from puna.market.http.auth import caller_of, key_in, market_of
from puna.market.http.mistakes import mistake
from puna.text import one_line

_LOG = logging.getLogger("puna.market")
_PROBLEM = "application/problem+json"
_JSON = "application/json"
_LONGEST = 1000


class InternalError(Failed):
    """A mistake in the market itself; its log has the traceback."""

    code = "internal"


class InvalidBody(Invalid):
    """The body is not what this path takes; `problems` names each mistake."""

    code = "invalid_body"
    status = 422

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class NoSuchPath(NotFound):
    """The market has no such path, or not for this method."""

    code = "no_such_path"


def error_reply(error: PunaError, path: str, status: int | None = None) -> Response:
    """Return the reply for an error, in the dialect of a path and with its own status if none."""
    headers = {"Puna-Error-Code": error.code}
    if error.hint:
        hint = one_line(error.hint, _LONGEST)
        headers["Puna-Hint"] = hint.encode("ascii", "backslashreplace").decode()
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    body, told, kind = _body(error, path, status or error.status)
    text = json.dumps(body, ensure_ascii=False)
    return Response(text.encode(errors="backslashreplace"), told, headers, media_type=kind)


def _body(error: PunaError, path: str, status: int) -> tuple[Mapping[str, object], int, str]:
    if path == "/graphql":
        is_auth = status == HTTPStatus.UNAUTHORIZED  # the one status that its clients look at
        body = {"errors": [{"message": error.message, "extensions": {"code": error.code}}]}
        return body, status if is_auth or status >= HTTPStatus.TOO_MANY_REQUESTS else 200, _JSON
    if _is_under(path, "/v2"):
        return _problem(error, status), status, _PROBLEM
    if _is_under(path, "/v1"):
        return {"error": error.message, "message": error.message, "status": status}, status, _JSON
    ours = {"error": error.message, "code": error.code}
    return ours | ({"hint": error.hint} if error.hint else {}), status, _JSON


def _problem(error: PunaError, status: int) -> Mapping[str, object]:
    title = HTTPStatus(status).phrase if status in _KNOWN else error.code
    problem: dict[str, object] = {
        "title": title,
        "status": status,
        "detail": error.message,
        "code": error.code,
    }
    if error.hint:
        problem["hint"] = error.hint
    if isinstance(error, InvalidBody):
        problem |= {"detail": "Request validation failed.", "errors": list(error.problems)}
    return problem


_KNOWN = frozenset(int(each) for each in HTTPStatus)


def _is_under(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def invalid_body(error: RequestValidationError) -> InvalidBody:
    """Name each mistake as RunPod's version 2 does; never what was sent."""
    return InvalidBody(mistake(each) for each in error.errors())


def add_error_replies(app: FastAPI) -> None:
    """Let every failure of `app` be answered in the dialect of its path."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, PunaError)  # noqa: S101 - registered for it alone
        if isinstance(error, DatabaseClash):
            tell_clash(request.scope)
        return error_reply(error, request.url.path)

    async def body(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
        path = request.url.path
        if _is_under(path, "/v1") or _is_under(path, "/v2"):
            try:  # what is no JSON at all is noticed before the key was looked at
                await caller_of(market_of(request), key_in(request))
            except PunaError as denied:
                return error_reply(denied, path)
        # version 1 knows no 422
        status = HTTPStatus.BAD_REQUEST if _is_under(path, "/v1") else None
        return error_reply(invalid_body(error), path, status)

    async def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
        what = HTTPStatus(error.status_code).phrase.lower()
        found = NoSuchPath(f"{what}: {request.method} {request.url.path}")
        reply = error_reply(found, request.url.path, error.status_code)
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            reply.headers["Allow"] = ", ".join(sorted(methods_of(app, request.scope)))
        return reply

    async def unforeseen(request: Request, error: Exception) -> Response:
        del error  # rises on, to be logged
        return error_reply(internal_error(), request.url.path)

    app.add_exception_handler(Exception, unforeseen)
    app.add_exception_handler(PunaError, ours)
    app.add_exception_handler(RequestValidationError, body)
    app.add_exception_handler(HTTPException, plain)


def methods_of(app: FastAPI, scope: Scope) -> set[str]:
    """Return every method that some route takes at the path of a request."""
    return {
        method
        for method in _METHODS
        for route in app.routes
        if route.matches({**scope, "method": method})[0] is Match.FULL
    }


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def internal_error() -> InternalError:
    """Return the error that stands for one that nobody foresaw."""
    return InternalError("internal error: the market's log says more")


class LastResort:
    """Logs what nobody foresaw and answers it. Nothing rises to the server."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except PunaError as error:
            failure: PunaError = error
        except Exception:  # noqa: BLE001 - the outermost border: logged, and the client is told
            _LOG.exception("internal error in %s %s", scope.get("method"), scope.get("path"))
            failure = internal_error()
        else:
            return
        if scope["type"] == "http" and not has_begun:
            await error_reply(failure, scope["path"])(scope, receive, send)

"""The border at which failures become replies, in the words and with the status of the dialect.

Whatever a route raises ends here: what puna can explain becomes an error in the dialect of the
path, with its status, and what it cannot is logged with its traceback and becomes a 500 that gives
nothing away. Header values are built here too, since a model's name or an option's can hold
anything.
"""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from puna.errors import Failed, PunaError, Unavailable
from puna.node.api.desk import Desk, request_id, seat
from puna.node.api.dialect import OLLAMA, dialect_of, ollama_error
from puna.node.api.streaming import JSON
from puna.text import one_line

_LOG = logging.getLogger("puna.api")
_PLAIN_TEXTS = {404: "404 page not found", 405: "405 method not allowed"}
_HEADER_LIMIT = 1000


class Unexpected(Failed):
    """A mistake in puna itself; the log has the traceback."""

    code = "internal"


def unexpected() -> Unexpected:
    """Return the error that stands for one that puna did not foresee."""
    return Unexpected("internal error: the server's log says more")


def error_reply(error: PunaError, scope: Scope | None = None) -> Response:
    """Return the reply for an error; `Puna-Error-Code` is for programs, `Puna-Hint` for people.

    The request's `scope` tells the dialect; without one it is Ollama's.
    """
    dialect = OLLAMA if scope is None else dialect_of(scope.get("path", ""))
    headers = {"Puna-Error-Code": error.code}
    number = request_id(scope)
    if number:
        headers["Request-Id"] = number
    if error.hint:
        headers["Puna-Hint"] = header_text(error.hint)
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after_s)
    return Response(dialect.body(error, number), error.status, headers, media_type=JSON)


def error_json(error: PunaError) -> bytes:
    """Return the body of an error in Ollama's dialect."""
    return ollama_error(error)


def header_text(text: str) -> str:
    """Return `text` as a header value: one line of ASCII, other characters escaped, cut if huge."""
    return one_line(text, _HEADER_LIMIT).encode("ascii", "backslashreplace").decode()


def add_error_replies(app: FastAPI) -> None:
    """Let `app` say in plain text, as Ollama does, that there is no such path or method."""

    async def plain(_request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = error.headers if isinstance(error, HTTPException) else None
        text = _PLAIN_TEXTS.get(status) or HTTPStatus(status).phrase
        return PlainTextResponse(text, status, headers)

    app.add_exception_handler(HTTPException, plain)


class LastResort:
    """Answers what a path raises, and logs what nobody foresaw. Nothing rises to the server."""

    def __init__(self, app: ASGIApp, desk: Desk | None = None) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._desk is not None:
            seat(self._desk, scope)
        last: Message = {}

        async def noted(message: Message) -> None:
            nonlocal last
            last = message
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except PunaError as error:
            failure = error
        except Exception:  # noqa: BLE001 - the outermost border: logged, and the client is told
            _LOG.exception("internal error in %s %s", scope.get("method"), scope.get("path"))
            failure = unexpected()
        else:
            return
        if not last:
            await error_reply(failure, scope)(scope, receive, send)
        elif last.get("more_body"):  # a stream has begun, and this is its last line
            body = dialect_of(scope.get("path", "")).last_words(failure)
            await send({"type": "http.response.body", "body": body, "more_body": False})

"""How a failure is told in each dialect: the path says which one the client speaks.

Three families of clients look for the text of an error in three places, and each has its own way
to be told of one after the answer has begun.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from puna.errors import PunaError

NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"
_ANTHROPIC = "/v1/messages"
_OPENAI = "/v1/"
_OPENAI_TYPES = {400: "invalid_request_error", 404: "not_found_error"}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """One family of clients."""

    name: str
    stream_type: str
    """The Content-Type of an answer that is sent piece by piece."""
    body: Callable[[PunaError, str], bytes]
    """Writes an error, given the id of the request."""
    last_words: Callable[[PunaError], bytes]
    """Writes the end of an answer that failed after it had begun."""


def dialect_of(path: str) -> Dialect:
    """Return the dialect in which a path is answered."""
    if path == _ANTHROPIC or path.startswith(f"{_ANTHROPIC}/"):
        return ANTHROPIC
    return OPENAI if path.startswith(_OPENAI) else OLLAMA


def ollama_error(error: PunaError) -> bytes:
    """Return the body of an error for Ollama's clients."""
    return _json({"error": error.message})


def openai_error(error: PunaError) -> bytes:
    """Return the body of an error for OpenAI's clients."""
    kind = _OPENAI_TYPES.get(error.status, "api_error")
    return _json({"error": {"message": error.message, "type": kind, "param": None, "code": None}})


def anthropic_error(error: PunaError, request_id: str) -> bytes:
    """Return the body of an error for Anthropic's clients."""
    fallback = (
        "invalid_request_error" if error.status < HTTPStatus.INTERNAL_SERVER_ERROR else "api_error"
    )
    kind = _ANTHROPIC_TYPES.get(error.status, fallback)
    body: dict[str, object] = {"type": "error", "error": {"type": kind, "message": error.message}}
    return _json(body | {"request_id": request_id} if request_id else body)


def _json(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace")


OLLAMA = Dialect(
    "ollama",
    NDJSON,
    lambda error, _: ollama_error(error),
    lambda error: ollama_error(error) + b"\n",
)
OPENAI = Dialect(
    "openai",
    EVENTS,
    lambda error, _: openai_error(error),
    lambda error: b"data: " + openai_error(error) + b"\n\ndata: [DONE]\n\n",
)
ANTHROPIC = Dialect(
    "anthropic",
    EVENTS,
    anthropic_error,
    lambda error: b"event: error\ndata: " + anthropic_error(error, "") + b"\n\n",
)

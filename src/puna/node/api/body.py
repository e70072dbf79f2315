"""Read a request's body as Ollama does: JSON whatever its Content-Type says, and with a limit."""

from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from puna.errors import Invalid
from puna.text import one_line
from puna.units import Size

MOST_BYTES = Size(64 * 2**20)
Body = TypeVar("Body", bound=BaseModel)


class BodyTooLarge(Invalid):
    """The body is larger than any prompt that a model could take."""

    code = "body_too_large"
    status = 413


async def read_body(request: Request, shape: type[Body]) -> Body:
    """Return the body as a `shape`. Raises `Invalid`."""
    body = await _read_bytes(request)
    if not body.strip():
        raise Invalid("missing request body")
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        raise Invalid(_first_problem(error)) from error


async def _read_bytes(request: Request) -> bytes:
    claimed = request.headers.get("content-length", "0")
    if claimed.isdigit() and int(claimed) > MOST_BYTES:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BYTES:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"the request body is larger than {MOST_BYTES}")


def _first_problem(error: ValidationError) -> str:
    """Say where the first mistake is; never what was sent, since that may be a prompt."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    text = one_line(first["msg"])
    place = ".".join(str(part) for part in first["loc"])
    return f"{one_line(place)}: {text[:1].lower()}{text[1:]}" if place else text

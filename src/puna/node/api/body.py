"""Read a request's body as Ollama does: JSON whatever its Content-Type says, and with a limit."""

from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from puna.errors import Invalid
from puna.node.api.packed import unpacked
from puna.node.api.streaming import ClientVanished
from puna.text import one_line
from puna.units import Size

MOST_BYTES = Size(64 * 2**20)
Body = TypeVar("Body", bound=BaseModel)


class BodyTooLarge(Invalid):
    """The body is larger than any prompt that a model could take."""

    code = "body_too_large"
    status = 413


async def read_body(request: Request, shape: type[Body]) -> Body:
    """Return the body as a `shape`. Raises `Invalid`, and `ClientVanished` if it never ends."""
    body = await _read_bytes(request)
    if encoding := request.headers.get("content-encoding", ""):
        body = await unpacked(body, encoding)
    if not body.strip():
        raise Invalid("missing request body")
    _check_numbers(body)
    try:
        return shape.model_validate_json(b"{}" if body.strip() == b"null" else body)
    except ValidationError as error:
        raise Invalid(_first_problem(error)) from error


def _check_numbers(body: bytes) -> None:
    """Refuse NaN and Infinity, which are no JSON; pydantic takes them for numbers."""
    if b"NaN" not in body and b"Infinity" not in body:
        return
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Invalid(f"Invalid JSON: {one_line(str(error))}") from error


async def _read_bytes(request: Request) -> bytes:
    claimed = request.headers.get("content-length", "0")
    if claimed.isdigit() and int(claimed) > MOST_BYTES:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    has_more = True
    while has_more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientVanished("request canceled")
        chunk, has_more = message.get("body", b""), message.get("more_body", False)
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

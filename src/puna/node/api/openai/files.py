"""Files as OpenAI's clients leave them, find them, read them and remove them."""

from collections.abc import Iterable
from contextlib import ExitStack
from datetime import timedelta

from fastapi import Request
from starlette.responses import FileResponse, Response

from puna.errors import Invalid
from puna.library.threads import in_thread
from puna.node.api.desk import Desk, desk_of
from puna.node.api.endpoint import Endpoint
from puna.node.api.forms import Form, read_form
from puna.node.api.pages import page_of, read_page
from puna.node.api.rows import owner_of
from puna.node.api.streaming import JSON
from puna.node.api.watch import KEY
from puna.node.shelf import Filed, Incoming, Label
from puna.text import one_line
from puna.wire import openai_batches as wire

PURPOSES = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")
_USUAL = 10_000
_FORM = 2**16
"""Bytes that the rest of a form may have."""
_MOST_DIGITS = 19
_SHORTEST_S, _LONGEST_S = 3600, 2_592_000
_BYTES = "application/octet-stream"


async def upload(request: Request) -> Response:
    """Take a file, sent as a form with the fields `file` and `purpose`."""
    shelf = desk_of(request).shelf
    stack = ExitStack()
    try:
        incoming = await in_thread(stack.enter_context, shelf.receive(_claimed(request)))
        form = await _read(request, incoming)
        filed = await in_thread(shelf.keep, incoming, _label(form, request))
    finally:
        await in_thread(stack.close)
    return Response(_file(filed).to_json(), media_type=JSON)


def _claimed(request: Request) -> int:
    """Return how large the file in a form is, at least; 0 where that is not said."""
    claimed = request.headers.get("content-length", "0")
    return max(0, int(claimed) - _FORM) if claimed.isdigit() and len(claimed) < _MOST_DIGITS else 0


async def _read(request: Request, incoming: Incoming) -> Form:
    async def take(piece: bytes) -> None:
        await in_thread(incoming.write, piece)

    form = await read_form(request, take)
    if form.filename is None:
        raise Invalid("the form has no field 'file'", hint="send it with -F file=@rows.jsonl")
    return form


def _label(form: Form, request: Request) -> Label:
    purpose = form.fields.get("purpose", "")
    if not purpose:
        raise Invalid(
            "Missing required parameter: 'purpose'.", hint="send it with -F purpose=batch"
        )
    if purpose not in PURPOSES:
        raise unsupported(purpose, PURPOSES)
    anchor, seconds = (form.fields.get(f"expires_after[{name}]") for name in ("anchor", "seconds"))
    return Label(
        name=form.filename or "",
        purpose=purpose,
        owner=_owner(request),
        keeps=None if seconds is None and anchor is None else read_expiry(anchor, seconds or ""),
    )


def unsupported(value: str, supported: Iterable[str]) -> Invalid:
    """Return the error for a value that is none of those there are."""
    known = ", ".join(f"'{each}'" for each in supported)
    return Invalid(f"Invalid value: '{one_line(value, 80)}'. Supported values are: {known}.")


def read_expiry(anchor: str | None, seconds: str) -> timedelta:
    """Read how long a file is kept. Raises `Invalid`."""
    if anchor != "created_at":
        raise Invalid("the anchor of an expiry must be created_at")
    number = int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 10 else 0  # noqa: PLR2004
    if not _SHORTEST_S <= number <= _LONGEST_S:
        raise Invalid(f"a file expires after {_SHORTEST_S} to {_LONGEST_S} seconds")
    return timedelta(seconds=number)


async def files(request: Request) -> Response:
    """List files, newest first; `purpose`, `limit`, `after` and `order` narrow it down."""
    wish = read_page(request, usual=_USUAL, most=_USUAL)
    purpose = request.query_params.get("purpose", "")
    found = await in_thread(desk_of(request).shelf.all_of, _owner(request))
    page = page_of(
        [each for each in found if purpose in {"", each.purpose}], wish, lambda each: each.id
    )
    listed = wire.Files(
        object="list",
        data=[_file(each) for each in page.items],
        first_id=page.items[0].id if page.items else None,
        last_id=page.items[-1].id if page.items else None,
        has_more=page.has_more,
    )
    return Response(listed.to_json(), media_type=JSON)


async def file(request: Request) -> Response:
    """Tell about one file."""
    _, filed = await _find(request)
    return Response(_file(filed).to_json(), media_type=JSON)


async def content(request: Request) -> Response:
    """Return what is in a file, as it came."""
    desk, filed = await _find(request)
    return FileResponse(desk.shelf.content(filed.id), media_type=_BYTES)


async def delete(request: Request) -> Response:
    """Remove a file; a batch that was made of it goes on."""
    desk, filed = await _find(request)
    await in_thread(desk.shelf.remove, filed.id, filed.owner)
    gone = wire.FileDeleted(id=filed.id, object="file", deleted=True)
    return Response(gone.to_json(), media_type=JSON)


async def _find(request: Request) -> tuple[Desk, Filed]:
    desk = desk_of(request)
    file_id = str(request.path_params["file_id"])
    return desk, await in_thread(desk.shelf.find, file_id, _owner(request))


def _owner(request: Request) -> str:
    return owner_of(request.scope.get(KEY))


def _file(filed: Filed) -> wire.File:
    return wire.File(
        id=filed.id,
        object="file",
        bytes=filed.size,
        created_at=int(filed.created.timestamp()),
        expires_at=int(filed.expires.timestamp()) if filed.expires else None,
        filename=filed.name,
        purpose=filed.purpose,
        status="processed",
        status_details=None,
    )


ENDPOINTS = (
    Endpoint(method="POST", path="/v1/files", call=upload, gives=wire.File),
    Endpoint(method="GET", path="/v1/files", call=files, gives=wire.Files),
    Endpoint(method="GET", path="/v1/files/{file_id}/content", call=content),
    Endpoint(method="GET", path="/v1/files/{file_id}", call=file, gives=wire.File),
    Endpoint(method="DELETE", path="/v1/files/{file_id}", call=delete, gives=wire.FileDeleted),
)

"""Read a form with one file in it, as it comes: nothing of the file is ever held whole.

The parser is the one that FastAPI uses; its own way to a form, though, writes the file to a
temporary folder first, of any size, before anybody has looked at it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from puna.errors import Invalid
from puna.node.api.streaming import ClientVanished

_MOST_PARTS = 64
_MOST_FIELD_BYTES = 4096
_HINT = "send it as a form: curl -F purpose=batch -F file=@rows.jsonl"


@dataclass(slots=True)
class Form:
    """What a form says beside its file."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    """None if no file has come."""


async def read_form(
    request: Request, take: Callable[[bytes], Awaitable[None]], *, file_field: str = "file"
) -> Form:
    """Read a form; `take` gets the file piece by piece. Raises `Invalid` and `ClientVanished`."""
    reader = FormReader(_boundary(request), file_field)
    has_more = True
    while has_more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientVanished("request canceled")
        has_more = message.get("more_body", False)
        if piece := reader.feed(message.get("body", b"")):
            await take(piece)
    return reader.form()


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Invalid("the request is no form with a file", hint=_HINT)
    return options[b"boundary"]


class FormReader:
    """Follows the parser through the parts of a form."""

    def __init__(self, boundary: bytes, file_field: str) -> None:
        self._form = Form()
        self._file_field = file_field
        self._parts = 0
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._value = b""
        self._field: str | None = None
        self._text = bytearray()
        self._piece = bytearray()
        self._is_over = False
        self._parser = self._make_parser(boundary)

    def _make_parser(self, boundary: bytes) -> MultipartParser:
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._add_name,
                    "on_header_value": self._add_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add,
                    "on_part_end": self._end,
                    "on_end": self._finish,
                },
            )
        except FormParserError as error:
            raise Invalid("the boundary of the form is not valid", hint=_HINT) from error

    def feed(self, chunk: bytes) -> bytes:
        """Read more of the form, and return what came of the file."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Invalid("the form is damaged", hint=_HINT) from error
        piece, self._piece = bytes(self._piece), bytearray()
        return piece

    def form(self) -> Form:
        """Return the whole form. Raises `Invalid` for one that was cut."""
        if not self._is_over:
            raise Invalid("the form ends too early", hint=_HINT)
        return self._form

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise Invalid(f"the form has more than {_MOST_PARTS} parts")
        self._headers, self._field = {}, None
        self._text.clear()

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode(errors="replace")
        if name != self._file_field:
            self._field = name
            return
        if self._form.filename is not None:
            raise Invalid("the form has more than one file", hint=_HINT)
        self._form.filename = options.get(b"filename", b"upload").decode(errors="replace")

    def _add(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._piece += data[start:end]
            return
        self._text += data[start:end]
        if len(self._text) > _MOST_FIELD_BYTES:
            raise Invalid("a field of the form is too long")

    def _end(self) -> None:
        if self._field is not None:
            self._form.fields[self._field] = self._text.decode(errors="replace")

    def _finish(self) -> None:
        self._is_over = True

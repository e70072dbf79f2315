"""The heads of HTTP/1.1 messages, read strictly and written anew. Pure.

What two programs could read differently is refused and never passed on: two lengths, a length
beside chunks, spaces before a colon, folded lines, lone line ends. The body is then framed by what
was read here, so nothing of one request can be taken for another.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from puna.errors import Invalid, Unavailable

END = b"\r\n\r\n"
LONGEST = 64 * 1024
_MOST_HEADERS = 200
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_NUMBER = re.compile(rb"[0-9]{1,18}")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_VERSIONS = {b"HTTP/1.1": True, b"HTTP/1.0": False}
_HOP = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Headers that are between two neighbours; the length is told anew."""


_KNOWN = frozenset(int(each) for each in HTTPStatus)


class BadRequest(Invalid):
    """What came is no request, or one that two programs could read differently."""

    code = "bad_request"


class BadAnswer(Unavailable):
    """What the pod's port sent is no answer in HTTP/1.1."""

    code = "bad_answer"
    status = 502


class Framing(StrEnum):
    """How the end of a body is known."""

    NONE = "none"
    LENGTH = "length"
    CHUNKS = "chunks"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Body:
    """What of a message comes after its head."""

    framing: Framing
    length: int = 0


NOTHING = Body(Framing.NONE)
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request's head. Names of headers are in lower case."""

    method: str
    target: str
    is_modern: bool
    """HTTP/1.1."""
    headers: Headers
    body: Body

    def all_of(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for each, value in self.headers if each == name]

    def one_of(self, name: str) -> str:
        """Return a header's first value, empty without it."""
        return next((value for each, value in self.headers if each == name), "")

    @property
    def host(self) -> str:
        """The Host header, in lower case."""
        return self.one_of("host").lower()

    @property
    def is_websocket(self) -> bool:
        """Whether it asks to become a WebSocket.

        With a body it does not: that would follow a head that tells of none, and a server that does
        not care for WebSockets would take it for another request.
        """
        if self.method != "GET" or not self.is_modern or self.body.framing is not Framing.NONE:
            return False
        has_upgrade = "upgrade" in _words(self.all_of("connection"))
        return has_upgrade and self.one_of("upgrade").lower() == "websocket"

    @property
    def keeps_open(self) -> bool:
        """Whether another request may follow on its connection."""
        words = _words(self.all_of("connection"))
        return "close" not in words if self.is_modern else "keep-alive" in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The head of an answer. Names of headers are in lower case."""

    status: int
    headers: Headers
    body: Body
    keeps_open: bool


def parse_request(head: bytes) -> Request:
    """Read a request's head, without the empty line at its end. Raises `BadRequest`."""
    first, *lines = head.split(b"\r\n")
    parts = first.split(b" ")
    if len(parts) != 3 or parts[2] not in _VERSIONS:  # noqa: PLR2004 - a request line
        raise BadRequest("the first line is no request of HTTP/1.1")
    if not _TOKEN.fullmatch(parts[0]) or not _TARGET.fullmatch(parts[1]):
        raise BadRequest("a request names a method and a path that begins with /")
    try:
        headers = tuple(_headers(lines))
        is_modern = _VERSIONS[parts[2]]
        body = _framing(headers, is_modern=is_modern) or NOTHING
    except ValueError as error:
        raise BadRequest(str(error)) from error
    if sum(name == "host" for name, _ in headers) != 1:
        raise BadRequest("a request has one Host")
    method, target = parts[0].decode(), parts[1].decode()
    return Request(method=method, target=target, is_modern=is_modern, headers=headers, body=body)


def parse_answer(head: bytes, method: str) -> Answer:
    """Read the head of the answer to a request of `method`. Raises `BadAnswer`."""
    first, *lines = head.split(b"\r\n")
    found = _STATUS.fullmatch(first)
    if found is None:
        raise BadAnswer("the pod's port does not speak HTTP/1.1")
    status, is_modern = int(found[1]), first.startswith(b"HTTP/1.1")
    try:
        headers = tuple(_headers(lines))
        body = _framing(headers, is_modern=is_modern) or Body(Framing.CLOSE)
    except ValueError as error:
        raise BadAnswer(f"the pod's answer is not HTTP/1.1: {error}") from error
    if method == "HEAD" or status in {204, 304} or status < 200:  # noqa: PLR2004 - of RFC 9112
        body = NOTHING
    words = _words([value for name, value in headers if name == "connection"])
    keeps = "close" not in words if is_modern else "keep-alive" in words
    keeps = keeps and body.framing is not Framing.CLOSE
    return Answer(status=status, headers=headers, body=body, keeps_open=keeps)


def end_to_end(headers: Headers) -> list[tuple[str, str]]:
    """Return the headers that are not between two neighbours alone, nor named as such."""
    named = _words([value for name, value in headers if name == "connection"]) - {"host"}
    return [each for each in headers if each[0] not in _HOP and each[0] not in named]


def framing_headers(body: Body) -> Headers:
    """Return the headers that tell how a body ends."""
    if body.framing is Framing.LENGTH:
        return [("content-length", str(body.length))]
    if body.framing is Framing.CHUNKS:
        return [("transfer-encoding", "chunked")]
    return []


def written(first: str, headers: Headers) -> bytes:
    """Return a head as bytes. Values come from a parsed head, or hold no line ends."""
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("latin-1", "replace") + END


def first_line(status: int) -> str:
    """Return an answer's first line."""
    phrase = HTTPStatus(status).phrase if status in _KNOWN else ""
    return f"HTTP/1.1 {status} {phrase}"


def _headers(lines: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    if len(lines) > _MOST_HEADERS:
        raise ValueError(f"more than {_MOST_HEADERS} headers")
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError("a line is no header")
        yield name.decode().lower(), value.strip(b" \t").decode("latin-1")


def _framing(headers: Headers, *, is_modern: bool) -> Body | None:
    lengths = {value for name, value in headers if name == "content-length"}
    codings = [value.lower() for name, value in headers if name == "transfer-encoding"]
    if codings:
        if codings != ["chunked"] or lengths or not is_modern:
            raise ValueError("a body is in chunks, or has a length; nothing else, and not both")
        return Body(Framing.CHUNKS)
    if not lengths:
        return None
    if len(lengths) > 1 or not _NUMBER.fullmatch(next(iter(lengths)).encode("latin-1")):
        raise ValueError("a body has one length")
    return Body(Framing.LENGTH, int(lengths.pop()))


def _words(values: Sequence[str]) -> frozenset[str]:
    return frozenset(word.strip().lower() for value in values for word in value.split(","))

"""Heads of HTTP messages: what is read, and what is refused since it has two readings."""

import pytest
from hypothesis import given, settings, strategies as st

from puna.market.gateway.heads import (
    NOTHING,
    Answer,
    BadAnswer,
    BadRequest,
    Body,
    Framing,
    end_to_end,
    framing_headers,
    parse_answer,
    parse_request,
    written,
)


def head(*lines: str, first: str = "GET / HTTP/1.1", host: str = "a") -> bytes:
    """Return a head without the empty line at its end."""
    named = [f"Host: {host}"] if host else []
    return "\r\n".join([first, *named, *lines]).encode("latin-1")


def test_a_request_is_read() -> None:
    request = parse_request(
        head("Content-Length: 5", "X-Many: 1", "x-many:2 ", first="POST /a/b?c=%20 HTTP/1.1")
    )
    assert (request.method, request.target, request.is_modern) == ("POST", "/a/b?c=%20", True)
    assert request.headers[0] == ("host", "a")
    assert request.all_of("x-many") == ["1", "2"]
    assert request.one_of("x-none") == ""
    assert request.body == Body(Framing.LENGTH, 5)
    assert request.keeps_open


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ((), NOTHING),
        (("Content-Length: 0",), Body(Framing.LENGTH, 0)),
        (("Content-Length: 7", "Content-Length: 7"), Body(Framing.LENGTH, 7)),
        (("Transfer-Encoding: chunked",), Body(Framing.CHUNKS)),
        (("Transfer-Encoding: Chunked",), Body(Framing.CHUNKS)),
    ],
    ids=["none", "zero", "the same twice", "chunks", "chunks in capitals"],
)
def test_the_end_of_a_body_is_told_in_one_way(lines: tuple[str, ...], body: Body) -> None:
    assert parse_request(head(*lines, first="POST / HTTP/1.1")).body == body


SMUGGLED = {
    "length and chunks": ("Content-Length: 5", "Transfer-Encoding: chunked"),
    "two lengths": ("Content-Length: 5", "Content-Length: 6"),
    "a list of lengths": ("Content-Length: 5, 5",),
    "a length with a sign": ("Content-Length: +5",),
    "a length below zero": ("Content-Length: -5",),
    "a hexadecimal length": ("Content-Length: 0x5",),
    "a length with a line": ("Content-Length: 5_0",),
    "an empty length": ("Content-Length:",),
    "an endless length": (f"Content-Length: {'9' * 40}",),
    "another coding": ("Transfer-Encoding: gzip",),
    "two codings": ("Transfer-Encoding: gzip, chunked",),
    "chunks twice": ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "chunks and identity": ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "a coding in quotes": ('Transfer-Encoding: "chunked"',),
    "a coding with a tab in it": ("Transfer-Encoding: chun\tked",),
    "a space before the colon": ("Transfer-Encoding : chunked",),
    "a tab before the colon": ("Content-Length\t: 5",),
    "a space before the name": (" Content-Length: 5",),
    "a folded line": ("X-A: 1", " Content-Length: 5"),
    "no colon": ("Content-Length",),
    "no name": (": 5",),
    "a lone line feed": ("X-A: 1\nContent-Length: 5",),
    "a lone carriage return": ("X-A: 1\rContent-Length: 5",),
    "a zero": ("X-A: \x00",),
    "a control sign in a name": ("X-\x01A: 1",),
    "a second host": ("Host: b",),
    "too many headers": ("X-A: 1",) * 300,
}


@pytest.mark.parametrize("lines", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_what_could_be_read_in_two_ways_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(BadRequest):
        parse_request(head(*lines, first="POST / HTTP/1.1"))


@pytest.mark.parametrize(
    "first",
    [
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "GET / http/1.1",
        "GET http://b/ HTTP/1.1",
        "GET //\x7f HTTP/1.1",
        "GET /\t HTTP/1.1",
        "GET /#part HTTP/1.1",
        "GET /ü HTTP/1.1",
        "GET * HTTP/1.1",
        "CONNECT b:22 HTTP/1.1",
        "G(T / HTTP/1.1",
        "",
    ],
)
def test_a_first_line_that_is_none_is_refused(first: str) -> None:
    with pytest.raises(BadRequest):
        parse_request(head(first=first))


def test_a_request_without_a_host_is_refused() -> None:
    with pytest.raises(BadRequest, match="one Host"):
        parse_request(head(host=""))


def test_chunks_are_not_for_the_old_version() -> None:
    with pytest.raises(BadRequest):
        parse_request(head("Transfer-Encoding: chunked", first="POST / HTTP/1.0"))


@pytest.mark.parametrize(
    ("first", "connection", "keeps"),
    [
        ("GET / HTTP/1.1", "", True),
        ("GET / HTTP/1.1", "close", False),
        ("GET / HTTP/1.1", "Upgrade, Close", False),
        ("GET / HTTP/1.0", "", False),
        ("GET / HTTP/1.0", "Keep-Alive", True),
    ],
)
def test_whether_another_request_may_follow(first: str, connection: str, keeps: bool) -> None:
    lines = [f"Connection: {connection}"] if connection else []
    assert parse_request(head(*lines, first=first)).keeps_open is keeps


@pytest.mark.parametrize("line", ["Content-Length: 4", "Transfer-Encoding: chunked"])
def test_what_has_a_body_never_becomes_a_websocket(line: str) -> None:
    asks = ("Connection: Upgrade", "Upgrade: websocket", line)
    assert not parse_request(head(*asks)).is_websocket


@pytest.mark.parametrize(
    ("lines", "is_websocket"),
    [
        (("Connection: Upgrade", "Upgrade: websocket"), True),
        (("Connection: keep-alive, upgrade", "Upgrade: WebSocket"), True),
        (("Upgrade: websocket",), False),
        (("Connection: Upgrade", "Upgrade: h2c"), False),
        (("Connection: Upgrade",), False),
    ],
)
def test_what_asks_to_become_a_websocket(lines: tuple[str, ...], is_websocket: bool) -> None:
    assert parse_request(head(*lines)).is_websocket is is_websocket


def test_headers_between_neighbours_go_no_further() -> None:
    lines = ["Connection: close, X-Secret", "X-Secret: 1", "Keep-Alive: 5", "TE: trailers"]
    lines += ["Upgrade: h2c", "Proxy-Connection: x", "Expect: 100-continue", "X-Kept: 1"]
    assert end_to_end(parse_request(head(*lines)).headers) == [("host", "a"), ("x-kept", "1")]


@pytest.mark.parametrize(
    ("first", "lines", "method", "body", "keeps"),
    [
        ("HTTP/1.1 200 OK", ["Content-Length: 3"], "GET", Body(Framing.LENGTH, 3), True),
        ("HTTP/1.1 200", ["Content-Length: 3"], "GET", Body(Framing.LENGTH, 3), True),
        ("HTTP/1.1 200 OK", ["Content-Length: 3"], "HEAD", NOTHING, True),
        ("HTTP/1.1 204 No Content", [], "GET", NOTHING, True),
        ("HTTP/1.1 304 Not Modified", ["Content-Length: 3"], "GET", NOTHING, True),
        ("HTTP/1.1 101 Switching", [], "GET", NOTHING, True),
        ("HTTP/1.1 200 OK", [], "GET", Body(Framing.CLOSE), False),
        ("HTTP/1.0 200 OK", [], "GET", Body(Framing.CLOSE), False),
        ("HTTP/1.0 200 OK", ["Content-Length: 3"], "GET", Body(Framing.LENGTH, 3), False),
        ("HTTP/1.1 200 OK", ["Transfer-Encoding: chunked"], "GET", Body(Framing.CHUNKS), True),
        (
            "HTTP/1.1 200 OK",
            ["Content-Length: 0", "Connection: close"],
            "GET",
            Body(Framing.LENGTH, 0),
            False,
        ),
    ],
)
def test_an_answer_is_read(
    first: str, lines: list[str], method: str, body: Body, *, keeps: bool
) -> None:
    answer = parse_answer(head(*lines, first=first, host=""), method)
    assert (answer.body, answer.keeps_open) == (body, keeps)


@pytest.mark.parametrize(
    "first",
    ["HTTP/2 200", "HTTP/1.1 20", "HTTP/1.1 099 X", "SSH-2.0-OpenSSH_9.2", "", "HTTP/1.1  200 OK"],
)
def test_what_is_no_answer_is_said_to_be_none(first: str) -> None:
    with pytest.raises(BadAnswer):
        parse_answer(head(first=first, host=""), "GET")


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: 1", "Content-Length: 2"],
    ],
)
def test_an_answer_that_could_be_read_in_two_ways_is_refused(lines: list[str]) -> None:
    with pytest.raises(BadAnswer):
        parse_answer(head(*lines, first="HTTP/1.1 200 OK", host=""), "GET")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (NOTHING, []),
        (Body(Framing.CLOSE), []),
        (Body(Framing.LENGTH, 9), [("content-length", "9")]),
        (Body(Framing.CHUNKS), [("transfer-encoding", "chunked")]),
    ],
)
def test_a_body_is_framed_anew(body: Body, headers: list[tuple[str, str]]) -> None:
    assert list(framing_headers(body)) == headers


def test_what_is_written_is_read_the_same() -> None:
    headers = [("content-length", "2"), ("x-name", "Zo\xeb")]
    text = written("HTTP/1.1 200 OK", headers)
    assert text.endswith(b"\r\n\r\n")
    assert parse_answer(text[:-4], "GET") == Answer(
        status=200, headers=tuple(headers), body=Body(Framing.LENGTH, 2), keeps_open=True
    )


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(noise: bytes) -> None:
    """Whatever comes is read or refused, and what is read has no line end in it."""
    try:
        request = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + noise)
    except BadRequest:
        return
    assert all(not set("\r\n\0") & set(name + value) for name, value in request.headers)

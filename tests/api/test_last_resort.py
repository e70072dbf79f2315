"""What nobody foresaw: logged with its traceback, and the client is told that it is over."""

import logging

import pytest
from starlette.types import Message, Receive, Scope, Send

from puna.errors import Invalid
from puna.node.api.reply import LastResort, header_text

SCOPE: Scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
INTERNAL = b'{"error":"internal error: the server\'s log says more"}'


async def replies_of(error: Exception, *before: Message) -> list[Message]:
    """Return what a client gets of a path that sends `before` and then fails."""
    sent: list[Message] = []

    async def path(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in before:
            await send(message)
        raise error

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await LastResort(path)(SCOPE, receive, send)
    return sent


async def test_before_the_first_byte_it_is_500_and_the_log_has_the_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    start, body = await replies_of(ZeroDivisionError("a secret"))
    assert (start["status"], body["body"]) == (500, INTERNAL)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info


async def test_in_a_stream_it_is_the_last_line() -> None:
    begun: tuple[Message, ...] = (
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "http.response.body", "body": b"{}\n", "more_body": True},
    )
    *_, last = await replies_of(ZeroDivisionError("a secret"), *begun)
    assert last["body"] == INTERNAL + b"\n"
    assert not last["more_body"]


async def test_an_error_that_explains_itself_keeps_its_status_and_hint() -> None:
    start, body = await replies_of(Invalid("no", hint="say yés\r\nX: 1"))
    assert (start["status"], body["body"]) == (400, b'{"error":"no"}')
    assert dict(start["headers"])[b"puna-hint"] == b"say y\\xe9s X: 1"


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("plain", "plain"),
        ("a\r\nb", "a b"),
        ("\u202eé", "\\ufffd\\xe9"),
        ("x" * 5000, "x" * 999 + "\\u2026"),
    ],
)
def test_a_header_is_one_line_of_ascii(text: str, header: str) -> None:
    assert header_text(text) == header

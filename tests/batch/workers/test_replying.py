"""What a reply of an endpoint means: an answer, a row's fault, or that it is not there."""

import json
from datetime import timedelta
from email.utils import format_datetime

import pytest

from puna.batch.workers.replying import EndpointRefused, read_reply, wait_in
from puna.batch.workers.worker import WorkerGone
from tests.worlds import NOON

OPENAI_ERROR = {"error": {"message": "too long", "type": "invalid_request_error"}}
VLLM_ERROR = {"object": "error", "message": "no such model", "code": 404}


@pytest.mark.parametrize(
    ("status", "body", "wait"),
    [(500, {"error": "x"}, 1), (503, OPENAI_ERROR, 7), (429, {}, 7), (408, {}, 1), (529, {}, 1)],
)
def test_what_passes_is_for_another_or_for_later(
    status: int, body: dict[str, object], wait: int
) -> None:
    with pytest.raises(WorkerGone) as caught:
        read_reply("a", status, json.dumps(body).encode(), wait if wait > 1 else 0)
    assert caught.value.retry_after_s == wait


@pytest.mark.parametrize(
    ("status", "body", "message", "is_row_fault"),
    [
        (400, OPENAI_ERROR, "a: too long", True),
        (422, {"error": "bad"}, "a: bad", True),
        (404, VLLM_ERROR, "a: no such model", False),
        (401, {}, "a: HTTP status 401", False),
        (302, {}, "a: the answer is no JSON object, or leads elsewhere (HTTP status 302)", False),
    ],
)
def test_what_does_not_pass_is_refused(
    status: int, body: dict[str, object], message: str, *, is_row_fault: bool
) -> None:
    with pytest.raises(EndpointRefused) as caught:
        read_reply("a", status, json.dumps(body).encode(), 0)
    assert (caught.value.message, caught.value.is_row_fault) == (message, is_row_fault)


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"", b"{}", b"\xff"])
def test_what_is_no_object_is_no_answer(content: bytes) -> None:
    with pytest.raises(EndpointRefused):
        read_reply("a", 200, content, 0)


def test_an_answer_may_have_an_error_that_is_none() -> None:
    content = b'{"choices": [], "error": null}'
    assert read_reply("a", 200, content, 0).values["choices"] == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5),
        (" 7 ", 7),
        ("99999999999", 600),
        (format_datetime(NOON + timedelta(seconds=30), usegmt=True), 30),
        (format_datetime(NOON - timedelta(seconds=30), usegmt=True), 0),
        ("soon", 0),
        ("-3", 0),
        ("", 0),
    ],
)
def test_a_wait_is_a_number_or_a_moment(header: str, seconds: int) -> None:
    assert wait_in(header, NOON) == seconds

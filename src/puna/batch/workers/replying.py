"""What an endpoint's reply means for a worker: an answer, a fault of the row, or nobody there."""

import json
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from puna.batch.workers.worker import WorkerGone
from puna.errors import Failed
from puna.node.replies import Fields
from puna.text import one_line

ROW_FAULTS = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
_PASSING = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}
)
_LONGEST_S = 600


class EndpointRefused(Failed):
    """An endpoint will not answer: a wrong key, a model that it has not, a row that is too long."""

    code = "endpoint_refused"

    def __init__(self, message: str, *, reply_status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reply_status = reply_status

    @property
    def is_row_fault(self) -> bool:
        """Whether another row may be answered all the same."""
        return self.reply_status in ROW_FAULTS


def read_reply(name: str, status: int, content: bytes, wait_s: int) -> Fields:
    """Return the object of a reply. Raises `WorkerGone` and `EndpointRefused`."""
    try:
        reply = Fields(json.loads(content))
    except ValueError:
        reply = Fields({})
    if status < HTTPStatus.MULTIPLE_CHOICES and reply.values and not _problem(reply):
        return reply
    message = _problem(reply) or f"HTTP status {status}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING:
        raise WorkerGone(f"{name}: {message}", retry_after_s=wait_s or 1)
    if status < HTTPStatus.BAD_REQUEST:
        message = f"the answer is no JSON object, or leads elsewhere (HTTP status {status})"
    hints: dict[int, str] = {
        HTTPStatus.UNAUTHORIZED: "name its key with key=env:NAME or key=file:PATH",
        HTTPStatus.FORBIDDEN: "name its key with key=env:NAME or key=file:PATH",
        HTTPStatus.NOT_FOUND: "name its model with model=NAME, and check the address",
    }
    raise EndpointRefused(f"{name}: {message}", reply_status=status, hint=hints.get(status, ""))


def _problem(reply: Fields) -> str:
    """Return the text of an error, in either dialect."""
    said = reply.text("error") or reply.fields("error").text("message") or reply.text("message")
    return one_line(said) if "error" in reply.values or reply.text("object") == "error" else ""


def wait_in(header: str, now: datetime) -> int:
    """Return the seconds that a `Retry-After` asks for: a number, or a moment. 0 for neither."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(_LONGEST_S, int(text[:6]))
    try:
        left = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError):
        return 0
    return min(_LONGEST_S, max(0, round(left)))

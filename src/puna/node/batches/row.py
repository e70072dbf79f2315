"""One row of a batch, from its request to the line that stands in the output."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from pydantic_core import from_json, to_json

from puna.node.batches.batch import Tokens
from puna.node.batches.journal import Entry
from puna.node.batches.lines import Row
from puna.node.scheduler.crowd import Crowd
from puna.units import Span

_ASK_AGAIN = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_MAY_PASS = frozenset({"engine_died", "engine_failed", "load_failed", "no_room", "internal"})
"""Failures that are of the moment more often than of the row."""
_MOST_TRIES = 3
_LONGEST_S = 60


@dataclass(frozen=True, slots=True)
class RowAsk:
    """A request that nobody waits for."""

    endpoint: str
    body: bytes
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowReply:
    """What the node would have answered over HTTP."""

    status: int
    body: bytes
    code: str = ""
    """puna's word for what went wrong."""
    request_id: str = ""
    retry_after_s: int = 0


class RowDesk(Protocol):
    """Who answers the rows of batches."""

    def check_model(self, model: str) -> None:
        """Raise what keeps a model from being asked at all."""

    def is_welcome(self, owner: str) -> bool:
        """Tell whether the key that made a batch still opens anything."""

    def crowd(self, model: str, endpoint: str) -> Crowd:
        """Tell how busy others keep a model."""

    async def answer(self, ask: RowAsk) -> RowReply:
        """Answer one request. Cancelling it stops the computation."""


def wait_before(reply: RowReply, tries: int) -> Span | None:
    """Return how long to wait before a row is asked again; None if this is its answer."""
    back_off = Span.of(seconds=max(reply.retry_after_s, min(_LONGEST_S, 2**tries)))
    if reply.status in _ASK_AGAIN:
        return back_off
    return back_off if reply.code in _MAY_PASS and tries + 1 < _MOST_TRIES else None


def entry_of(row: Row, reply: RowReply, mark: str) -> Entry:
    """Return what is written down of a row that was answered."""
    head = to_json({"id": f"batch_req_{mark}", "custom_id": row.custom_id})
    response = to_json({"status_code": reply.status, "request_id": reply.request_id})
    body = reply.body.replace(b"\n", b" ") or b"null"
    line = b'%b,"response":%b,"body":%b},"error":null}' % (head[:-1], response[:-1], body)
    is_good = reply.status == HTTPStatus.OK
    return Entry(row.number, is_good, tokens_in(reply.body) if is_good else Tokens(), line)


def left_out(row: Row, code: str, message: str, mark: str) -> Entry:
    """Return what is written down of a row that was never asked."""
    line = to_json(
        {
            "id": f"batch_req_{mark}",
            "custom_id": row.custom_id,
            "response": None,
            "error": {"code": code, "message": message},
        }
    )
    return Entry(row.number, is_good=False, tokens=Tokens(), line=line)


def tokens_in(body: bytes) -> Tokens:
    """Return the tokens that an answer says it took, in either of OpenAI's ways to say it."""
    usage = _part(from_json(body), "usage")
    return Tokens(
        prompt=_number(usage, "prompt_tokens") or _number(usage, "input_tokens"),
        cached=_number(_part(usage, "prompt_tokens_details"), "cached_tokens")
        or _number(_part(usage, "input_tokens_details"), "cached_tokens"),
        output=_number(usage, "completion_tokens") or _number(usage, "output_tokens"),
        thought=_number(_part(usage, "output_tokens_details"), "reasoning_tokens"),
    )


def _part(value: object, name: str) -> Mapping[str, object]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _number(value: Mapping[str, object], name: str) -> int:
    found = value.get(name)
    return found if isinstance(found, int) else 0

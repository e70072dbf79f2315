"""Rows of batches, answered by the very paths that answer the same request over HTTP.

So a row gets what its sender would have got: the same checks, the same words, the same errors. Only
the guard is left out, since the batch came past it, and nobody waits at the other end.
"""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Message

from puna.node.api.access import Gate
from puna.node.api.desk import Desk, request_id
from puna.node.api.metrics import Counted
from puna.node.batches.row import RowAsk, RowReply
from puna.node.engine.request import Purpose
from puna.node.keys import Key
from puna.node.scheduler.crowd import BACKGROUND, Crowd
from puna.node.usage import NOTE, Usage
from puna.units import Span

_POST = "POST"
OWNER_DIGITS = 32


def owner_of(key: object) -> str:
    """Return whose a file or a batch is: a key's, or, without one, the node's own people's."""
    return key.digest[:OWNER_DIGITS] if isinstance(key, Key) else ""


class RowCalls:
    """Satisfies `RowDesk` by calling `app`, which answers the paths of the API."""

    def __init__(
        self, app: ASGIApp, desk: Desk, gate: Gate, keys: Callable[[], tuple[Key, ...]]
    ) -> None:
        self._app = app
        self._desk = desk
        self._gate = gate
        self._keys = keys

    def check_model(self, model: str) -> None:
        """Raise what finding a model does."""
        self._desk.node.find(model)

    def is_welcome(self, owner: str) -> bool:
        """Tell whether the key that made a batch still opens anything."""
        return not owner or self._key(owner) is not None

    def crowd(self, model: str, endpoint: str) -> Crowd:
        """Tell how busy others keep a model."""
        node = self._desk.node
        purpose = Purpose.EMBED if endpoint.endswith("/embeddings") else Purpose.ANSWER
        return node.crowd(node.find(model), purpose)

    async def answer(self, ask: RowAsk) -> RowReply:
        """Answer one request, when its key has tokens left. Cancelling it stops the computation."""
        key = self._key(ask.owner) or ""
        while wait_s := self._gate.wait_for_tokens(key):
            await self._desk.node.world.wait(Span.of(seconds=wait_s))
        note = Usage(key=key.name if isinstance(key, Key) else "")
        BACKGROUND.set(True)
        NOTE.set(note)
        status = 499
        try:
            reply = await self._called(ask)
            status = reply.status
            return reply
        finally:
            self._gate.spend_tokens(key, note.prompt_tokens + note.output_tokens)
            self._desk.metrics.count(Counted(_POST, ask.endpoint, status, note))

    async def _called(self, ask: RowAsk) -> RowReply:
        scope = _scope(ask)
        messages: list[Message] = [{"type": "http.request", "body": ask.body, "more_body": False}]
        sent: list[Message] = []

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await asyncio.Event().wait()  # nobody hangs up
            raise AssertionError

        async def send(message: Message) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        headers = dict(sent[0]["headers"]) if sent else {}
        wait = headers.get(b"retry-after", b"0").decode()
        return RowReply(
            status=sent[0]["status"] if sent else 503,
            body=b"".join(each.get("body", b"") for each in sent[1:]),
            code=headers.get(b"puna-error-code", b"").decode(),
            request_id=request_id(scope),
            retry_after_s=int(wait) if wait.isdigit() else 0,
        )

    def _key(self, owner: str) -> Key | None:
        if not owner:
            return None
        return next((key for key in self._keys() if owner_of(key) == owner), None)


def _scope(ask: RowAsk) -> dict[str, object]:
    length = str(len(ask.body)).encode()
    return {
        "type": "http",
        "http_version": "1.1",
        "method": _POST,
        "scheme": "http",
        "path": ask.endpoint,
        "raw_path": ask.endpoint.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", length)],
    }

"""Keep count of every request: the tokens of its key, the access log and the numbers of `/metrics`.

The log has one line a request and nothing that a person wrote: no prompt, no query, and a path only
if it is one of the node's.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from puna.node.api.access import Gate
from puna.node.api.metrics import Counted, Metrics
from puna.node.keys import Key
from puna.node.usage import NOTE, Usage
from puna.text import one_line
from puna.units import Span
from puna.wire.ollama import rfc3339

_LOG = logging.getLogger("puna.api")
_MOST_BYTES = 10 * 2**20
_OTHER = "(other)"
KEY = "puna.key"
"""Where the guard leaves the key of a request."""


class AccessLog:
    """A file with a line a request, for its owner's eyes alone."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def write(self, line: str) -> None:
        """Add a line. A disk that is full stops the log and not the node."""
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(self._file, flags, 0o600)
            try:
                os.write(descriptor, f"{line}\n".encode(errors="replace"))
                is_full = os.fstat(descriptor).st_size > _MOST_BYTES
            finally:
                os.close(descriptor)
            if is_full:
                self._file.replace(self._file.with_suffix(".log.old"))
        except OSError as error:
            _LOG.warning("access log %s: %s", self._file, error.strerror)


class Watch:
    """Answers through `app`, and counts what it took."""

    def __init__(
        self,
        app: ASGIApp,
        gate: Gate,
        metrics: Metrics,
        *,
        log: AccessLog | None,
        route_of: Callable[[str], str],
    ) -> None:
        self._app = app
        self._gate = gate
        self._metrics = metrics
        self._world = gate.world
        self._log = log
        self._route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        note, start, status = Usage(), self._world.elapsed(), 499
        token = NOTE.set(note)

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            NOTE.reset(token)
            key = scope.get(KEY, "")
            note.key = key.name if isinstance(key, Key) else key
            self._gate.spend_tokens(key, note.prompt_tokens + note.output_tokens)
            counted = Counted(
                scope["method"], self._route_of(scope["path"]) or _OTHER, status, note
            )
            self._metrics.count(counted)
            if self._log is not None:
                self._log.write(self._line(counted, Span(self._world.elapsed() - start)))
        await self._gate.note_use(key)

    def _line(self, counted: Counted, span: Span) -> str:
        note = counted.note
        tokens = f"{note.prompt_tokens}+{note.output_tokens}" if note.model else "-"
        model = one_line(note.model).replace(" ", "_") or "-"
        return (
            f"{rfc3339(self._world.now())} {counted.verb} {counted.route} {counted.status}"
            f" {span / 1e9:.3f}s key={note.key or '-'} model={model} tokens={tokens}"
        )

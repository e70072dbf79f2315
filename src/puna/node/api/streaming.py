"""Send an answer while it is made, and stop making it the moment that nobody waits for it.

One task pulls the items of the answer, so that a slow reader holds up neither the model nor other
clients: what he has not read yet waits here and is merged. A second task listens for the client's
disconnect, from before the model is free until the last byte is out. Cancelling the first task
closes the iterator, and with it the engine's request and the lease.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Generic, Protocol, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from puna.errors import Cancelled, PunaError, Unavailable
from puna.node.api.dialect import NDJSON

JSON = "application/json; charset=utf-8"
BARE_JSON = "application/json"
"""What Ollama says of answers in OpenAI's and Anthropic's dialects, and of long work."""

Item = TypeVar("Item")
Read_contra = TypeVar("Read_contra", contravariant=True)


class ClientVanished(Cancelled):
    """The client closed its connection, so there is nobody to answer."""

    code = "client_vanished"


class Stopping(Unavailable):
    """The node is being stopped, and what was not finished in time is cut short."""

    code = "stopping"


class Writer(Protocol[Read_contra]):
    """Turns the items of one answer into bytes of a dialect."""

    def lines(self, items: Sequence[Read_contra]) -> bytes:
        """Return what to send for the items that came since the last call; it may be nothing."""

    def whole(self, items: Sequence[Read_contra]) -> bytes:
        """Return one object for all the items of an answer."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers that the items read so far call for."""

    def error_line(self, error: PunaError) -> bytes:
        """Return the last line of an answer that failed after its first."""


class Endable(Protocol):
    """An answer that can be told to end."""

    def end(self, error: PunaError) -> None:
        """Stop the answer where it is; its reader gets `error`."""


class OpenAnswers:
    """Every answer under way, so that a node that stops can end each with a last word."""

    def __init__(self) -> None:
        self._flows: set[Endable] = set()
        self._is_stopping = False

    def add(self, flow: Endable) -> None:
        """Take note of an answer. Raises `Stopping` once the node stops."""
        if self._is_stopping:
            raise Stopping("the server is stopping")
        self._flows.add(flow)

    def discard(self, flow: Endable) -> None:
        """Forget an answer that is over."""
        self._flows.discard(flow)

    def cut_short(self) -> None:
        """End every answer now, and refuse new ones."""
        self._is_stopping = True
        for flow in tuple(self._flows):
            flow.end(Stopping("the server is stopping"))

    def __len__(self) -> int:
        return len(self._flows)


class Flow(Generic[Item]):
    """The items of one answer, in batches: all that came while the last batch was being sent."""

    def __init__(self, items: AsyncGenerator[Item, None], answers: OpenAnswers) -> None:
        self._items = items
        self._answers = answers
        self._waiting: list[Item] = []
        self._news = asyncio.Event()
        self._is_over = False
        self._error: PunaError | None = None

    async def batches(self, receive: Receive) -> AsyncGenerator[list[Item], None]:
        """Yield lists of items, none empty. Raises what the answer raises, and `ClientVanished`."""
        self._answers.add(self)
        pump = asyncio.create_task(self._pull())
        watch = asyncio.create_task(self._watch(receive))
        try:
            while self._error is None:
                if self._waiting:
                    batch, self._waiting = self._waiting, []
                    yield batch
                elif self._is_over:
                    await pump
                    return
                else:
                    self._news.clear()
                    await self._news.wait()
            raise self._error
        finally:
            self._answers.discard(self)
            await _end_tasks(pump, watch)

    def end(self, error: PunaError) -> None:
        """Stop the answer where it is; its reader gets `error`."""
        self._error = self._error or error
        self._news.set()

    async def _pull(self) -> None:
        try:
            async with aclosing(self._items) as items:
                async for item in items:
                    self._waiting.append(item)
                    self._news.set()
        finally:
            self._is_over = True
            self._news.set()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.end(ClientVanished("request canceled"))


async def _end_tasks(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # already told to the reader, or nobody reads any more


class StreamedReply(Response, Generic[Item]):
    """An answer sent line by line. Before its first line it can still fail with a status."""

    def __init__(
        self, flow: Flow[Item], writer: Writer[Item], *, stream_type: str = NDJSON
    ) -> None:
        self._flow = flow
        self._writer = writer
        self._stream_type = stream_type
        super().__init__()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send the answer; return when it is out or the client is gone."""
        has_begun = False
        try:
            async with aclosing(self._flow.batches(receive)) as batches:
                async for batch in batches:
                    if body := self._writer.lines(batch):
                        if not has_begun:
                            has_begun = True
                            await send(_start(self._stream_type, self._writer.headers()))
                        await send(_body(body, more=True))
        except ClientVanished:
            return
        except PunaError as error:
            if not has_begun:
                raise
            await send(_body(self._writer.error_line(error), more=True))
        await send(_body(b"", more=False))


class WholeReply(Response, Generic[Item]):
    """An answer sent as one object when it is complete; a client that vanishes still stops it."""

    def __init__(self, flow: Flow[Item], writer: Writer[Item], *, content_type: str = JSON) -> None:
        self._flow = flow
        self._writer = writer
        self._content_type = content_type
        super().__init__()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send the answer; return when it is out or the client is gone."""
        items: list[Item] = []
        try:
            async with aclosing(self._flow.batches(receive)) as batches:
                async for batch in batches:
                    items += batch
        except ClientVanished:
            return
        body = self._writer.whole(items)
        headers = {**self._writer.headers(), "content-length": str(len(body))}
        await send(_start(self._content_type, headers))
        await send(_body(body, more=False))


def reply_with(
    flow: Flow[Item],
    writer: Writer[Item],
    *,
    streams: bool,
    stream_type: str = NDJSON,
    whole_type: str = JSON,
) -> Response:
    """Return the answer as a stream of `stream_type`, or as one object of `whole_type`."""
    if streams:
        return StreamedReply(flow, writer, stream_type=stream_type)
    return WholeReply(flow, writer, content_type=whole_type)


def _start(content_type: str, headers: Mapping[str, str]) -> dict[str, object]:
    pairs = {"content-type": content_type, **headers}
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (name.lower().encode(), value.encode("latin-1")) for name, value in pairs.items()
        ],
    }


def _body(body: bytes, *, more: bool) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": more}

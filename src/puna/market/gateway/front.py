"""Where a client's connection is split: pods' requests to the proxy, all others to the market.

Both are reached at one address. Before each request its head is looked at here; one for a pod takes
the connection over from the HTTP server as bytes, and one for the market gives it back. So a stream
to a pod costs no parsing and building of requests for the server's sake, and a WebSocket is just
bytes.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from puna.market.gateway.client import ClientSide
from puna.market.gateway.crowd import Crowd
from puna.market.gateway.heads import END, LONGEST
from puna.market.gateway.proxy import Proxy
from puna.node.api.connection import ClientConnection
from puna.wire.links import notice_silence


class Connections:
    """The connections that the proxy has taken over."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.crowd = Crowd(proxy.bounds)
        self._tasks: dict[asyncio.Transport, asyncio.Task[None]] = {}

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._tasks)

    def proxy_for(self, head: bytes) -> bool:
        """Tell whether a request is for a pod."""
        return self.proxy.read(head) is not None

    def take(
        self, transport: asyncio.Transport, begun: bytes, give_back: Callable[[bytes], None]
    ) -> None:
        """Answer a client from now on; what is the market's own is given back."""
        unread_s = self.proxy.bounds.unread_s
        side = ClientSide(transport, lambda: self._stop(transport), unread_s=unread_s)
        transport.set_protocol(side)
        task = asyncio.ensure_future(self._serve(side, begun, give_back))
        self._tasks[transport] = task
        task.add_done_callback(lambda _: self._tasks.pop(transport, None))

    async def close(self) -> None:
        """Hang up on everybody."""
        for transport, task in tuple(self._tasks.items()):
            task.cancel()
            transport.abort()
        while self._tasks:
            await asyncio.wait(tuple(self._tasks.values()))

    def _stop(self, transport: asyncio.Transport) -> None:
        self.crowd.leave(transport)
        task = self._tasks.get(transport)
        if task is not None:
            task.cancel()

    async def _serve(
        self, side: ClientSide, begun: bytes, give_back: Callable[[bytes], None]
    ) -> None:
        rest = b""
        try:
            rest = await self.proxy.serve(side, begun, self.crowd)
        finally:
            if not rest:
                side.close()
        if rest and not side.is_closing():
            give_back(rest + side.unread())


class Front(ClientConnection):
    """uvicorn's connection, which gives up those that ask for a pod."""

    patience_s = 30.0

    def __init__(self, connections: Connections, **arguments: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(**arguments)
        self._arguments = arguments
        self._connections = connections
        self._head = b""
        self._is_within = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection in, if there is room."""
        super().connection_made(transport)
        notice_silence(transport)
        self._connections.crowd.enter(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._connections.crowd.leave(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Look at the head of each request before the server does."""
        if self._is_within or not self._is_between:
            super().data_received(data)
            return
        self._head += data
        if END not in self._head and len(self._head) <= LONGEST:
            return
        held, self._head = self._head, b""
        if self._connections.proxy_for(held.partition(END)[0]):
            self._hand_over(held)
        else:
            super().data_received(held)

    def on_message_begin(self) -> None:
        """Note that a request has begun to come."""
        self._is_within = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that there is something to answer."""
        self._connections.crowd.work(self.transport)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Note that it is answered."""
        self._connections.crowd.rest(self.transport)
        super().on_response_complete()

    def on_message_complete(self) -> None:
        """Note that a request has come whole."""
        self._is_within = False
        super().on_message_complete()

    @property
    def _is_between(self) -> bool:
        """Whether every request that came is answered."""
        return not (self._is_answering or self._is_within or self.pipeline)

    def _hand_over(self, held: bytes) -> None:
        transport = self.transport
        self._unset_keepalive_if_required()
        super().connection_lost(
            ConnectionAbortedError()
        )  # the server forgets it, and closes nothing
        self._connections.take(transport, held, self._take_back(transport))

    def _take_back(self, transport: asyncio.Transport) -> Callable[[bytes], None]:
        def take(held: bytes) -> None:
            again = Front(self._connections, **self._arguments)
            transport.set_protocol(again)
            again.connection_made(transport)
            again.data_received(held)

        return take

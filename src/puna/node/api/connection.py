"""One client's HTTP connection, with an end to everything that a client can send.

uvicorn's own has none: a header, or headers, may grow until the memory is full, which needs no
key; a client that stops in the middle of its request is waited for as long as it likes; and of
requests sent ahead only the last is told that the client has gone, so that a model would go on
answering the first for nobody.
"""

from asyncio import TimerHandle, Transport
from typing import ClassVar

from uvicorn._types import ASGI3Application  # what the method below is declared with
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)


class ClientConnection(HttpToolsProtocol):
    """uvicorn's connection, which asks too much of nobody and too little of clients."""

    most_head_bytes: ClassVar[int] = 2**16
    """Request line and headers together, as other servers allow. Trailers too."""
    most_ahead: ClassVar[int] = 100
    """Requests that may be sent before the first is answered."""
    most_bytes_ahead: ClassVar[int] = 2**20
    """Bytes of such requests."""
    patience_s: ClassVar[float] = 60.0
    """How long the head of a request may take, and each pause in its body."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._running: RequestResponseCycle | None = None
        self._unread = 0
        self._ahead = 0
        self._has_moved = False
        self._alarm: TimerHandle | None = None
        self._expect_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered, even if others wait behind it."""
        self._expect_nothing()
        self.pipeline.clear()
        super().connection_lost(exc)
        if self._running is not None and self._is_answering:
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Read what came; give up on a head without end, and on too much of what is not due."""
        self._unread += len(data)
        self._ahead += len(data) if self._is_answering else 0
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._ahead > self.most_bytes_ahead or len(self.pipeline) > self.most_ahead:
            self.transport.close()
        elif self._unread > self.most_head_bytes:
            if not self._is_answering:
                self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._is_answering:
            self.flow.resume_reading()  # or nobody would see that the client has gone

    def on_message_begin(self) -> None:
        """Wait for the rest of the head."""
        super().on_message_begin()
        self._expect_more()

    def on_headers_complete(self) -> None:
        """Answer the request, or let it wait for its turn; then its body is due."""
        self._unread = 0
        super().on_headers_complete()
        self._expect_more()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body until it is asked for."""
        self._unread = 0
        self._has_moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for nothing more of this request."""
        self._unread = 0
        self._expect_nothing()
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        self._ahead = 0
        super()._start_asgi_task(cycle, app)

    @property
    def _is_answering(self) -> bool:
        """Whether a request has come whole and its answer has not gone whole."""
        running = self._running
        return running is not None and not (running.more_body or running.response_complete)

    def _expect_more(self) -> None:
        self._expect_nothing()
        self._has_moved = False
        self._alarm = self.loop.call_later(self.patience_s, self._look)

    def _expect_nothing(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _look(self) -> None:
        """Close a connection on which nothing has moved, unless it was us who stopped reading."""
        if self._has_moved or self.flow.read_paused:
            self._expect_more()
        else:
            self.transport.close()

"""One piece of work and its one result, as an answer: over early if the client vanishes."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from typing import Generic, TypeVar

from starlette.responses import Response

from puna.errors import PunaError
from puna.node.api.desk import Desk
from puna.node.api.reply import error_json
from puna.node.api.streaming import Flow, WholeReply

Result = TypeVar("Result")


Headers = Mapping[str, str]


def in_time(
    desk: Desk,
    work: Coroutine[None, None, Result],
    write: Callable[[Result], bytes],
    headers: Callable[[Result], Headers] | None = None,
) -> Response:
    """Do `work` as an answer: it ends early if the client vanishes or the node stops."""
    return WholeReply(Flow(_only(work), desk.answers), _Once(write, headers))


async def _only(work: Coroutine[None, None, Result]) -> AsyncGenerator[Result, None]:
    yield await work


class _Once(Generic[Result]):
    """Writes the one result of a piece of work."""

    def __init__(
        self, write: Callable[[Result], bytes], headers: Callable[[Result], Headers] | None
    ) -> None:
        self._write = write
        self._headers_of = headers
        self._headers: Headers = {}

    def lines(self, items: Sequence[Result]) -> bytes:
        """Return the reply."""
        if self._headers_of is not None:
            self._headers = self._headers_of(items[0])
        return self._write(items[0])

    def whole(self, items: Sequence[Result]) -> bytes:
        """Return the reply."""
        return self.lines(items)

    def headers(self) -> Headers:
        """Return the headers that the result calls for."""
        return self._headers

    def error_line(self, error: PunaError) -> bytes:
        """Return the body of an error."""
        return error_json(error)

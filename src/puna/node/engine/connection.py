"""HTTP with the child: questions in, pieces out.

Its promise is to cost next to nothing: the child's threads spin on all cores, so each microsecond
here is taken from the model. Closing a stream closes its connection at once, for that is how
llama.cpp learns that nobody listens any more. Why HTTP, and what it costs:
docs/decisions/0006-engine-connection.md.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

import aiohttp

from puna.chat.messages import Json
from puna.errors import PunaError
from puna.node.engine.events import EventReader, error_of
from puna.node.engine.request import Finish, Piece

_FIRST_ERROR = 400


class Connection:
    """The child's HTTP server. `lost` says why it stopped answering.

    Questions go over `asking`, whose connections are kept, and are asked once more when such a
    connection breaks; generations go over `session`, a connection each.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,  # noqa: TID251 - the type only; puna.net made it
        asking: aiohttp.ClientSession,  # noqa: TID251 - the same
        *,
        lost: Callable[[], Awaitable[PunaError]],
    ) -> None:
        self._session = session
        self._asking = asking
        self._lost = lost

    async def ask(
        self, path: str, question: Mapping[str, Json] | None = None
    ) -> Mapping[str, object]:
        """Return the parsed answer to one question. Raises `Invalid`, `EngineFailed`, `EngineDied`.

        Without a question it is a GET.
        """
        method = "GET" if question is None else "POST"
        body = None if question is None else _body(question)
        try:
            status, answer = await _answer(self._asking, method, path, body)
        except (aiohttp.ClientError, OSError):
            try:  # kept connections may have ended by themselves; a dead child has no new one
                status, answer = await _answer(self._session, method, path, body)
            except (aiohttp.ClientError, OSError) as error:
                raise await self._lost() from error
        if status >= _FIRST_ERROR or not isinstance(answer, dict):
            raise error_of(answer)
        return answer

    async def stream(
        self, question: Mapping[str, Json], events: EventReader
    ) -> AsyncGenerator[Piece | Finish, None]:
        """Yield what `/completion` generates, then one `Finish`. Raises as `ask`."""
        try:
            reply = await self._session.post("/completion", data=_body(question))
        except (aiohttp.ClientError, OSError) as error:
            raise await self._lost() from error
        try:
            if reply.status >= _FIRST_ERROR:
                raise error_of(_parsed(await reply.read()))
            async for block in reply.content.iter_any():
                for part in events.parts_of(block):
                    yield part
            if not events.is_finished:
                raise await self._lost()
        except (aiohttp.ClientError, OSError) as error:
            raise await self._lost() from error
        finally:
            reply.close()

    async def close(self) -> None:
        """Drop every connection."""
        await self._session.close()
        await self._asking.close()


async def _answer(
    session: aiohttp.ClientSession,  # noqa: TID251 - the type only
    method: str,
    path: str,
    body: bytes | None,
) -> tuple[int, object]:
    async with session.request(method, path, data=body) as reply:
        return reply.status, _parsed(await reply.read())


def _body(question: Mapping[str, Json]) -> bytes:
    # Half of a surrogate pair has no bytes in UTF-8, and the engine refuses it escaped.
    return json.dumps(question, ensure_ascii=False).encode(errors="replace")


def _parsed(body: bytes) -> object:
    try:
        answer: object = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
    return answer

"""HTTP with the child: questions in, pieces out.

Its promise is to cost next to nothing: the child's threads spin on all cores, so each microsecond
here is taken from the model. Closing a stream closes its connection at once, for that is how
llama.cpp learns that nobody listens any more. Why HTTP, and what it costs:
docs/decisions/0006-engine-connection.md and 0022-lean-line.md.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from puna.chat.messages import Json
from puna.errors import PunaError
from puna.node.engine.events import EventReader, error_of
from puna.node.engine.line import Door, Line
from puna.node.engine.request import Finish, Piece

_FIRST_ERROR = 400
_MOST_KEPT = 8


class Connection:
    """The child's HTTP server. `lost` says why it stopped answering.

    Questions go over connections that are kept, and are asked once more when such a one breaks:
    llama.cpp closes them when it likes. A generation has a connection of its own.
    """

    def __init__(self, door: Door, *, lost: Callable[[], Awaitable[PunaError]]) -> None:
        self._door = door
        self._lost = lost
        self._kept: list[Line] = []

    async def ask(
        self, path: str, question: Mapping[str, Json] | None = None
    ) -> Mapping[str, object]:
        """Return the parsed answer to one question. Raises `Invalid`, `EngineFailed`, `EngineDied`.

        Without a question it is a GET.
        """
        method, body = ("GET", None) if question is None else ("POST", _body(question))
        request = self._door.request(method, path, body, keeps=True)
        try:
            status, answer = await self._answer(self._kept.pop() if self._kept else None, request)
        except OSError:
            try:  # a kept connection may have ended by itself; a dead child has no new one
                status, answer = await self._answer(None, request)
            except OSError as error:
                raise await self._lost() from error
        if status >= _FIRST_ERROR or not isinstance(answer, dict):
            raise error_of(answer)
        return answer

    async def tokenize(self, text: str, *, add_special: bool) -> tuple[int, ...]:
        """Return the token ids of a text. Raises as `ask`."""
        question: Mapping[str, Json] = {
            "content": text,
            "add_special": add_special,
            "parse_special": True,
        }
        tokens = (await self.ask("/tokenize", question))["tokens"]
        return tuple(tokens) if isinstance(tokens, list) else ()

    async def stream(
        self, question: Mapping[str, Json], events: EventReader
    ) -> AsyncGenerator[Piece | Finish, None]:
        """Yield what `/completion` generates, then one `Finish`. Raises as `ask`."""
        request = self._door.request("POST", "/completion", _body(question), keeps=False)
        line: Line | None = None
        try:
            line = await self._door.enter()
            line.send(request)
            if await line.status() >= _FIRST_ERROR:
                raise error_of(_parsed(await line.body()))
            async for block in line.blocks():
                for part in events.parts_of(block):
                    yield part
            if not events.is_finished:
                raise await self._lost()
        except OSError as error:
            raise await self._lost() from error
        finally:
            if line is not None:
                line.close()

    async def close(self) -> None:
        """Drop every connection."""
        while self._kept:
            self._kept.pop().close()

    async def _answer(self, kept: Line | None, request: bytes) -> tuple[int, object]:
        line = kept or await self._door.enter()
        try:
            line.send(request)
            status = await line.status()
            body = await line.body()
        except BaseException:  # also when nobody waits any more: the rest would be read as the next
            line.close()
            raise
        if line.is_open and len(self._kept) < _MOST_KEPT:
            self._kept.append(line)
        else:
            line.close()
        return status, _parsed(body)


def _body(question: Mapping[str, Json]) -> bytes:
    # Half of a surrogate pair has no bytes in UTF-8, and the engine refuses it escaped.
    return json.dumps(question, ensure_ascii=False).encode(errors="replace")


def _parsed(body: bytes) -> object:
    try:
        answer: object = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
    return answer

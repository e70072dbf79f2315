"""Talk to a node, here or far: the blocking client that the command line uses.

It speaks Ollama's dialect over `puna.net.Caller`, so it works against puna and Ollama alike, and
imports neither asyncio nor aiohttp nor pydantic: a command must start in a tenth of a second.
"""

import json
from collections.abc import Callable, Generator, Mapping
from http import HTTPStatus
from typing import BinaryIO, NoReturn
from urllib.parse import quote

from puna.errors import Failed
from puna.net import Answer, Caller, Unreachable
from puna.node.replies import Fields, ModelEntry, NodeVersion, RunningModel
from puna.settings import Address
from puna.text import one_line

GREETING = "Ollama is running"
"""What `GET /` of a node says; clients look for these words."""
_QUICK_S = 60.0
_GREETING_S = 10.0


class NodeRefused(Failed):
    """The node answered that it will not, or cannot; `reply_status` is its HTTP status."""

    code = "node_refused"

    def __init__(self, message: str, *, reply_status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reply_status = reply_status

    @property
    def is_not_found(self) -> bool:
        """Whether the thing that was asked for does not exist."""
        return self.reply_status == HTTPStatus.NOT_FOUND


class NotANode(Failed):
    """Something listens at the address, and it is neither puna nor Ollama."""

    code = "not_a_node"


class NodeClient:
    """A node's quick verbs, and the two ways to ask it anything (see also asking, card, pulling).

    All block; all raise `Unreachable`, `NotANode` or `NodeRefused`.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @property
    def url(self) -> str:
        """The node's address as a person writes it."""
        return self._caller.url

    def greet(self) -> None:
        """Make sure that a node answers at the address. Raises `Unreachable` or `NotANode`."""
        with self._caller.request("GET", "/", timeout_s=_GREETING_S) as answer:
            said = answer.read()
        if said.strip() != GREETING.encode():
            self.version()  # behind a proxy the greeting can be another one

    def version(self) -> NodeVersion:
        """Return which program answers."""
        reply = self.ask("GET", "/api/version")
        if not reply.text("version"):
            self._not_a_node()
        return NodeVersion(reply.text("version"), reply.text("puna"))

    def list_models(self) -> tuple[ModelEntry, ...]:
        """Return the node's models, newest first."""
        return tuple(ModelEntry.of(entry) for entry in self.ask("GET", "/api/tags").each("models"))

    def running(self) -> tuple[RunningModel, ...]:
        """Return the models in memory."""
        return tuple(RunningModel.of(entry) for entry in self.ask("GET", "/api/ps").each("models"))

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name. A bundled one may have to be copied whole."""
        self._tell("POST", "/api/copy", {"source": source, "destination": destination})

    def delete(self, model: str) -> None:
        """Remove a name, and the files that nothing else uses."""
        self._tell("DELETE", "/api/delete", {"model": model})

    def has_blob(self, digest: str) -> bool:
        """Tell whether the node's store has a blob."""
        try:
            self.ask_plain("HEAD", f"/api/blobs/{digest}")
        except NodeRefused as error:
            if error.is_not_found:
                return False
            raise
        return True

    def send_blob(self, digest: str, file: BinaryIO) -> None:
        """Put a file into the node's store; the node checks its digest."""
        self.ask_plain("POST", f"/api/blobs/{digest}", file)

    def unload(self, model: str) -> None:
        """Take a model out of memory, once nobody uses it."""
        body = {"model": model, "keep_alive": 0, "stream": False}
        self.ask("POST", "/api/generate", body, limit_s=None)

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        limit_s: float | None = _QUICK_S,
    ) -> Fields:
        """Send a request and return the one object of the reply. None waits without a limit."""
        encoded = None if body is None else _encode(body)
        with self._caller.request(method, path, encoded, timeout_s=limit_s) as answer:
            self._check(answer)
            return self._read(answer.read(), answer)

    def stream(
        self, path: str, body: Mapping[str, object], *, is_last: Callable[[Fields], bool]
    ) -> Generator[Fields]:
        """Yield a reply's objects line by line. Raises `Unreachable` if the last is missing.

        Closing the generator drops the connection, which calls the work off.
        """
        with self._caller.request("POST", path, _encode(body)) as answer:
            self._check(answer)
            for line in answer.lines():
                if not line.strip():
                    continue
                reply = self._read(line, answer)
                yield reply
                if is_last(reply):
                    return
        raise Unreachable("the server broke off in the middle of its answer")

    def ask_plain(self, method: str, path: str, body: BinaryIO | None = None) -> None:
        """Send a request whose reply has nothing in it."""
        with self._caller.request(method, path, body) as answer:
            self._check(answer)
            answer.read()

    def _tell(self, method: str, path: str, body: Mapping[str, object]) -> None:
        with self._caller.request(method, path, _encode(body)) as answer:
            self._check(answer)
            answer.read()

    def _read(self, text: bytes, answer: Answer) -> Fields:
        reply = self._parse(text)
        if reply.text("error"):
            raise NodeRefused(
                reply.text("error"), reply_status=answer.status, hint=reply.text("hint")
            )
        return reply

    def _parse(self, line: bytes) -> Fields:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            self._not_a_node()
        if not isinstance(value, dict):
            self._not_a_node()
        return Fields(value)

    def _check(self, answer: Answer) -> None:
        """Raise what an error reply says; without JSON it may come from another program."""
        if answer.status < HTTPStatus.BAD_REQUEST:
            return
        body = answer.read()
        try:
            error = Fields(json.loads(body)).text("error")
        except (ValueError, RecursionError):
            error = ""
        plain = answer.headers.get("content-type", "").startswith("text/plain")
        words = one_line(body.decode(errors="replace")) if plain else ""
        hint = answer.headers.get("puna-hint", "")
        raise NodeRefused(
            error or words or f"{self.url} answered with HTTP status {answer.status} and no reason",
            reply_status=answer.status,
            hint=hint or ("" if error else "is it puna or Ollama that listens there?"),
        )

    def _not_a_node(self) -> NoReturn:
        raise NotANode(
            f"what listens at {self.url} is neither puna nor Ollama",
            hint="stop it, or choose another address, such as PUNA_HOST=127.0.0.1:11435",
        )


def caller_for(address: Address, api_key: str = "") -> Caller:
    """Make the caller for an address; the key, if any, goes to that address alone."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    prefix = quote(address.path, safe="/%:@")
    return Caller(address.scheme, address.host, address.port, prefix=prefix, headers=headers)


def _encode(body: Mapping[str, object]) -> bytes:
    return json.dumps(body).encode()

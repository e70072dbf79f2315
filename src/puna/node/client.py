"""Talk to a node, here or far: the blocking client that the command line uses.

It speaks Ollama's dialect over `puna.net.Caller`, so it works against puna and Ollama alike, and
imports neither asyncio nor aiohttp nor pydantic: a command must start in a tenth of a second.
"""

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Protocol
from urllib.parse import quote

from puna.chat.messages import Message
from puna.errors import Failed
from puna.net import Answer, Caller, Unreachable
from puna.node.replies import (
    Chunk,
    Fields,
    ModelCard,
    ModelEntry,
    NodeVersion,
    RunningModel,
    ToolCall,
    read_cut,
    read_timings,
)
from puna.progress import Done, Progress, Step, Transfer
from puna.settings import Address
from puna.units import Size

GREETING = "Ollama is running"
"""What `GET /` of a node says; clients look for these words."""
_QUICK_S = 60.0
_GREETING_S = 10.0
_NOT_FOUND = 404


class NodeRefused(Failed):
    """The node answered that it will not, or cannot; `reply_status` is its HTTP status."""

    code = "node_refused"

    def __init__(self, message: str, *, reply_status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reply_status = reply_status

    @property
    def is_not_found(self) -> bool:
        """Whether the thing that was asked for does not exist."""
        return self.reply_status == _NOT_FOUND


class NotANode(Failed):
    """Something listens at the address, and it is neither puna nor Ollama."""

    code = "not_a_node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One generation as a client asks for it: a prompt, or the messages of a conversation."""

    model: str
    prompt: str = ""
    messages: tuple[Message, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    format: object = None
    think: bool | str | None = None
    keep_alive: str | None = None

    def to_body(self) -> dict[str, object]:
        """Return the fields that both endpoints share, without those that say nothing."""
        body: dict[str, object] = {"model": self.model}
        if self.options:
            body["options"] = dict(self.options)
        if self.format is not None:
            body["format"] = self.format
        if self.think is not None:
            body["think"] = self.think
        if self.keep_alive is not None:
            body["keep_alive"] = self.keep_alive
        return body


class Shelf(Protocol):
    """Models as the command line sees them: through a node, or straight in the store."""

    def list_models(self) -> tuple[ModelEntry, ...]:
        """Return the models, newest first."""

    def show(
        self,
        model: str,
        *,
        verbose: bool = False,
        system: str = "",
        options: Mapping[str, object] | None = None,
    ) -> ModelCard:
        """Return what is known of one model."""

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name."""

    def unload(self, model: str) -> None:
        """Take a model out of memory, if it is there."""

    def delete(self, model: str) -> None:
        """Remove a name, and the files that nothing else uses."""

    def pull(self, model: str, *, insecure: bool = False) -> Iterator[Progress]:
        """Fetch a model, yielding how far it is."""


class NodeClient:
    """A node's verbs. All block; all raise `Unreachable`, `NotANode` or `NodeRefused`."""

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
        reply = self._object("GET", "/api/version")
        if not reply.text("version"):
            self._not_a_node()
        return NodeVersion(reply.text("version"), reply.text("puna"))

    def list_models(self) -> tuple[ModelEntry, ...]:
        """Return the node's models, newest first."""
        return tuple(
            ModelEntry.of(entry) for entry in self._object("GET", "/api/tags").each("models")
        )

    def running(self) -> tuple[RunningModel, ...]:
        """Return the models in memory."""
        return tuple(
            RunningModel.of(entry) for entry in self._object("GET", "/api/ps").each("models")
        )

    def show(
        self,
        model: str,
        *,
        verbose: bool = False,
        system: str = "",
        options: Mapping[str, object] | None = None,
    ) -> ModelCard:
        """Return what is known of one model; `system` and `options` are shown as if set in it."""
        body: dict[str, object] = {"model": model, "verbose": verbose}
        body |= {"system": system} if system else {}
        body |= {"options": dict(options)} if options else {}
        return ModelCard.of(self._object("POST", "/api/show", body))

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name."""
        self._plain("POST", "/api/copy", {"source": source, "destination": destination})

    def delete(self, model: str) -> None:
        """Remove a name, and the files that nothing else uses."""
        self._plain("DELETE", "/api/delete", {"model": model})

    def load(self, question: Question) -> None:
        """Load a model without asking it anything. Waits as long as the load takes."""
        body = question.to_body() | {"stream": False}
        with self._caller.request("POST", "/api/generate", _encode(body)) as answer:
            self._read_object(answer)

    def unload(self, model: str) -> None:
        """Take a model out of memory."""
        self._object("POST", "/api/generate", {"model": model, "keep_alive": 0, "stream": False})

    def generate(self, question: Question) -> Generator[Chunk]:
        """Yield the answer to a prompt as it is made. Closing the iterator stops the model."""
        body = question.to_body() | {"prompt": question.prompt, "stream": True}
        for reply in self._stream("/api/generate", body):
            yield _chunk(reply, text=reply.text("response"), said=reply)

    def chat(self, question: Question) -> Generator[Chunk]:
        """Yield the answer to a conversation as it is made. Closing stops the model."""
        messages = [{"role": item.role, "content": item.content} for item in question.messages]
        body = question.to_body() | {"messages": messages, "stream": True}
        for reply in self._stream("/api/chat", body):
            said = reply.fields("message")
            yield _chunk(reply, text=said.text("content"), said=said)

    def pull(self, model: str, *, insecure: bool = False) -> Iterator[Progress]:
        """Fetch a model into the node's store, yielding how far it is."""
        body = {"model": model, "insecure": insecure, "stream": True}
        for reply in self._stream(
            "/api/pull", body, last=lambda item: item.text("status") == "success"
        ):
            yield _progress(reply)

    def _stream(
        self, path: str, body: Mapping[str, object], *, last: Callable[[Fields], bool] | None = None
    ) -> Iterator[Fields]:
        """Yield a reply's objects line by line. Raises `Unreachable` if the last is missing."""
        is_last = last or (lambda item: item.flag("done"))
        with self._caller.request("POST", path, _encode(body)) as answer:
            if answer.status >= 400:  # noqa: PLR2004
                self._refuse(answer)
            for line in answer.lines():
                if not line.strip():
                    continue
                reply = self._parse(line)
                if reply.text("error"):
                    raise NodeRefused(reply.text("error"), reply_status=answer.status)
                yield reply
                if is_last(reply):
                    return
        raise Unreachable("the server broke off in the middle of its answer")

    def _object(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Fields:
        encoded = None if body is None else _encode(body)
        with self._caller.request(method, path, encoded, timeout_s=_QUICK_S) as answer:
            return self._read_object(answer)

    def _plain(self, method: str, path: str, body: Mapping[str, object]) -> None:
        with self._caller.request(method, path, _encode(body), timeout_s=_QUICK_S) as answer:
            if answer.status >= 400:  # noqa: PLR2004
                self._refuse(answer)
            answer.read()

    def _read_object(self, answer: Answer) -> Fields:
        if answer.status >= 400:  # noqa: PLR2004
            self._refuse(answer)
        reply = self._parse(answer.read())
        if reply.text("error"):
            raise NodeRefused(reply.text("error"), reply_status=answer.status)
        return reply

    def _parse(self, line: bytes) -> Fields:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            self._not_a_node()
        if not isinstance(value, dict):
            self._not_a_node()
        return Fields(value)

    def _refuse(self, answer: Answer) -> NoReturn:
        """Raise what an error reply says; without a reason it may come from another program."""
        body = answer.read()
        try:
            error = Fields(json.loads(body)).text("error")
        except (ValueError, RecursionError):
            error = ""
        hint = answer.headers.get("puna-hint", "")
        raise NodeRefused(
            error or f"{self.url} answered with HTTP status {answer.status} and no reason",
            reply_status=answer.status,
            hint=hint or ("" if error else "is it puna or Ollama that listens there?"),
        )

    def _not_a_node(self) -> NoReturn:
        raise NotANode(
            f"what listens at {self.url} is neither puna nor Ollama",
            hint="stop it, or choose another address, such as PUNA_HOST=127.0.0.1:11500",
        )


def caller_for(address: Address, api_key: str = "") -> Caller:
    """Make the caller for an address; the key, if any, goes to that address alone."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    prefix = quote(address.path, safe="/%:@")
    return Caller(address.scheme, address.host, address.port, prefix=prefix, headers=headers)


def _encode(body: Mapping[str, object]) -> bytes:
    return json.dumps(body).encode()


def _chunk(reply: Fields, *, text: str, said: Fields) -> Chunk:
    calls = tuple(
        ToolCall(
            call.fields("function").text("name"),
            json.dumps(call.fields("function").values.get("arguments", {}), ensure_ascii=False),
        )
        for call in said.each("tool_calls")
    )
    is_last = reply.flag("done")
    return Chunk(
        text=text,
        thinking=said.text("thinking"),
        tool_calls=calls,
        is_last=is_last,
        timings=read_timings(reply) if is_last else None,
        cut=read_cut(reply) if is_last else None,
    )


def _progress(reply: Fields) -> Progress:
    status = reply.text("status")
    if reply.text("digest"):
        return Transfer(
            status, reply.text("digest"), Size(reply.whole("total")), Size(reply.whole("completed"))
        )
    return Done() if status == "success" else Step(status)

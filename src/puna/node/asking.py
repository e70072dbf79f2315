"""Ask a model something and read its answer as it is made."""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from puna.chat.images import Image
from puna.chat.messages import Message
from puna.node.client import NodeClient
from puna.node.replies import Fields
from puna.units import Count, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One generation as a client asks for it: a prompt, or the messages of a conversation."""

    model: str
    prompt: str = ""
    images: tuple[Image, ...] = ()
    """What is shown with the prompt; messages have their own."""
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


@dataclass(frozen=True, slots=True)
class Timings:
    """How long an answer took and how many tokens it had."""

    total: Span
    load: Span
    prompt_tokens: Count
    prompt_span: Span
    output_tokens: Count
    output_span: Span


@dataclass(frozen=True, slots=True)
class Cut:
    """A prompt that did not fit, and what was kept of it."""

    prompt_tokens: int
    kept_tokens: int
    context: int
    dropped_messages: int


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called; `arguments` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer. The last one carries the timings, and the cut if there was one."""

    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    is_last: bool = False
    timings: Timings | None = None
    cut: Cut | None = None


def load(client: NodeClient, question: Question) -> None:
    """Load a model without asking it anything. Waits as long as the load takes."""
    client.ask("POST", "/api/generate", question.to_body() | {"stream": False}, limit_s=None)


def generate(client: NodeClient, question: Question) -> Generator[Chunk]:
    """Yield the answer to a prompt as it is made. Closing the iterator stops the model."""
    body = question.to_body() | {"prompt": question.prompt, "stream": True}
    if question.images:
        body["images"] = [image.base64 for image in question.images]
    for reply in client.stream("/api/generate", body, is_last=_is_done):
        yield _chunk(reply, text=reply.text("response"), said=reply)


def chat(client: NodeClient, question: Question) -> Generator[Chunk]:
    """Yield the answer to a conversation as it is made. Closing stops the model."""
    messages = [_turn(item) for item in question.messages]
    body = question.to_body() | {"messages": messages, "stream": True}
    for reply in client.stream("/api/chat", body, is_last=_is_done):
        said = reply.fields("message")
        yield _chunk(reply, text=said.text("content"), said=said)


def _turn(message: Message) -> dict[str, object]:
    turn: dict[str, object] = {"role": message.role, "content": message.content}
    if message.images:
        turn["images"] = [image.base64 for image in message.images]
    return turn


def _is_done(reply: Fields) -> bool:
    return reply.flag("done")


def read_timings(reply: Fields) -> Timings:
    """Read the counters of a final object."""
    return Timings(
        total=Span(reply.whole("total_duration")),
        load=Span(reply.whole("load_duration")),
        prompt_tokens=Count(reply.whole("prompt_eval_count")),
        prompt_span=Span(reply.whole("prompt_eval_duration")),
        output_tokens=Count(reply.whole("eval_count")),
        output_span=Span(reply.whole("eval_duration")),
    )


def read_cut(reply: Fields) -> Cut | None:
    """Read what a final object says of a prompt that was cut, if it says so."""
    cut = reply.fields("truncated")
    if not cut.values:
        return None
    return Cut(
        prompt_tokens=cut.whole("prompt_tokens"),
        kept_tokens=cut.whole("kept_tokens"),
        context=cut.whole("context_length"),
        dropped_messages=cut.whole("dropped_messages"),
    )


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

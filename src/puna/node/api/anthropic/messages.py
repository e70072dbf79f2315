"""An answer of `/v1/messages`: as Anthropic's events, in their order, or as one object."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from puna.errors import PunaError
from puna.node.answer import Begun, Called, Ended, Event
from puna.node.api.dialect import ANTHROPIC
from puna.node.api.notes import Notes
from puna.node.api.ollama.lines import as_json
from puna.node.api.openai.form import Run, runs_of
from puna.node.engine.request import StopReason
from puna.wire import anthropic as wire


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageForm:
    """How one answer is to be written."""

    id: str
    model: str
    """The name as the client wrote it."""
    stops: tuple[str, ...] = ()
    """The client's own stop strings; those of the model are no `stop_sequence`."""
    ignored: tuple[str, ...] = ()


class MessageWriter:
    """Writes one answer as a message of blocks: thoughts, words and calls, as they come."""

    def __init__(self, form: MessageForm) -> None:
        self._form = form
        self._notes = Notes(form.ignored)
        self._open = ""
        """The type of the block that is being written."""
        self._blocks = 0
        self._has_called = False

    def lines(self, items: Sequence[Event]) -> bytes:
        """Return the events for what came."""
        body = b""
        for item in items:
            self._notes = self._notes.after(item)
            if isinstance(item, Begun):
                body += self._start(item)
        return body + b"".join(event for run in runs_of(items) for event in self._events(run))

    def _start(self, begun: Begun) -> bytes:
        usage = wire.Usage(input_tokens=begun.prompt.counted or 0, output_tokens=0)
        message = self._message([], usage, reason=None, stop=None)
        start = {"type": "message_start", "message": message.model_dump(exclude_defaults=True)}
        return _event("message_start", start) + _event("ping", {"type": "ping"})

    def _events(self, run: Run) -> Iterator[bytes]:
        if run.thought:
            yield from self._go_on("thinking", {"thinking": "", "signature": ""})
            yield self._delta("thinking_delta", "thinking", run.thought)
        if run.text:
            yield from self._go_on("text", {"text": ""})
            yield self._delta("text_delta", "text", run.text)
        if run.call is not None:
            self._has_called = True
            yield from self._close()
            yield from self._go_on("tool_use", {**_named(run.call), "input": {}})
            yield self._delta("input_json_delta", "partial_json", run.call.call.arguments)
        if run.ended is not None:
            yield from self._close()
            yield self._end(run.ended)
            yield _event("message_stop", {"type": "message_stop"})

    def _go_on(self, kind: str, empty: Mapping[str, object]) -> Iterator[bytes]:
        """Begin a block, unless one of the same type is being written."""
        if self._open == kind:
            return
        yield from self._close()
        self._open = kind
        block = {"type": kind, **empty}
        start = {"type": "content_block_start", "index": self._blocks, "content_block": block}
        yield _event("content_block_start", start)

    def _close(self) -> Iterator[bytes]:
        if self._open:
            stop = {"type": "content_block_stop", "index": self._blocks}
            yield _event("content_block_stop", stop)
            self._open = ""
            self._blocks += 1

    def _delta(self, kind: str, name: str, text: str) -> bytes:
        delta = {"type": kind, name: text}
        return _event(
            "content_block_delta",
            {"type": "content_block_delta", "index": self._blocks, "delta": delta},
        )

    def _end(self, ended: Ended) -> bytes:
        reason, stop = self._reason(ended)
        delta: dict[str, object] = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": stop},
            "usage": _usage(ended).model_dump(),
        }
        if said := self._notes.said().model_dump(exclude_defaults=True):
            delta["puna"] = said
        return _event("message_delta", delta)

    def _reason(self, ended: Ended) -> tuple[str, str | None]:
        """Return why the answer ended, and the client's stop string if it was one."""
        word = ended.finish.stop_word
        if self._has_called:
            return "tool_use", None
        if ended.finish.reason is StopReason.LENGTH:
            return "max_tokens", None
        return ("stop_sequence", word) if word and word in self._form.stops else ("end_turn", None)

    def whole(self, items: Sequence[Event]) -> bytes:
        """Return the answer as one object."""
        for item in items:
            self._notes = self._notes.after(item)
        runs = list(runs_of(items))
        ended = next(run.ended for run in runs if run.ended is not None)
        blocks = [block for run in runs if (block := _block(run)) is not None]
        self._has_called = any(run.call is not None for run in runs)
        reason, stop = self._reason(ended)
        return self._message(blocks, _usage(ended), reason=reason, stop=stop).to_json()

    def _message(
        self, blocks: list[wire.Block], usage: wire.Usage, *, reason: str | None, stop: str | None
    ) -> wire.MessageReply:
        return wire.MessageReply(
            id=self._form.id,
            type="message",
            role="assistant",
            model=self._form.model,
            content=blocks,
            stop_reason=reason,
            stop_sequence=stop,
            usage=usage,
            puna=self._notes.said(),
        )

    def headers(self) -> Mapping[str, str]:
        """Return headers that say what was not done as it was asked."""
        return self._notes.headers()

    def error_line(self, error: PunaError) -> bytes:
        """Return the event that ends an answer which failed on the way."""
        return ANTHROPIC.last_words(error)


def _event(name: str, content: Mapping[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), as_json(content))


def _usage(ended: Ended) -> wire.Usage:
    finish = ended.finish
    return wire.Usage(input_tokens=finish.prompt_tokens, output_tokens=finish.output_tokens)


def _named(called: Called) -> Mapping[str, object]:
    return {"id": called.call.id or f"toolu_{called.index}", "name": called.call.name}


def _block(run: Run) -> wire.Block | None:
    if run.thought:
        return wire.Block(type="thinking", thinking=run.thought, signature="")
    if run.call is not None:
        arguments = json.loads(run.call.call.arguments or "{}")
        call = run.call.call
        call_id = call.id or f"toolu_{run.call.index}"
        return wire.Block(type="tool_use", id=call_id, name=call.name, input=arguments)
    return wire.Block(type="text", text=run.text) if run.text else None

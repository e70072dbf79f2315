"""An answer of `/v1/responses`: as numbered events, or as one response object.

The items of the output come in the order in which the model makes them: what it thinks, what it
says, what it calls. Each is opened, filled and closed by events of its own; at the end the whole
response is told once more.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from puna.errors import PunaError
from puna.node.answer import Called, Ended, Event, Thought
from puna.node.api.dialect import OPENAI
from puna.node.api.notes import Notes
from puna.node.api.ollama.lines import as_json
from puna.node.api.openai.form import Run, runs_of
from puna.node.engine.request import StopReason
from puna.wire import responses as wire

Item = dict[str, JsonValue]
_IN_PROGRESS = "in_progress"
_COMPLETED = "completed"
_INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseForm:
    """How one answer is to be written."""

    id: str
    created: int
    asked: wire.ResponsesRequest
    new_id: Callable[[], str]
    """Makes the digits of an item's id."""
    namespaces: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


class ResponseWriter:
    """Writes one answer."""

    def __init__(self, form: ResponseForm) -> None:
        self._form = form
        self._notes = Notes(form.ignored)
        self._number = 0
        self._output: list[Item] = []
        self._open: Item | None = None
        self._text = ""
        """What has been written of the open item."""
        self._thought_tokens = 0
        self._ended: Ended | None = None

    def lines(self, items: Sequence[Event]) -> bytes:
        """Return the events for what came."""
        self._take(items)
        body = b"" if self._number else b"".join(self._begin())
        return body + b"".join(event for run in runs_of(items) for event in self._events(run))

    def _take(self, items: Sequence[Event]) -> None:
        for item in items:
            self._notes = self._notes.after(item)
            if isinstance(item, Thought):
                self._thought_tokens += len(item.piece.tokens)

    def _begin(self) -> Iterator[bytes]:
        response = self._response(_IN_PROGRESS)
        yield self._event("response.created", response=response)
        yield self._event("response.in_progress", response=response)

    def _events(self, run: Run) -> Iterator[bytes]:
        if run.thought:
            yield from self._go_on("reasoning")
            yield from self._delta("response.reasoning_summary_text.delta", run.thought)
        if run.text:
            yield from self._go_on("message")
            yield from self._delta("response.output_text.delta", run.text)
        if run.call is not None:
            yield from self._close()
            yield from self._call(run.call)
        if run.ended is not None:
            status = _INCOMPLETE if _is_cut(run.ended) else _COMPLETED
            yield from self._close(status)
            self._ended = run.ended
            yield self._event("response.completed", response=self._response(status))

    def _go_on(self, kind: str) -> Iterator[bytes]:
        """Begin an item, unless one of the same kind is being written."""
        if self._open is not None and self._open["type"] == kind:
            return
        yield from self._close()
        self._open = self._new_item(kind)
        yield self._item_event("response.output_item.added", self._open)
        if kind == "message":
            yield self._part_event("response.content_part.added", _part(""))

    def _new_item(self, kind: str) -> Item:
        if kind == "reasoning":
            return {"id": f"rs_{self._form.new_id()}", "type": kind, "summary": []}
        return {
            "id": f"msg_{self._form.new_id()}",
            "type": kind,
            "status": _IN_PROGRESS,
            "role": "assistant",
            "content": [],
        }

    def _delta(self, name: str, text: str) -> Iterator[bytes]:
        self._text += text
        yield self._event(name, **self._place(), delta=text, **self._no_logprobs())

    def _place(self) -> dict[str, object]:
        """Say which part of which item an event is about."""
        item = self._open or {}
        kind = "summary_index" if item.get("type") == "reasoning" else "content_index"
        return {"item_id": item.get("id"), "output_index": len(self._output), kind: 0}

    def _no_logprobs(self) -> dict[str, object]:
        is_text = self._open is not None and self._open["type"] == "message"
        return {"logprobs": []} if is_text else {}

    def _close(self, status: str = _COMPLETED) -> Iterator[bytes]:
        """End the open item, if there is one."""
        item = self._open
        if item is None:
            return
        place, text = self._place(), self._text
        if item["type"] == "reasoning":
            yield self._event("response.reasoning_summary_text.done", **place, text=text)
            item = {**item, "summary": [{"type": "summary_text", "text": text}]}
        else:
            yield self._event("response.output_text.done", **place, text=text, logprobs=[])
            yield self._part_event("response.content_part.done", _part(text))
            item = {**item, "status": status, "content": [_part(text)]}
        yield self._item_event("response.output_item.done", item)
        self._output.append(item)
        self._open, self._text = None, ""

    def _call(self, called: Called) -> Iterator[bytes]:
        item = self._call_item(called)
        arguments = called.call.arguments
        place = {"item_id": item["id"], "output_index": len(self._output)}
        begun = {**item, "status": _IN_PROGRESS, "arguments": ""}
        yield self._item_event("response.output_item.added", begun)
        yield self._event("response.function_call_arguments.delta", **place, delta=arguments)
        yield self._event(
            "response.function_call_arguments.done",
            **place,
            name=item["name"],
            arguments=arguments,
        )
        yield self._item_event("response.output_item.done", item)
        self._output.append(item)

    def _call_item(self, called: Called) -> Item:
        call = called.call
        space, name = self._form.namespaces.get(call.name, ("", call.name))
        item: Item = {
            "id": f"fc_{self._form.new_id()}",
            "type": "function_call",
            "status": _COMPLETED,
            "call_id": call.id or f"call_{called.index}",
            "name": name,
            "arguments": call.arguments,
        }
        return item | {"namespace": space} if space else item

    def _item_event(self, name: str, item: Item) -> bytes:
        return self._event(name, output_index=len(self._output), item=item)

    def _part_event(self, name: str, part: Item) -> bytes:
        return self._event(name, **self._place(), part=part)

    def _event(self, kind: str, /, **fields: object) -> bytes:
        content = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), as_json(content))

    def whole(self, items: Sequence[Event]) -> bytes:
        """Return the answer as one object: what the last event of a stream tells."""
        self._take(items)
        for run in runs_of(items):
            for _ in self._events(run):
                pass
        status = _INCOMPLETE if self._ended and _is_cut(self._ended) else _COMPLETED
        return as_json(self._response(status))

    def _response(self, status: str, problem: wire.Problem | None = None) -> object:
        asked = self._form.asked
        return wire.Response(
            id=self._form.id,
            object="response",
            created_at=self._form.created,
            status=status,
            error=problem,
            incomplete_details=(
                wire.Incomplete(reason="max_output_tokens") if status == _INCOMPLETE else None
            ),
            instructions=asked.instructions,
            max_output_tokens=asked.max_output_tokens,
            model=asked.model or "",
            output=list(self._output),
            parallel_tool_calls=asked.parallel_tool_calls is not False,
            previous_response_id=None,
            reasoning={"effort": asked.reasoning.effort if asked.reasoning else None},
            store=False,
            temperature=asked.temperature,
            text={"format": (asked.text and asked.text.format) or {"type": "text"}},
            tool_choice="auto" if asked.tool_choice is None else asked.tool_choice,
            tools=asked.tools or [],
            top_p=asked.top_p,
            truncation=asked.truncation or "auto",
            usage=self._usage(),
            metadata=asked.metadata or {},
            puna=self._notes.said(),
        ).model_dump(exclude_defaults=True)

    def _usage(self) -> wire.Usage | None:
        if self._ended is None:
            return None
        finish = self._ended.finish
        return wire.Usage(
            input_tokens=finish.prompt_tokens,
            input_tokens_details=wire.CachedTokens(cached_tokens=finish.cached_tokens),
            output_tokens=finish.output_tokens,
            output_tokens_details=wire.ReasoningTokens(reasoning_tokens=self._thought_tokens),
            total_tokens=finish.prompt_tokens + finish.output_tokens,
        )

    def headers(self) -> Mapping[str, str]:
        """Return headers that say what was not done as it was asked."""
        return self._notes.headers()

    def error_line(self, error: PunaError) -> bytes:
        """Return the event that ends an answer which failed on the way."""
        if not self._number:
            return OPENAI.last_words(error)
        problem = wire.Problem(code="server_error", message=error.message)
        return self._event("response.failed", response=self._response("failed", problem))


def _is_cut(ended: Ended) -> bool:
    return ended.finish.reason is StopReason.LENGTH


def _part(text: str) -> Item:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

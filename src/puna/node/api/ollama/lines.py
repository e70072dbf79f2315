"""An answer as the lines that Ollama sends, made fast: this runs for every token.

The constant parts of a line are made once per answer, and only the text goes through the JSON
encoder. Pieces that came together become one line. Order of fields and omission of empty ones are
those of Ollama's structs; `tests/data/wire/ollama` holds the bytes.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from puna.errors import PunaError
from puna.node.answer import Begun, Called, Ended, Event, Thought
from puna.node.api.notes import note_headers, truncated
from puna.node.api.reply import error_json
from puna.node.engine.request import ChosenToken, TokenProbability
from puna.node.prompt import Cut
from puna.wire.ollama import Logprob, TokenLogprob, rfc3339

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Shape(Enum):
    """What stands around the text of an answer: before it, and after it."""

    CHAT = (b'"message":{"role":"assistant","content":', b"}")
    GENERATE = (b'"response":', b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerForm:
    """How one answer is to be written."""

    shape: Shape
    model: str
    """The name as the client wrote it."""
    now: Callable[[], datetime]
    tells_context: bool = False
    """Whether the last object lists the tokens of prompt and answer."""
    ignored: tuple[str, ...] = ()
    """What the client asked for and had no effect."""


class AnswerWriter:
    """Writes one answer, and remembers what its last object needs: tokens and cut."""

    def __init__(self, form: AnswerForm) -> None:
        before, after = form.shape.value
        self._form = form
        self._head = b'{"model":%b,"created_at":"' % as_json(form.model)
        self._before = b'",' + before
        self._after = after + b',"done":'
        self._tokens: list[int] = []
        self._cut: Cut | None = None

    def lines(self, items: Sequence[Event]) -> bytes:
        """Return one line for the text of `items`, and the last line once the answer has ended."""
        said = self._read(items)
        body = b""
        if not said.is_empty:
            body = self._object(said, b"false" + _logprobs(said.chosen)) + b"\n"
        if said.ended is not None:
            body += self._object(_Heard(), self._ending(said.ended, [])) + b"\n"
        return body

    def whole(self, items: Sequence[Event]) -> bytes:
        """Return the answer as one object."""
        said = self._read(items)
        if said.ended is None:
            raise ValueError("an answer without an end")
        return self._object(said, self._ending(said.ended, said.chosen))

    def headers(self) -> Mapping[str, str]:
        """Return headers that say what was cut and what was ignored, if anything."""
        return note_headers(self._cut, self._form.ignored)

    def error_line(self, error: PunaError) -> bytes:
        """Return the line that ends an answer which failed on the way."""
        return error_json(error) + b"\n"

    def _read(self, items: Sequence[Event]) -> "_Heard":
        heard = _Heard()
        for item in items:
            if isinstance(item, Begun):
                self._cut = item.prompt.cut
            elif isinstance(item, Ended):
                heard.ended = item
            elif isinstance(item, Called):
                heard.calls.append(item)
            else:
                piece = item.piece if isinstance(item, Thought) else item
                texts = heard.thoughts if isinstance(item, Thought) else heard.texts
                texts.append(piece.text)
                heard.chosen += piece.logprobs
                if self._form.tells_context:
                    self._tokens += piece.tokens
        return heard

    def _object(self, heard: "_Heard", rest: bytes) -> bytes:
        moment = rfc3339(self._form.now()).encode()
        said = as_json("".join(heard.texts))
        if heard.thoughts:
            said += b',"thinking":' + as_json("".join(heard.thoughts))
        if heard.calls:
            said += b',"tool_calls":[' + b",".join(map(_call, heard.calls)) + b"]"
        return b"".join((self._head, moment, self._before, said, self._after, rest, b"}"))

    def _ending(self, ended: Ended, chosen: list[ChosenToken]) -> bytes:
        """Write what stands only in the last object; the two endpoints order it differently."""
        reason = b'true,"done_reason":"%b"' % ended.finish.reason.value.encode()
        counters = _counters(ended)
        if self._form.shape is Shape.CHAT:
            return reason + _logprobs(chosen) + counters + self._said(ended)
        # Without the prompt's tokens, as with images, those of the answer lead nowhere.
        is_told = self._form.tells_context and ended.prompt_tokens
        context = [*ended.prompt_tokens, *self._tokens] if is_told else []
        tokens = b',"context":' + as_json(context) if context else b""
        return reason + tokens + counters + _logprobs(chosen) + self._said(ended)

    def _said(self, ended: Ended) -> bytes:
        """Write puna's own fields: everything that was not done as it was asked."""
        said = b"" if self._cut is None else b',"truncated":' + truncated(self._cut).to_json()
        if ended.finish.shifted:
            said += b',"shifted":true'
        if ignored := [*self._form.ignored, *ended.finish.ignored]:
            said += b',"ignored":' + as_json(ignored)
        return said


@dataclass(slots=True)
class _Heard:
    """What some items say."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    chosen: list[ChosenToken] = field(default_factory=list)
    ended: Ended | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show: neither text, nor calls, nor probabilities."""
        return not (self.calls or self.chosen or any(self.texts) or any(self.thoughts))


def _call(called: Called) -> bytes:
    """Write a call; its arguments are JSON already."""
    call = called.call
    arguments = call.arguments.encode(errors="replace")
    name = as_json(call.name)
    return b'{"id":%b,"function":{"index":%d,"name":%b,"arguments":%b}}' % (
        as_json(call.id),
        called.index,
        name,
        arguments,
    )


def as_json(value: object) -> bytes:
    """Write a value as JSON in UTF-8; half of a UTF-16 pair becomes a question mark."""
    return _encode(value).encode(errors="replace")


def _counters(ended: Ended) -> bytes:
    finish = ended.finish
    counters = {
        "total_duration": ended.total_span,
        "load_duration": ended.load_span,
        "prompt_eval_count": finish.prompt_tokens,
        "prompt_eval_duration": finish.prompt_span,
        "eval_count": finish.output_tokens,
        "eval_duration": finish.output_span,
    }
    return "".join(f',"{name}":{int(value)}' for name, value in counters.items() if value).encode()


def _logprobs(chosen: Sequence[ChosenToken]) -> bytes:
    if not chosen:
        return b""
    entries = (_logprob(each).to_json() for each in chosen)
    return b',"logprobs":[' + b",".join(entries) + b"]"


def _logprob(token: ChosenToken) -> Logprob:
    return Logprob(
        token=token.chosen.token,
        logprob=token.chosen.logprob,
        bytes=list(token.chosen.raw),
        top_logprobs=[_alternative(each) for each in token.alternatives],
    )


def _alternative(token: TokenProbability) -> TokenLogprob:
    return TokenLogprob(token=token.token, logprob=token.logprob, bytes=list(token.raw))

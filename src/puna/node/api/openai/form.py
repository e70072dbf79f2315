"""What every answer in OpenAI's dialect has around it, and what it counts. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from puna.errors import PunaError
from puna.node.answer import Begun, Called, Ended, Event, Thought
from puna.node.api.choices import Told
from puna.node.api.dialect import OPENAI
from puna.node.api.notes import Notes
from puna.node.api.ollama.lines import as_json
from puna.node.engine.request import ChosenToken, Piece, StopReason, TokenProbability
from puna.wire import openai as wire

FINGERPRINT = "fp_ollama"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How one answer is to be written."""

    id: str
    model: str
    """The name as the client wrote it."""
    created: int
    choices: int = 1
    each: int = 1
    """Answers to each prompt: those of one prompt count its tokens once."""
    includes_usage: bool = False
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring events of one kind in one answer, joined: text, thought, a call or the end."""

    text: str = ""
    thought: str = ""
    chosen: tuple[ChosenToken, ...] = ()
    call: Called | None = None
    ended: Ended | None = None


def runs_of(events: Iterable[Event]) -> Iterator[Run]:
    """Join the pieces that came together; each call stands alone."""
    for kind, group in groupby(events, type):
        if kind is Piece:
            pieces = [each for each in group if isinstance(each, Piece)]
            text = "".join(piece.text for piece in pieces)
            chosen = tuple(token for piece in pieces for token in piece.logprobs)
            if text or chosen:
                yield Run(text=text, chosen=chosen)
        elif kind is Thought:
            thought = "".join(each.piece.text for each in group if isinstance(each, Thought))
            yield from (Run(thought=thought),) if thought else ()
        else:
            for each in group:
                if isinstance(each, Called):
                    yield Run(call=each)
                if isinstance(each, Ended):
                    yield Run(ended=each)


def by_choice(items: Sequence[Told]) -> Iterator[tuple[int, list[Event]]]:
    """Yield the events of each answer together."""
    for number in dict.fromkeys(told.choice for told in items):
        yield number, [told.event for told in items if told.choice == number]


class Ledger:
    """Counts the tokens of all answers, and keeps the notes on each."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._ends: dict[int, Ended] = {}
        self._notes: dict[int, Notes] = {}
        self._called: set[int] = set()

    def take(self, items: Sequence[Told]) -> None:
        """Read what came."""
        for told in items:
            event = told.event
            if isinstance(event, Begun | Ended):
                self._notes[told.choice] = self.notes(told.choice).after(event)
            if isinstance(event, Called):
                self._called.add(told.choice)
            if isinstance(event, Ended):
                self._ends[told.choice] = event

    @property
    def is_complete(self) -> bool:
        """Whether every answer has ended."""
        return len(self._ends) == self._form.choices

    def notes(self, choice: int = 0) -> Notes:
        """Return the notes on one answer."""
        return self._notes.get(choice, Notes(self._form.ignored))

    def all_notes(self) -> Notes:
        """Return the notes on all answers as one: the first cut stands for all."""
        notes = [self.notes(n) for n in range(self._form.choices)]
        cuts = [each.cut for each in notes if each.cut is not None]
        ignored = dict.fromkeys(name for each in notes for name in each.ignored)
        return Notes(tuple(ignored), cuts[0] if cuts else None, any(each.shifted for each in notes))

    def finish_reason(self, choice: int) -> str:
        """Return why an answer ended, in OpenAI's words."""
        if choice in self._called:
            return "tool_calls"
        is_cut = self._ends[choice].finish.reason is StopReason.LENGTH
        return "length" if is_cut else "stop"

    def usage(self) -> wire.Usage:
        """Return the tokens of all answers."""
        prompts = [self._ends[n].finish for n in range(0, self._form.choices, self._form.each)]
        read = sum(finish.prompt_tokens for finish in prompts)
        cached = sum(finish.cached_tokens for finish in prompts)
        written = sum(ended.finish.output_tokens for ended in self._ends.values())
        return wire.Usage(
            prompt_tokens=read,
            completion_tokens=written,
            total_tokens=read + written,
            prompt_tokens_details=wire.CachedTokens(cached_tokens=cached) if cached else None,
        )

    def headers(self) -> Mapping[str, str]:
        """Return the headers that say what was not done as it was asked."""
        return self.all_notes().headers()


class ChoicesWriter(ABC):
    """Writes answers that go on side by side, one choice each: what both completions share."""

    def __init__(self, form: Form, kind: str) -> None:
        self._form = form
        self._head = head_of(form, kind)
        self._ledger = Ledger(form)

    @abstractmethod
    def _chunk(self, choice: int, run: Run) -> bytes:
        """Return the events for one run of one answer."""

    def lines(self, items: Sequence[Told]) -> bytes:
        """Return the events for what came; the last ones once every answer has ended."""
        self._ledger.take(items)
        body = b"".join(
            self._chunk(choice, run)
            for choice, events in by_choice(items)
            for run in runs_of(events)
        )
        if not body or not self._ledger.is_complete:
            return body
        if self._form.includes_usage:
            body += usage_event(self._head, self._ledger)
        return body + DONE

    def headers(self) -> Mapping[str, str]:
        """Return headers that say what was not done as it was asked."""
        return self._ledger.headers()

    def error_line(self, error: PunaError) -> bytes:
        """Return the event that ends an answer which failed on the way."""
        return OPENAI.last_words(error)


def event(head: bytes, rest: bytes) -> bytes:
    """Return one event of a stream: an object that begins with `head`."""
    return b"data: " + head + rest + b"}\n\n"


def head_of(form: Form, kind: str) -> bytes:
    """Return the constant beginning of every object of one answer."""
    fields = {
        "id": form.id,
        "object": kind,
        "created": form.created,
        "model": form.model,
        "system_fingerprint": FINGERPRINT,
    }
    return as_json(fields)[:-1]


def usage_event(head: bytes, ledger: Ledger) -> bytes:
    """Return the event that counts the tokens."""
    return event(head, b',"choices":[],"usage":' + ledger.usage().to_json())


def said_json(notes: Notes) -> bytes:
    """Return the field `puna` with what was not done as asked; nothing if all was."""
    said = notes.said().to_json()
    return b"" if said == b"{}" else b',"puna":' + said


def logprob(token: ChosenToken) -> wire.Logprob:
    """Return a generated token with its probability."""
    return wire.Logprob(
        token=token.chosen.token,
        logprob=token.chosen.logprob,
        bytes=list(token.chosen.raw),
        top_logprobs=[_alternative(each) for each in token.alternatives],
    )


def _alternative(token: TokenProbability) -> wire.TokenLogprob:
    return wire.TokenLogprob(token=token.token, logprob=token.logprob, bytes=list(token.raw))

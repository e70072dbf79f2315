"""What llama.cpp's `/completion` streams, and the pieces that it becomes. Pure.

Events are joined as they lie in the buffer, several at a time into one piece: a piece costs every
layer above, and the child's threads need the processor more.
"""

import json
from collections.abc import Sequence
from typing import NotRequired, TypedDict

from puna.errors import Failed, Invalid, PunaError
from puna.node.engine.request import ChosenToken, Finish, Piece, StopReason, TokenProbability
from puna.units import Span

_END_OF_EVENT = b"\n\n"
_DATA = b"data: "
_BAD_REQUESTS = range(400, 500)
_NEVER = -9999.0
"""Stands for the logarithm of 0, which JSON cannot write."""


class EngineFailed(Failed):
    """The engine is alive and could not do what was asked."""

    code = "engine_failed"


class _Probability(TypedDict):
    token: str
    bytes: list[int]
    logprob: float | None


class _Chosen(_Probability):
    top_logprobs: list[_Probability]


class _Timings(TypedDict):
    cache_n: int
    prompt_ms: float
    predicted_ms: float
    draft_n: NotRequired[int]
    draft_n_accepted: NotRequired[int]


class _Event(TypedDict, total=False):
    content: str
    tokens: list[int]
    completion_probabilities: list[_Chosen]
    stop: bool
    stop_type: str
    tokens_evaluated: int
    tokens_predicted: int
    truncated: bool
    timings: _Timings
    stopping_word: str
    error: object
    prompt_progress: object


class EventReader:
    """Turns the bytes of one completion into pieces and a `Finish`."""

    def __init__(self, *, context: int, alternatives: int) -> None:
        self._context = context
        self._alternatives = alternatives
        self._rest = b""
        self._held: list[_Event] = []
        self.is_finished = False

    def parts_of(self, block: bytes) -> Sequence[Piece | Finish]:
        """Return what a block of bytes completes. Raises the error that the engine streamed."""
        *raw_events, self._rest = (self._rest + block).split(_END_OF_EVENT)
        events = self._held
        events += [event for raw in raw_events if (event := _parsed(raw)) is not None]
        if not events:
            return ()
        last = events[-1]
        if "error" in last:
            raise error_of(last)
        self.is_finished = last["stop"]
        if self.is_finished:
            return self._end(events)
        # A token without text may be the end token; only the event after it will say so.
        self._held = [] if last["content"] else [events.pop()]
        return _if_any(self._piece(events))

    def _end(self, events: list[_Event]) -> Sequence[Piece | Finish]:
        end = events[-1]
        has_end_token = end["stop_type"] == "eos" and len(events) > 1 and not events[-2]["content"]
        if has_end_token:
            del events[-2]
        return (*_if_any(self._piece(events)), _finish(end, self._context))

    def _piece(self, events: Sequence[_Event]) -> Piece:
        return Piece(
            "".join(event["content"] for event in events),
            tuple(token for event in events for token in event["tokens"]),
            tuple(
                _chosen(each, self._alternatives)
                for event in events
                for each in event.get("completion_probabilities", ())
            ),
        )


def _parsed(raw: bytes) -> _Event | None:
    """Return an event, or None for a comment and for progress, which carries a made-up token."""
    if not raw.startswith(_DATA):
        return None
    event: _Event = json.loads(raw[len(_DATA) :])
    return None if "prompt_progress" in event else event


def _if_any(piece: Piece) -> tuple[Piece, ...]:
    return (piece,) if piece.text or piece.tokens else ()


def error_of(answer: object) -> PunaError:
    """Return the error that an answer of llama.cpp carries, as puna's."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return EngineFailed(f"the engine answered with nonsense: {str(answer)[:100]}")
    message = " ".join(str(error.get("message", "")).split()) or "no reason given"
    if error.get("code") in _BAD_REQUESTS:
        return Invalid(message)
    return EngineFailed(f"the engine: {message}")


def _chosen(each: _Chosen, alternatives: int) -> ChosenToken:
    likely = each["top_logprobs"][:alternatives]
    return ChosenToken(_probability(each), tuple(_probability(other) for other in likely))


def _probability(each: _Probability) -> TokenProbability:
    logprob = each["logprob"]
    return TokenProbability(
        each["token"], _NEVER if logprob is None else logprob, bytes(each["bytes"])
    )


def _finish(end: _Event, context: int) -> Finish:
    timings = end["timings"]
    used = end["tokens_evaluated"] + end["tokens_predicted"]
    return Finish(
        reason=StopReason.LENGTH if end["stop_type"] == "limit" else StopReason.STOP,
        prompt_tokens=end["tokens_evaluated"],
        output_tokens=end["tokens_predicted"],
        prompt_span=Span.of(ms=timings["prompt_ms"]),
        output_span=Span.of(ms=timings["predicted_ms"]),
        cached_tokens=timings["cache_n"],
        guessed_tokens=timings.get("draft_n", 0),
        accepted_tokens=timings.get("draft_n_accepted", 0),
        shifted=end["truncated"] and used > context,
        stop_word=end.get("stopping_word", ""),
    )

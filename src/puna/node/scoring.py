"""Which of some given answers fits each text best, and how sure that is, without generating."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from puna.node.engine.scores import ScoreQuestion
from puna.node.scheduler.scheduler import Scheduler
from puna.node.scheduler.state import Wanted
from puna.units import Span
from puna.world import World

_AT_ONCE = 255
"""Texts of one call to the engine, which other requests may come between."""


@dataclass(frozen=True, slots=True)
class ScoreAsk:
    """Texts and candidate answers, and the model to judge them."""

    wanted: Wanted
    question: ScoreQuestion
    keep_alive: Span | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One text: each candidate's probability among the candidates, and as the model has it."""

    probabilities: tuple[float, ...]
    """They add up to 1."""
    logprobs: tuple[float, ...]
    """The logarithm of the probability that exactly this follows, over all tokens."""
    best: int
    """The place of the likeliest candidate."""
    margin: float
    """By how much its probability exceeds the next one's; 1 where there is no other."""


@dataclass(frozen=True, slots=True)
class Scores:
    """All texts, in their order."""

    scores: tuple[Score, ...]
    tokens: int
    load_span: Span
    total_span: Span


async def score(scheduler: Scheduler, ask: ScoreAsk, world: World) -> Scores:
    """Score every text; without texts the model is only loaded. Raises `CannotBeScored`."""
    start = world.elapsed()
    async with scheduler.lease(ask.wanted, keep_alive=ask.keep_alive) as lease:
        load_span = Span(world.elapsed() - start)
        found: dict[int, Score] = {}
        tokens = 0
        for places in _together(ask.question.texts):
            some = tuple(ask.question.texts[place] for place in places)
            question = ScoreQuestion(ask.question.prefix, some, ask.question.candidates)
            scored = await lease.engine.score(question)
            tokens += scored.tokens
            found |= zip(places, map(judged, scored.logprobs), strict=True)
        ordered = tuple(found[place] for place in range(len(found)))
        return Scores(ordered, tokens, load_span, Span(world.elapsed() - start))


def _together(texts: Sequence[str]) -> Iterator[list[int]]:
    """Yield the places of texts that go in one call: those that begin alike go together."""
    places = sorted(range(len(texts)), key=texts.__getitem__)
    for start in range(0, len(places), _AT_ONCE):
        yield places[start : start + _AT_ONCE]


def judged(logprobs: Sequence[float]) -> Score:
    """Return what the logarithms of probabilities say of the candidates."""
    top = max(logprobs)
    shares = [math.exp(each - top) for each in logprobs]
    total = math.fsum(shares)
    probabilities = tuple(each / total for each in shares)
    ordered = sorted(probabilities, reverse=True)
    margin = ordered[0] - ordered[1] if len(ordered) > 1 else 1.0
    return Score(probabilities, tuple(logprobs), probabilities.index(ordered[0]), margin)

"""Documents by how well they fit a query, by a model that was made for it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from puna.node.embedding import InputTooLong, TextCut
from puna.node.engine.engine import Engine
from puna.node.scheduler.scheduler import Scheduler
from puna.node.scheduler.state import Wanted
from puna.units import Span
from puna.world import World

_AT_ONCE = 64
"""Documents of one call."""
_AROUND = 8
"""Tokens that stand around a query and a document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankAsk:
    """A query, and the documents that may fit it."""

    wanted: Wanted
    query: str
    documents: tuple[str, ...]
    keep_alive: Span | None = None
    truncate: bool = True
    is_probability: bool = False
    """Whether the model's own numbers are from 0 to 1 already."""


@dataclass(frozen=True, slots=True)
class Reranking:
    """How well each document fits, from 0 to 1, in the order of the documents."""

    scores: tuple[float, ...]
    tokens: int
    cuts: tuple[TextCut, ...]
    total_span: Span


async def rerank(scheduler: Scheduler, ask: RerankAsk, world: World) -> Reranking:
    """Tell how well each document fits the query. Raises `InputTooLong`."""
    start = world.elapsed()
    async with scheduler.lease(ask.wanted, keep_alive=ask.keep_alive) as lease:
        documents, cuts = await _fitted(lease.engine, ask)
        parts = [
            await lease.engine.rerank(ask.query, documents[place : place + _AT_ONCE])
            for place in range(0, len(documents), _AT_ONCE)
        ]
        return Reranking(
            tuple(_share(each, ask) for part in parts for each in part.scores),
            sum(part.tokens for part in parts),
            cuts,
            Span(world.elapsed() - start),
        )


def best(ranked: Reranking, count: int | None) -> tuple[int, ...]:
    """Return the places of the documents that fit best, best first."""
    order = sorted(range(len(ranked.scores)), key=lambda place: -ranked.scores[place])
    return tuple(order[:count])


def _share(score: float, ask: RerankAsk) -> float:
    """Return a score as a number from 0 to 1, as the services do that speak this format."""
    if ask.is_probability:
        return score
    return 1 / (1 + math.exp(-max(-700.0, min(score, 700.0))))


async def _fitted(engine: Engine, ask: RerankAsk) -> tuple[Sequence[str], tuple[TextCut, ...]]:
    """Return the documents, cut where query and document together would not fit."""
    limit = engine.facts.context - _AROUND
    longest = max((len(each.encode(errors="replace")) for each in ask.documents), default=0)
    if len(ask.query.encode(errors="replace")) + longest <= limit:
        return ask.documents, ()
    room = limit - len(await engine.tokenize(ask.query, add_special=False))
    documents, cuts = [], []
    for number, document in enumerate(ask.documents):
        tokens = await engine.tokenize(document, add_special=False)
        if len(tokens) <= room:
            documents.append(document)
            continue
        if not ask.truncate or room <= 0:
            raise InputTooLong(
                "the input length exceeds the context length",
                hint=f"query and document {number} must have at most {limit} tokens together",
            )
        kept = await engine.detokenize(tokens[:room])
        documents.append(kept)
        cuts.append(TextCut(number, len(tokens), room))
    return documents, tuple(cuts)

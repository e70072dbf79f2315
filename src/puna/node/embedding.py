"""Many texts as vectors, or documents in order: what is asked of a model that embeds.

Equal texts are computed once, and as many as possible go to the engine in one call. A text that is
longer than the context is cut only where the caller allows it, and then every cut is said.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from puna.errors import Invalid
from puna.node.engine.engine import Engine
from puna.node.engine.vectors import Input, Vector, shortened
from puna.node.scheduler.scheduler import Scheduler
from puna.node.scheduler.state import Wanted
from puna.units import Span
from puna.world import World

_AT_ONCE = 256
"""Texts of one call: enough to fill every step, few enough that others get their turn."""
_SPARE = 16
"""Tokens that a tokenizer may add to a text."""
_CHARS_A_TOKEN = 32
"""Much more than tokens have: of a longer text only so much is looked at."""


class InputTooLong(Invalid):
    """A text is longer than the context, and the caller wants it whole or not at all."""

    code = "input_too_long"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedAsk:
    """Texts that a client wants as vectors."""

    wanted: Wanted
    inputs: tuple[Input, ...]
    """Tokens are taken as they are, without those that the model wants around a text."""
    keep_alive: Span | None = None
    truncate: bool = True
    most_tokens: int | None = None
    """The most of a text that is embedded; None is the context."""
    dimensions: int = 0
    """How many numbers of each vector are wanted; 0 is all."""
    normalize: bool = True


@dataclass(frozen=True, slots=True)
class TextCut:
    """A text that did not fit, by its place among the texts."""

    index: int
    tokens: int
    kept_tokens: int
    is_estimate: bool = False
    """`tokens` is what was counted of a text that is much too long: there are more."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """The vectors, in the order of the texts, and what was cut."""

    vectors: tuple[Vector, ...]
    tokens: int
    cuts: tuple[TextCut, ...]
    load_span: Span
    total_span: Span


async def embed(scheduler: Scheduler, ask: EmbedAsk, world: World) -> Embedding:
    """Return a vector for each text; without texts the model is only loaded.

    Raises `InputTooLong`, and what a lease and the engine raise.
    """
    start = world.elapsed()
    async with scheduler.lease(ask.wanted, keep_alive=ask.keep_alive) as lease:
        load_span = Span(world.elapsed() - start)
        fitted = await _fitted(lease.engine, ask)
        vectors, tokens = await _vectors(lease.engine, fitted, ask)
        total = Span(world.elapsed() - start)
        cuts = tuple(each.cut for each in fitted if each.cut is not None)
        return Embedding(vectors, tokens, cuts, load_span, total)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A text as the engine gets it."""

    input: Input
    cut: TextCut | None = None


async def _fitted(engine: Engine, ask: EmbedAsk) -> list[_Fitted]:
    limit = engine.facts.context
    if ask.most_tokens is not None:
        limit = min(limit, ask.most_tokens)
    return [await _fit(engine, ask, number, limit) for number in range(len(ask.inputs))]


async def _fit(engine: Engine, ask: EmbedAsk, number: int, limit: int) -> _Fitted:
    given = ask.inputs[number]
    if isinstance(given, str) and len(given.encode(errors="replace")) + _SPARE <= limit:
        return _Fitted(given)  # no token is shorter than a byte
    looked_at = given[: limit * _CHARS_A_TOKEN]
    tokens = await tokens_of(engine, looked_at)
    if len(tokens) <= limit and len(looked_at) < len(given):
        looked_at, tokens = given, await tokens_of(engine, given)
    if len(tokens) <= limit:
        return _Fitted(tokens)
    if not ask.truncate:
        raise InputTooLong(
            "the input length exceeds the context length",
            hint=f"text {number} has more than {limit} tokens; shorten it, or let it be cut",
        )
    kept = await _cut(engine, given, tokens, limit)
    cut = TextCut(number, len(tokens), len(kept), is_estimate=len(looked_at) < len(given))
    return _Fitted(kept, cut)


async def tokens_of(engine: Engine, given: Input) -> tuple[int, ...]:
    """Return the tokens of a text with those around it; tokens are what they are."""
    if isinstance(given, str):
        return await engine.tokenize(given, add_special=True)
    return given


async def _cut(
    engine: Engine, given: Input, tokens: tuple[int, ...], limit: int
) -> tuple[int, ...]:
    """Return the beginning of a text, with the tokens that the model wants at the end."""
    if not isinstance(given, str):
        return tokens[:limit]
    around = await engine.tokenize("", add_special=True)
    at_start = 1 if around[:1] == tokens[:1] else 0
    end = around[at_start:]
    if limit <= len(around):
        raise InputTooLong("input after truncation exceeds maximum context length")
    return (*tokens[: limit - len(end)], *end)


async def _vectors(
    engine: Engine, fitted: Sequence[_Fitted], ask: EmbedAsk
) -> tuple[tuple[Vector, ...], int]:
    """Return the vectors of all texts and how many tokens they have; equal ones are made once."""
    found: dict[Input, Vector] = {}
    tokens = 0
    for some in batches(list(dict.fromkeys(each.input for each in fitted))):
        embedded = await engine.embed(some, normalize=ask.normalize)
        tokens += embedded.tokens
        shortest = (shortened(each, ask.dimensions) for each in embedded.vectors)
        found.update(zip(some, shortest, strict=True))
    tokens += await _repeated(engine, fitted)
    return tuple(found[each.input] for each in fitted), tokens


async def _repeated(engine: Engine, fitted: Sequence[_Fitted]) -> int:
    """Count the tokens of texts that are equal to one before."""
    seen: set[Input] = set()
    counts: dict[Input, int] = {}
    total = 0
    for each in fitted:
        if each.input in seen:
            if each.input not in counts:
                counts[each.input] = len(await tokens_of(engine, each.input))
            total += counts[each.input]
        seen.add(each.input)
    return total


def batches(inputs: Sequence[Input]) -> Iterator[Sequence[Input]]:
    """Cut a list into what goes to the engine in one call."""
    for start in range(0, len(inputs), _AT_ONCE):
        yield inputs[start : start + _AT_ONCE]

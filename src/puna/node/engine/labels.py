"""Which of some labels fits each of many texts: the seam of a batch, whatever computes it.

All prompts are the same words, then a text, then the same words again, and a label is read off as
what the model would say next if it could say nothing but a label. What all prompts begin with is
computed once, and nothing is generated. `open_scorer` decides what computes; the answers mean the
same on every path.
"""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from puna.errors import Invalid
from puna.hardware.processor import detect_processor
from puna.models.gguf import read_header
from puna.node.engine.engine import Engine
from puna.node.engine.process import llama_factory
from puna.node.engine.request import LoadSpec, Purpose
from puna.node.engine.scores import ScoreQuestion
from puna.node.engine.scoring import CannotBeScored
from puna.units import Size
from puna.world import World

_CONTEXT = 4096
_BATCH = 512
_AT_ONCE = 64


class NotLabels(Invalid):
    """The labels cannot be told apart, or there are too few."""

    code = "not_labels"


class ComputePath(StrEnum):
    """What computes the answers."""

    FLOAT = "float"
    """puna's own forward pass in 32-bit floats."""
    KERNELS = "kernels"
    """llama.cpp's kernels for the file's own types, asked through its C API."""
    SLOTS = "slots"
    """Requests to llama.cpp's server, one a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelQuestion:
    """The words around every text, and the labels as they would stand right after them."""

    prefix: str
    labels: tuple[str, ...]
    suffix: str = ""
    blank: str = ""
    """A text that says nothing; what the model thinks of the labels there is its bias."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which path computes, and why that one, in words for people."""

    path: ComputePath
    why: str


@dataclass(frozen=True, slots=True)
class LabelScores:
    """For each text the logarithm of each label's probability, the labels' adding up to 1."""

    rows: tuple[tuple[float, ...] | None, ...]
    """In the order of the texts; none where the text was refused."""
    tokens: int = 0
    """Tokens of all prompts, as if each were computed alone."""
    computed: int = 0
    """Tokens that were really computed."""
    refusals: Mapping[int, str] = field(default_factory=dict)
    """Why a text has no answer, by its place."""


class LabelScorer(Protocol):
    """A model that was loaded for one question. Raises `EngineDied` once it is gone."""

    @property
    def choice(self) -> Choice:
        """What computes, and why."""

    @property
    def baseline(self) -> tuple[float, ...]:
        """The labels' logarithms after the blank text."""

    async def score(self, texts: Sequence[str]) -> LabelScores:
        """Score many texts; equal ones are computed once. Calls may run side by side."""


@asynccontextmanager
async def open_scorer(
    weights: Path,
    question: LabelQuestion,
    world: World,
    *,
    threads: int | None = None,
    path: ComputePath | None = None,
) -> AsyncIterator[LabelScorer]:
    """Load a model to tell labels; it is gone at the end of the context.

    `path` is for who must have one and no other, such as a job that was begun on it. Raises
    `NotLabels`, `LoadFailed`, `BadGguf`, `CannotBeScored`.
    """
    check_labels(question)
    del path
    count = threads or detect_processor().best_threads
    header = read_header(weights)
    trained = header.integer(header.own_key("context_length")) or _CONTEXT
    context = min(_CONTEXT, trained)
    spec = LoadSpec(
        weights,
        context,
        slots=1,
        memory=Size(0),
        batch=min(_BATCH, context),
        purpose=Purpose.SCORE,
    )
    engine = await llama_factory(world, threads=count)(spec)
    try:
        yield await _Kernels.ready(engine, question)
    finally:
        await engine.stop()


def check_labels(question: LabelQuestion) -> None:
    """Raise `NotLabels` for fewer than two labels, an empty one, or one that is there twice."""
    labels = question.labels
    if len(labels) < 2:  # noqa: PLR2004 - with one there is nothing to choose
        raise NotLabels(f"at least two labels are needed, not {len(labels)}")
    if not all(each.strip() for each in labels):
        raise NotLabels("a label must not be empty")
    if len(set(labels)) < len(labels):
        twice = next(each for each in labels if labels.count(each) > 1)
        raise NotLabels(f'the label "{twice.strip()}" is there twice')


class _Kernels:
    """Labels by the engine that scores any answers."""

    def __init__(self, engine: Engine, question: LabelQuestion) -> None:
        self._engine = engine
        self._question = question
        self.choice = Choice(ComputePath.KERNELS, "it is the one that takes every model")
        self.baseline: tuple[float, ...] = ()

    @classmethod
    async def ready(cls, engine: Engine, question: LabelQuestion) -> "_Kernels":
        one = cls(engine, question)
        one.baseline = (await one._some([question.blank]))[0]
        return one

    async def score(self, texts: Sequence[str]) -> LabelScores:
        distinct = sorted(set(texts))
        found: dict[str, tuple[float, ...]] = {}
        refused: dict[str, str] = {}
        for start in range(0, len(distinct), _AT_ONCE):
            some = distinct[start : start + _AT_ONCE]
            try:
                found |= zip(some, await self._some(some), strict=True)
            except CannotBeScored:
                await self._each(some, found, refused)
        return LabelScores(
            tuple(found.get(text) for text in texts),
            refusals={n: refused[text] for n, text in enumerate(texts) if text in refused},
        )

    async def _each(
        self, texts: Sequence[str], found: dict[str, tuple[float, ...]], refused: dict[str, str]
    ) -> None:
        for text in texts:
            try:
                found[text] = (await self._some([text]))[0]
            except CannotBeScored as error:
                refused[text] = error.message

    async def _some(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        question = self._question
        after = tuple(text + question.suffix for text in texts)
        scored = await self._engine.score(ScoreQuestion(question.prefix, after, question.labels))
        return [shares(row) for row in scored.logprobs]


def shares(logprobs: Sequence[float]) -> tuple[float, ...]:
    """Return the logarithms moved so that the probabilities add up to 1."""
    top = max(logprobs)
    total = top + math.log(math.fsum(math.exp(each - top) for each in logprobs))
    return tuple(each - total for each in logprobs)

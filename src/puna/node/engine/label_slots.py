"""Labels by requests to llama.cpp's server, one a text: slower, and it needs no layouts of C.

Every token but those that a label can go on with is made impossible, and the server says how likely
each of the rest is. Behind a beginning that several labels share it is asked again.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from puna.node.engine.label_question import Choice, ComputePath, LabelQuestion, LabelScores
from puna.node.engine.label_words import LabelWords
from puna.node.engine.row_tree import Tokens

_LEAST = 1e-38
_BORDER = 24
SLOTS = 2
"""Each slot holds the prefix once more; more of them gain nothing on processors."""


class Chooser(Protocol):
    """An engine that tells how likely each of some tokens is next."""

    async def tokenize(self, text: str, *, add_special: bool) -> Tokens:
        """Return the token ids of `text`."""

    async def choose(self, prompt: Tokens, among: Sequence[int]) -> dict[int, float]:
        """Return the probabilities of some tokens behind a prompt, adding up to 1."""

    async def stop(self) -> None:
        """End it. Calling it again does nothing."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What of a model's tokens labels need to know."""

    context: int
    ends: Tokens
    """Tokens by which an answer is over."""


class SlotScorer:
    """One question put to a server's slots. Satisfies `LabelScorer`."""

    def __init__(
        self, engine: Chooser, question: LabelQuestion, words: LabelWords, context: int
    ) -> None:
        self._engine = engine
        self._question = question
        self._words = words
        self._context = context
        self._slots = asyncio.Semaphore(SLOTS)
        self.choice = Choice(ComputePath.SLOTS, "")
        self.baseline: tuple[float, ...] = ()

    @classmethod
    async def begin(cls, engine: Chooser, question: LabelQuestion, vocabulary: Vocabulary) -> Self:
        """Find the labels' tokens, and what the model thinks of them by itself."""
        border = (question.prefix + question.blank + question.suffix)[-_BORDER:]
        labels = [await _tokens_after(engine, border, label) for label in question.labels]
        words = LabelWords(labels, lambda: vocabulary.ends)
        scorer = cls(engine, question, words, vocabulary.context)
        scorer.baseline = (await scorer.score([question.blank])).rows[0] or ()
        return scorer

    async def score(self, texts: Sequence[str]) -> LabelScores:
        """Score many texts, a request or more for each; equal ones are computed once."""
        distinct = sorted(set(texts))
        found = await asyncio.gather(*(self._row(text) for text in distinct))
        answers = dict(zip(distinct, found, strict=True))
        rows = [answers[text][0] for text in texts]
        refused = {place for place, row in enumerate(rows) if isinstance(row, str)}
        return LabelScores(
            tuple(None if isinstance(row, str) else row for row in rows),
            sum(answers[text][1] for text in texts),
            sum(tokens for _, tokens in found),
            {place: str(rows[place]) for place in refused},
        )

    async def _row(self, text: str) -> tuple[tuple[float, ...] | str, int]:
        """Return a text's logarithms, or why it is refused, and its tokens."""
        question = self._question
        async with self._slots:
            whole = question.prefix + text + question.suffix
            prompt = await self._engine.tokenize(whole, add_special=True)
            count = len(prompt) + max(map(len, self._words.beginnings))
            if count >= self._context:
                return f"it has {count} tokens with its prompt, {self._context} have room", 0
            shares, wanted = self._words.unknown(1), self._words.first(1)
            seen = np.zeros_like(wanted)
            while wanted.any():
                for fork in np.flatnonzero(wanted[0]).tolist():
                    self._words.learn(shares, fork, [0], await self._logits(prompt, fork))
                seen |= wanted
                wanted = self._words.next(shares, seen)
        return tuple(self._words.logprobs(shares)[0].tolist()), len(prompt)

    async def _logits(self, prompt: Tokens, fork: int) -> NDArray[np.float64]:
        """Return one row of logarithms; only the columns that count at a fork are filled."""
        columns = self._words.columns_at(fork)
        among = [self._words.columns[column] for column in columns]
        chances = await self._engine.choose(prompt + self._words.beginnings[fork], among)
        logits = np.zeros((1, len(self._words.columns)))
        for column, token in zip(columns, among, strict=True):
            logits[0, column] = math.log(max(chances.get(token, 0.0), _LEAST))
        return logits

    async def stop(self) -> None:
        """End the server. Calling it again does nothing."""
        await self._engine.stop()


async def _tokens_after(engine: Chooser, border: str, label: str) -> Tokens:
    before = await engine.tokenize(border, add_special=False)
    whole = await engine.tokenize(border + label, add_special=False)
    if whole[: len(before)] == before:
        return whole[len(before) :]
    return await engine.tokenize(label, add_special=False)

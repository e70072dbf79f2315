"""An engine that tells how likely given answers are, and does nothing else.

It is a load of its own, since llama.cpp's server cannot be asked for this: the child computes all
texts of a step in one go, over one copy of what they begin with (`scorer`).
"""

from collections.abc import AsyncGenerator, Sequence
from typing import NoReturn, cast

from puna.chat.images import Image
from puna.chat.messages import NO_TOOLS, Message, Think, ToolUse
from puna.errors import Invalid
from puna.node.engine.child import Child
from puna.node.engine.engine import EngineDied
from puna.node.engine.request import Completion, EngineFacts, Finish, Piece
from puna.node.engine.scores import NotLoadedFor, Scored, ScoreQuestion
from puna.node.engine.vectors import Embedded, Input, Ranked


class CannotBeScored(Invalid):
    """The texts and candidates do not go together with this model; the message says why."""

    code = "cannot_be_scored"


class ScoringEngine:
    """One model in one child, loaded to score. Satisfies `Engine`."""

    def __init__(self, child: Child, facts: EngineFacts) -> None:
        self._child = child
        self._facts = facts

    @property
    def facts(self) -> EngineFacts:
        """What was loaded."""
        return self._facts

    @property
    def pid(self) -> int:
        """The number of the child process."""
        return self._child.pid

    async def score(self, question: ScoreQuestion) -> Scored:
        """Return how likely each candidate is after each text. Raises `CannotBeScored`."""
        if self._child.has_ended:
            raise EngineDied(self._child.epitaph)
        answer = await self._child.ask(
            {
                "prefix": question.prefix,
                "texts": question.texts,
                "candidates": question.candidates,
            }
        )
        if not answer:
            raise EngineDied((await self.died()).message)
        if "refusal" in answer:
            raise CannotBeScored(str(answer["refusal"]))
        rows = cast("list[list[float]]", answer["logprobs"])
        return Scored(tuple(tuple(row) for row in rows), cast("int", answer["tokens"]))

    async def stop(self) -> None:
        """End the process and release its memory. Calling it again does nothing."""
        await self._child.stop()

    async def died(self) -> EngineDied:
        """Return when the process has ended, with the reason."""
        await self._child.ended()
        return EngineDied(self._child.epitaph)

    async def render(
        self, messages: Sequence[Message], *, tools: ToolUse = NO_TOOLS, think: Think | None = None
    ) -> str:
        """Refuse."""
        del messages, tools, think
        _refuse("answer")

    async def tokenize(self, text: str, *, add_special: bool) -> tuple[int, ...]:
        """Refuse."""
        del text, add_special
        _refuse("tokenize")

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """Refuse."""
        del tokens
        _refuse("detokenize")

    async def image_tokens(self, image: Image) -> int:
        """Refuse."""
        del image
        _refuse("see")

    def complete(self, completion: Completion) -> AsyncGenerator[Piece | Finish, None]:
        """Refuse."""
        del completion
        _refuse("answer")

    async def embed(self, inputs: Sequence[Input], *, normalize: bool = True) -> Embedded:
        """Refuse."""
        del inputs, normalize
        _refuse("embed")

    async def rerank(self, query: str, documents: Sequence[str]) -> Ranked:
        """Refuse."""
        del query, documents
        _refuse("rerank")


def _refuse(work: str) -> NoReturn:
    raise NotLoadedFor(work)

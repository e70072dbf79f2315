"""The protocol of every engine: llama.cpp in a child process, and the scripted one."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Protocol

from puna.chat.images import Image
from puna.chat.messages import NO_TOOLS, Message, Think, ToolUse
from puna.errors import Failed
from puna.node.engine.request import Completion, EngineFacts, Finish, LoadSpec, Piece
from puna.node.engine.scores import Scored, ScoreQuestion
from puna.node.engine.vectors import Embedded, Input, Ranked


class LoadFailed(Failed):
    """The model could not be loaded; the message carries the engine's last words."""

    code = "load_failed"


class EngineDied(Failed):
    """The engine's process ended while it was needed; the message carries its last words."""

    code = "engine_died"


class Engine(Protocol):
    """One loaded model. Every method raises `EngineDied` once the process has ended."""

    @property
    def facts(self) -> EngineFacts:
        """What was loaded; constant for the engine's life."""

    async def render(
        self, messages: Sequence[Message], *, tools: ToolUse = NO_TOOLS, think: Think | None = None
    ) -> str:
        """Return the prompt by the model's own template, ending where the assistant speaks."""

    async def tokenize(self, text: str, *, add_special: bool) -> tuple[int, ...]:
        """Return the token ids of `text`; special tokens written in it count as such."""

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids. Raises `Invalid` for an id outside the vocabulary."""

    async def image_tokens(self, image: Image) -> int:
        """Return how many tokens an image takes. Raises `Invalid` if it cannot be decoded."""

    def complete(self, completion: Completion) -> AsyncGenerator[Piece | Finish, None]:
        """Generate. Yields pieces, then exactly one `Finish`.

        Closing the iterator stops the computation.
        """

    async def embed(self, inputs: Sequence[Input], *, normalize: bool = True) -> Embedded:
        """Return a vector for each text, many in one call; of length 1 if `normalize`.

        Only of an engine that was loaded to embed. The caller has made sure that each fits.
        """

    async def rerank(self, query: str, documents: Sequence[str]) -> Ranked:
        """Tell how well each document fits the query. Raises `Invalid` if it is no reranker."""

    async def score(self, question: ScoreQuestion) -> Scored:
        """Return how likely each candidate is after each text; generates nothing.

        Only of an engine that was loaded to score, which does nothing else.
        """

    async def stop(self) -> None:
        """End the process and release its memory. Calling it again does nothing."""

    async def died(self) -> EngineDied:
        """Return when the process has ended, for whatever reason, with the reason."""


EngineFactory = Callable[[LoadSpec], Awaitable[Engine]]
"""Loads a model and returns when it is ready. Raises `LoadFailed`. Cancelling it ends the process.
"""

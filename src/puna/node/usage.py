"""What one request took: told by the node while it answers, read by whoever counts.

The request's own note travels with its task, so no verb of the node needs to know who asks.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass

from puna.node.answer import Begun, Ended, Event, Thought
from puna.node.engine.request import Piece
from puna.node.prompt import Prompt
from puna.units import Span
from puna.world import World


@dataclass(slots=True)
class Usage:
    """The note of one request, written while it is answered."""

    key: str = ""
    model: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    first_token: Span | None = None
    output_span: Span | None = None
    cuts: int = 0


_CHARS_A_TOKEN = 4
NOTE: ContextVar[Usage | None] = ContextVar("puna.usage", default=None)


async def noted(
    events: AsyncGenerator[Event, None], label: str, world: World
) -> AsyncGenerator[Event, None]:
    """Yield the events of an answer, and write on the request's note what they tell.

    Tokens count as they come, so an answer that nobody waits for any more has its price too.
    """
    note = NOTE.get()
    async with aclosing(events):
        if note is None:
            async for event in events:
                yield event
            return
        start = world.elapsed()
        note.model = label
        read = written = 0
        async for event in events:
            if isinstance(event, Begun):
                note.cuts += event.prompt.cut is not None
                read = _tokens_of(event.prompt)
                note.prompt_tokens += read
            elif isinstance(event, Ended):
                note.prompt_tokens += event.finish.prompt_tokens - read
                note.output_tokens += event.finish.output_tokens - written
                note.output_span = event.finish.output_span
            else:
                if note.first_token is None:
                    note.first_token = Span(world.elapsed() - start)
                new = _new_tokens(event)
                written += new
                note.output_tokens += new
            yield event


def note_reading(tokens: int) -> None:
    """Write tokens that were read, and not answered, on the request's note."""
    if note := NOTE.get():
        note.prompt_tokens += tokens


def _tokens_of(prompt: Prompt) -> int:
    """Return the tokens of a prompt: of a short text that nobody counted, about as many."""
    return len(prompt.text) // _CHARS_A_TOKEN if prompt.counted is None else prompt.counted


def _new_tokens(event: Event) -> int:
    if isinstance(event, Piece):
        return len(event.tokens)
    return len(event.piece.tokens) if isinstance(event, Thought) else 0

"""What one request took: told by the node while it answers, read by whoever counts.

The request's own note travels with its task, so no verb of the node needs to know who asks.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass

from puna.node.answer import Begun, Ended, Event
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


NOTE: ContextVar[Usage | None] = ContextVar("puna.usage", default=None)


async def noted(
    events: AsyncGenerator[Event, None], label: str, world: World
) -> AsyncGenerator[Event, None]:
    """Yield the events of an answer, and write on the request's note what they tell."""
    note = NOTE.get()
    async with aclosing(events):
        if note is None:
            async for event in events:
                yield event
            return
        start = world.elapsed()
        note.model = label
        async for event in events:
            if isinstance(event, Begun):
                note.cuts += event.prompt.cut is not None
            elif isinstance(event, Ended):
                note.prompt_tokens += event.finish.prompt_tokens
                note.output_tokens += event.finish.output_tokens
                note.output_span = event.finish.output_span
            elif note.first_token is None:
                note.first_token = Span(world.elapsed() - start)
            yield event

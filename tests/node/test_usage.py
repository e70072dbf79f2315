"""What a request is noted to have taken, be it answered, dropped or only read."""

from collections.abc import AsyncGenerator

import pytest

from puna.node.answer import Begun, Ended, Event, Thought
from puna.node.engine.request import Finish, Piece, StopReason
from puna.node.prompt import Prompt
from puna.node.usage import NOTE, Usage, note_reading, noted
from puna.units import Span
from tests.worlds import FakeWorld

ENDED = Ended(Finish(StopReason.STOP, 12, 7, Span(0), Span(5)), Span(0), Span(0))


async def an_answer(prompt: Prompt) -> AsyncGenerator[Event, None]:
    yield Begun(prompt, Span(0))
    yield Thought(Piece("hm", (1, 2)))
    yield Piece("yes", (3,))
    yield ENDED


async def read(prompt: Prompt, *, most: int) -> Usage:
    """Return the note of an answer of which only the first events are waited for."""
    written = Usage()
    NOTE.set(written)
    events = noted(an_answer(prompt), "model", FakeWorld())
    for _ in range(most):
        await anext(events)
    await events.aclose()
    return written


@pytest.mark.parametrize(
    ("most", "taken"),
    [(1, (10, 0)), (2, (10, 2)), (3, (10, 3)), (4, (12, 7))],
    ids=["prompt", "thought", "piece", "end"],
)
async def test_an_answer_costs_what_was_computed_when_it_is_dropped(
    most: int, taken: tuple[int, int]
) -> None:
    found = await read(Prompt(tuple(range(10)), ""), most=most)
    assert (found.prompt_tokens, found.output_tokens) == taken


async def test_a_prompt_that_nobody_counted_is_estimated_until_the_end() -> None:
    assert (await read(Prompt(None, "x" * 80), most=1)).prompt_tokens == 20
    assert (await read(Prompt(None, "x" * 80), most=4)).prompt_tokens == 12


async def test_what_is_only_read_counts_as_prompt() -> None:
    note = Usage()
    NOTE.set(note)
    note_reading(5)
    assert note.prompt_tokens == 5


async def test_nothing_is_noted_where_nobody_counts() -> None:
    NOTE.set(None)
    note_reading(5)
    events = [each async for each in noted(an_answer(Prompt((1,), "")), "model", FakeWorld())]
    assert events[-1] is ENDED

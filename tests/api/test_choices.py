"""Several answers together: every event comes, numbered; one failure or one close ends all."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from puna.errors import Failed
from puna.node.answer import Event
from puna.node.api.choices import together
from puna.node.engine.request import Piece


class Answer:
    """An answer of so many pieces that knows whether it was closed."""

    def __init__(self, *texts: str, error: Exception | None = None, waits: bool = False) -> None:
        self._texts = texts
        self._error = error
        self._waits = waits
        self.is_over = False

    async def events(self) -> AsyncGenerator[Event, None]:
        try:
            for text in self._texts:
                yield Piece(text)
                await asyncio.sleep(0)
            if self._error:
                raise self._error
            if self._waits:
                await asyncio.Event().wait()
        finally:
            self.is_over = True


async def heard(*answers: Answer) -> list[tuple[int, str]]:
    told = together([each.events() for each in answers])
    return [(each.choice, each.event.text) async for each in told if isinstance(each.event, Piece)]


async def test_one_answer_comes_as_it_is() -> None:
    assert await heard(Answer("a", "b")) == [(0, "a"), (0, "b")]


async def test_all_answers_come_whole_and_in_their_own_order() -> None:
    told = await heard(Answer("a", "b"), Answer("c"), Answer("d", "e", "f"))
    assert [text for number, text in told if number == 2] == ["d", "e", "f"]
    assert sorted(told) == [(0, "a"), (0, "b"), (1, "c"), (2, "d"), (2, "e"), (2, "f")]


@pytest.mark.parametrize("others", [0, 1, 3])
async def test_a_failure_ends_all(others: int) -> None:
    waiting = [Answer("x", waits=True) for _ in range(others)]
    with pytest.raises(Failed, match="broken"):
        await heard(*waiting, Answer("a", error=Failed("broken")))
    assert all(each.is_over for each in waiting)


async def test_closing_ends_all() -> None:
    answers = [Answer("a", waits=True), Answer("b", waits=True)]
    async with aclosing(together([each.events() for each in answers])) as told:
        await anext(told)
        await anext(told)
    assert all(each.is_over for each in answers)

"""Several answers computed together, their events told as they come, each with its number."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from puna.node.answer import Event


@dataclass(frozen=True, slots=True)
class Told:
    """An event of one answer of several."""

    choice: int
    event: Event


async def together(answers: Sequence[AsyncGenerator[Event, None]]) -> AsyncGenerator[Told, None]:
    """Yield the events of all answers. If one fails, or the iterator is closed, all end."""
    if len(answers) == 1:
        async with aclosing(answers[0]) as events:
            async for event in events:
                yield Told(0, event)
        return
    said: asyncio.Queue[Told | None] = asyncio.Queue()
    tasks = [asyncio.create_task(_pour(n, answer, said)) for n, answer in enumerate(answers)]
    try:
        running = len(tasks)
        while running:
            told = await said.get()
            if told is not None:
                yield told
                continue
            running -= 1
            _raise_first(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _pour(
    number: int, answer: AsyncGenerator[Event, None], said: asyncio.Queue[Told | None]
) -> None:
    try:
        async with aclosing(answer) as events:
            async for event in events:
                said.put_nowait(Told(number, event))
    finally:
        asyncio.get_running_loop().call_soon(said.put_nowait, None)  # when the task is done


def _raise_first(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error

"""Prompts that the child's chat template writes, with an end to those that have none.

A template comes with the model, from whoever made that, and can go round in circles until the
memory is full. llama.cpp sets it no limit and does not notice that nobody listens any more, so a
template that takes too long ends the child: the one way to stop it. That holds when the client has
left, too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from puna.errors import Invalid
from puna.node.engine.events import EngineFailed

Ask = Callable[[], Awaitable[Mapping[str, object]]]
PATIENCE_S = 20.0
"""A long conversation takes a second; a template that fills memory fills gigabytes in this time."""


class TemplateRefused(Invalid):
    """The model's chat template does not take this conversation; the message is the template's."""

    code = "template_refused"


class Renderings:
    """The prompts that are being written; `stop` ends the child that writes them."""

    def __init__(
        self, stop: Callable[[], Awaitable[None]], *, patience_s: float = PATIENCE_S
    ) -> None:
        self._stop = stop
        self._patience_s = patience_s
        self._under_way: set[asyncio.Task[str]] = set()

    async def prompt(self, ask: Ask) -> str:
        """Return the prompt that the child answers with. Raises `TemplateRefused`, as asking does.

        A caller that is cancelled leaves at once; the watch over the template goes on.
        """
        task = asyncio.create_task(self._within_patience(ask), name="a chat template")
        self._under_way.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up what is being written."""
        tasks = set(self._under_way) - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _within_patience(self, ask: Ask) -> str:
        try:
            async with asyncio.timeout(self._patience_s):
                return str((await ask())["prompt"])
        except TimeoutError as error:
            await self._stop()
            raise TemplateRefused(
                f"the model's chat template took more than {self._patience_s:.0f} seconds and was"
                " stopped, and the model with it",
                hint="use another file of this model, or a TEMPLATE of your own",
            ) from error
        except EngineFailed as error:
            raise TemplateRefused(error.message) from error

    def _over(self, task: asyncio.Task[str]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may have left

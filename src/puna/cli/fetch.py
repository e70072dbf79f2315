"""Fetch a model without a server: the library's asynchronous work, one event at a time."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from puna.library.library import Library
from puna.models.reference import parse_reference
from puna.progress import Progress


def fetch(library: Library, model: str) -> Iterator[Progress]:
    """Yield how far the fetching is. Closing the iterator undoes what is half done."""
    events = library.pull(parse_reference(model, cwd=Path.cwd()))
    with asyncio.Runner() as runner:
        try:
            while (event := runner.run(_next(events))) is not None:
                yield event
        finally:
            runner.run(events.aclose())


async def _next(events: AsyncGenerator[Progress]) -> Progress | None:
    return await anext(events, None)

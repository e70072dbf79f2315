"""Fetch or send a model without a server: the library's asynchronous work, one event at a time."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from puna.library.library import Library
from puna.models.name import ModelName
from puna.models.reference import parse_reference
from puna.progress import Progress


def fetch(library: Library, model: str, *, insecure: bool = False) -> Iterator[Progress]:
    """Yield how far the fetching is. Closing the iterator stops it."""
    reference = parse_reference(model, cwd=Path.cwd())
    return _run(library.pull(reference, insecure=insecure))


def send(library: Library, model: str, *, insecure: bool = False) -> Iterator[Progress]:
    """Yield how far the sending is. Closing the iterator stops it."""
    return _run(library.push(ModelName.parse(model), insecure=insecure))


def _run(events: AsyncGenerator[Progress]) -> Iterator[Progress]:
    with asyncio.Runner() as runner:
        try:
            while (event := runner.run(_next(events))) is not None:
                yield event
        finally:
            runner.run(events.aclose())


async def _next(events: AsyncGenerator[Progress]) -> Progress | None:
    return await anext(events, None)

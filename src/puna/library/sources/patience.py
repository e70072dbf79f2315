"""How long to wait before asking a registry again: as long as it says, within reason.

A registry that is busy (429, 503) may say when to come back. That is done, so that it does not
refuse for longer; but nobody is kept waiting for more than two minutes: beyond that the person is
told when.
"""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TypeVar

from puna.errors import Unavailable
from puna.library.sources.registry import RegistryBusy
from puna.units import Span
from puna.world import World

_TRIES = 3
_MOST = Span.of(seconds=120)
_T = TypeVar("_T")


def pause_before(attempt: int, error: Unavailable, world: World) -> Span:
    """Return how long to wait after an error: 1, 2, 4, 8, 16 s, or as long as the registry says.

    `attempt` counts from 1. Raises the error if the registry wants us to wait for too long.
    """
    own = Span.of(seconds=2 ** (attempt - 1)) if attempt else Span(0)
    asked = _asked_for(error, world)
    if asked > _MOST:
        error.hint = f"it asks to come back in {asked}"
        raise error
    return max(own, asked)


def _asked_for(error: Unavailable, world: World) -> Span:
    text = error.retry_after.strip() if isinstance(error, RegistryBusy) else ""
    if re.fullmatch(r"\d{1,9}", text):
        return Span.of(seconds=int(text))
    with suppress(ValueError, TypeError):
        return Span.of(seconds=(parsedate_to_datetime(text) - world.now()).total_seconds())
    return Span(0)


async def ask_patiently(world: World, ask: Callable[[], Awaitable[_T]]) -> _T:
    """Return what asking brings; ask again while the registry is busy. Raises what asking does."""
    attempt = 1
    while True:
        try:
            return await ask()
        except RegistryBusy as error:
            if attempt == _TRIES:
                raise
            await world.wait(pause_before(attempt, error, world))
            attempt += 1

"""The last lines of a container that has ended: told to the market before the container goes.

A market that does not answer keeps no container alive: the lines are lost then, and that is said.
"""

import logging
from collections.abc import Awaitable, Callable

from puna.agent.engine import Engine
from puna.agent.link import MarketLink
from puna.errors import PunaError
from puna.wire.tunnel import MOST_KEPT, Ended, LogLine, Taken

_LOG = logging.getLogger("puna.agent")
_LONGEST_LINE = 4000
_MOST_CHARACTERS = 700_000
"""Of all lines together: a market takes requests of a megabyte."""
_PATIENCE_S = 10.0

Farewell = Callable[[str], Awaitable[None]]
"""Is told of a container before it is removed."""


def farewell(engine: Engine, link: MarketLink) -> Farewell:
    """Return what sends a container's last lines to the market."""

    async def send(container: str) -> None:
        try:
            ours = [each.container for each in await engine.containers()]
            for each in ours:
                if each.id == container:
                    lines = await last_lines(engine, container)
                    told = Ended(pod=each.pod, run=each.run, crashes=each.crashes, lines=lines)
                    await link.ask("/log", told, Taken, patience_s=_PATIENCE_S)
        except PunaError as error:
            text = "the last lines of container %s are lost: %s"
            _LOG.warning(text, container[:12], error.message)

    return send


async def last_lines(engine: Engine, container: str) -> list[LogLine]:
    """Return what a container wrote last, as much as the market keeps."""
    found = [
        LogLine(at=each.at, text=each.text[:_LONGEST_LINE])
        async for each in engine.logs(container, tail=MOST_KEPT)
    ][-MOST_KEPT:]
    room = _MOST_CHARACTERS
    kept: list[LogLine] = []
    for line in reversed(found):
        room -= len(line.text.encode()) + len(line.at) + 24
        if room < 0:
            break
        kept.append(line)
    return kept[::-1]

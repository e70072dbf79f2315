"""Removes images that no pod needs any more, when they take more of the disk than their owner says.

Only images that this agent fetched for renters, and that were not there before: the owner's own are
never touched. The one that nobody has needed for the longest goes first. The engine refuses to
remove one that a container has; one that is wanted again is fetched again.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from puna.agent.engine import Engine
from puna.agent.keeper import Keeper
from puna.agent.problems import AlreadyThere, EngineRefused, NotOnEngine
from puna.units import Size, Span
from puna.world import World

_LOG = logging.getLogger("puna.agent")
SWEEP = Span.of(minutes=1)
"""How often it is looked at."""


@dataclass(frozen=True, slots=True)
class Idle:
    """An image that no pod needs. Two names of one image have one id."""

    name: str
    id: str
    size: Size
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """What images that no pod needs take, for `puna agent status`."""

    count: int = 0
    size: Size = Size(0)  # noqa: RUF009 - an integer
    removed: int = 0
    """How many were removed since the agent began."""


def too_many(idle: Sequence[Idle], limit: Size) -> Sequence[Idle]:
    """Return those that must go so that the rest takes no more than the limit. Pure."""
    going: list[Idle] = []
    left = sorted(idle, key=lambda each: (each.since, each.name))
    while left and taken_by(left) > limit:
        going.append(left.pop(0))
    return going


def taken_by(idle: Sequence[Idle]) -> Size:
    """Return what images take together; layers that they share are counted for each."""
    return Size(sum({each.id: each.size for each in idle}.values()))


class ImageWatch:
    """Looks after the images that were fetched for renters."""

    def __init__(self, world: World, engine: Engine, keeper: Keeper, limit: Size) -> None:
        self._world = world
        self._engine = engine
        self._keeper = keeper
        self._limit = limit
        self.unused = Unused()

    async def look(self) -> None:
        """Look once, and remove what is too much. Raises `EngineGone`."""
        needed = self._keeper.needed_images
        if needed is None:  # the market has not said yet who is here
            return
        fetched, now = self._keeper.fetched, self._world.now()
        since = {name: None if name in needed else at or now for name, at in fetched.items()}
        self._keeper.fetched = since
        idle = await self._measured(since)
        going = too_many(idle, self._limit)
        gone = [each for each in going if await self._remove(each)]
        left = [each for each in idle if each not in gone]
        removed = self.unused.removed + len(gone)
        self.unused = Unused(count=len(left), size=taken_by(left), removed=removed)

    async def _measured(self, since: Mapping[str, datetime | None]) -> Sequence[Idle]:
        found = []
        for name, at in since.items():
            if at is None:
                continue
            try:
                image, size = await self._engine.image(name)
            except NotOnEngine:  # somebody else removed it
                self._keeper.lose_image(name)
            else:
                found.append(Idle(name, image, size, at))
        return found

    async def _remove(self, image: Idle) -> bool:
        needed = self._keeper.needed_images
        if needed is None or image.name in needed:  # wanted again since
            return False
        try:
            await self._engine.remove_image(image.name)
        except NotOnEngine:
            pass
        except (AlreadyThere, EngineRefused) as error:
            _LOG.info("the image %s stays: %s", image.name, error.message)
            return False
        self._keeper.lose_image(image.name)
        _LOG.info("removed the image %s, which no pod needs since %s", image.name, image.since)
        return True

"""Does each step on the engine: every one may be done again, and done by an agent that was killed.

A step returns the line that the pod's renter reads of it.
"""

import socket
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from datetime import timedelta

from puna.agent.containers import House, Name, Place, create_body
from puna.agent.converge import Create, Remove, RemoveVolume, Start, Step, Stop
from puna.agent.deadman import MarketClock
from puna.agent.engine import Engine
from puna.agent.lent import Lot
from puna.agent.notices import give_notice
from puna.agent.orders import Told
from puna.agent.problems import AlreadyThere, EngineGone, EngineRefused, NoRoom
from puna.agent.progress import Folded
from puna.agent.registries import check_registry
from puna.agent.shown import Login
from puna.agent.volumes import Volumes
from puna.errors import PunaError
from puna.units import Span

_SAY_EVERY = Span.of(seconds=5)
_MOUNTED = "already mounted"
"""What Podman says of a volume that it has mounted and forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """What of this machine is lent."""

    house: House
    cards: Sequence[str] = ()
    """CDI names of the cards that are offered."""
    ports: range = range(0)
    """Ports of this machine that may lead to pods from everywhere."""
    lent: Lot | None = None
    """What pods may take in all; None where nobody said."""
    has_registries: bool = False
    """Whether images may come from registries on its owner's networks."""


class Hands:
    """Changes what is on this machine; knows nothing and decides nothing."""

    def __init__(
        self, clock: MarketClock, engine: Engine, estate: Estate, volumes: Volumes
    ) -> None:
        self._clock = clock
        self._engine = engine
        self._estate = estate
        self._volumes = volumes
        self.farewell: Callable[[str], Awaitable[None]] | None = None
        """Is told of each container before it is removed."""
        self.claims: dict[str, Sequence[str]] = {}
        """By pod: cards of a container that is being made and may not be in sight yet."""

    @property
    def host(self) -> str:
        """The market's name for this host."""
        return self._estate.house.host

    @property
    def lent(self) -> Lot | None:
        """What pods may take of this machine in all."""
        return self._estate.lent

    async def pull(self, image: str, login: Login | None) -> AsyncIterator[str]:
        """Fetch an image, and yield a line every few seconds of how far it is.

        Raises `NearRegistry`, and what the engine does.
        """
        if not self._estate.has_registries:
            await check_registry(image)
        folded, said = Folded(), self._clock.world.elapsed()
        async for step in self._engine.pull(image, login):
            folded.take(step)
            if self._clock.world.elapsed() - said >= _SAY_EVERY:
                said = self._clock.world.elapsed()
                yield folded.line

    async def create(
        self, step: Create, told: Told, taken: Collection[str], opened: Collection[int] = ()
    ) -> str:
        """Make a pod's container, and its volume before it. Raises `NoRoom`.

        `taken` are cards that others have, `opened` ports of this machine that lead to others.
        """
        name = Name(step.pod, step.run, step.crashes)
        devices = self._claim(step.pod, told.design.cards, taken)
        if told.design.volume_path:
            await self._volumes.make(step.pod, told.volume)
        ports = free_ports(self._estate.ports, told.tcp_ports, opened, self._clock.world.seed())
        place = Place(devices=devices, disk=told.disk, ports=ports)
        body = create_body(name, told.design, self._estate.house, place)
        try:
            await self._engine.create(str(name), body)
        except AlreadyThere:
            return f"the container {name} is there"
        return f"made the container {name}"

    def _claim(self, pod: str, cards: int, taken: Collection[str]) -> tuple[str, ...]:
        """Choose cards that no container has and none is being made with. Raises `NoRoom`."""
        claimed = {card for each, own in self.claims.items() if each != pod for card in own}
        free = [card for card in self._estate.cards if card not in taken and card not in claimed]
        if len(free) < cards:
            raise NoRoom(f"{cards} cards are asked for and {len(free)} are free")
        self.claims[pod] = chosen = tuple(free[:cards])
        return chosen

    async def do(self, step: Step, told: Told | None) -> str:
        """Do any other step."""
        match step:
            case Start():
                return await self._start(step)
            case Stop():
                return await self._stop(step, told)
            case Remove():
                if self.farewell is not None:
                    await self.farewell(step.container)
                await self._engine.remove(step.container)
                return "removed the container"
            case RemoveVolume():
                await self._volumes.remove(step.pod)
                return "removed the volume"
            case _:
                return ""

    async def _stop(self, step: Stop, told: Told | None) -> str:
        grace, reason = step.grace, told.reason if told is not None else ""
        if told is not None and told.leave_by is not None:
            await give_notice(self._engine, step.container, told.leave_by, reason)
            grace = max(timedelta(0), min(grace, told.leave_by - self._clock.now()))
        await self._engine.stop(step.container, grace)
        return f"stopped: {reason}" if reason else "stopped"

    async def _start(self, step: Start) -> str:
        """Start a container. One that cannot start, by a port that is taken say, is made anew."""
        try:
            await self._start_with_volume(step)
        except EngineGone:
            raise
        except PunaError:
            await self._engine.remove(step.container)
            raise
        return "started"

    async def _start_with_volume(self, step: Start) -> None:
        """Start it, and again where an earlier run's mount of its volume was in the way.

        Podman is asked first: unmounting what it counts as mounted would leave the container with
        the bare folder.
        """
        await self._volumes.be_ready(step.pod)
        try:
            await self._engine.start(step.container)
        except EngineRefused as error:
            is_in_the_way = _MOUNTED in error.message
            if not is_in_the_way or not await self._volumes.let_go(step.pod):
                raise
            await self._engine.start(step.container)


def free_ports(
    which: range, inside: Sequence[int], opened: Collection[int], dice: int
) -> Mapping[int, int]:
    """Choose a port of this machine for each of a container's; none where none may be open.

    They are tried from a place of chance on, so that two containers that are made at once seldom
    choose the same; one that finds its port taken cannot start, and is made anew. Raises `NoRoom`.
    """
    if not which:
        return {}
    begin = dice % len(which)
    free = (port for port in (*which[begin:], *which[:begin]) if port not in opened)
    found = dict(zip(inside, (port for port in free if _is_free(port)), strict=False))
    if len(found) < len(inside):
        raise NoRoom(f"no port from {which[0]} to {which[-1]} is free on this host")
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("", port))
        except OSError:
            return False
    return True

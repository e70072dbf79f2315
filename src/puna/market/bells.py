"""Who waits for something to change in this process, and what wakes them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from puna.units import Span
from puna.wire.agent import PodReport
from puna.world import World


class Bell:
    """Wakes whoever waits for something to change; a ring that nobody hears is lost."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait now."""
        rung, self._next = self._next, asyncio.Event()
        rung.set()

    @property
    def next(self) -> asyncio.Event:
        """What the next ring sets. Taken before one looks, it misses no change."""
        return self._next


@dataclass(frozen=True, slots=True)
class Bells:
    """What rings in one process, and what other processes are to hear."""

    loops: Bell = field(default_factory=Bell)
    """Something is to be done: a pod wants a place or money."""
    hosts: Bell = field(default_factory=Bell)
    """Something may be new to a host that waits for orders."""
    abroad: Bell = field(default_factory=Bell)
    """Something changed here that other processes do not know."""
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    """The process ends: nobody waits any longer."""

    def hear(self) -> None:
        """Take note of a change in another process."""
        self.loops.ring()
        self.hosts.ring()


class Waiting:
    """The hosts that wait in this process."""

    def __init__(self) -> None:
        self._waits: dict[str, asyncio.Event] = {}
        self._marks: Mapping[str, int] = {}
        self._pictures: dict[str, int] = {}

    @property
    def count(self) -> int:
        """How many wait."""
        return len(self._waits)

    def mark_of(self, host: str) -> int | None:
        """Return the mark of a host's orders at the last look."""
        return self._marks.get(host)

    def begin(self, host: str, mark: int | None) -> asyncio.Event:
        """Return what is set when there is something newer than `mark`.

        A host waits once: who asks again lets the older request go.
        """
        if (older := self._waits.pop(host, None)) is not None:
            older.set()
        wait = self._waits[host] = asyncio.Event()
        if self._marks.get(host) != mark:
            wait.set()
        return wait

    def end(self, host: str, wait: asyncio.Event) -> bool:
        """Forget a wait that is over; False where the host has begun another meanwhile."""
        if self._waits.get(host) is not wait:
            return False
        del self._waits[host]
        return True

    def shows_news(self, host: str, shown: Sequence[PodReport]) -> bool:
        """Tell whether a host shows other pods, or others of them, than in its last report here."""
        picture = hash(tuple((each.pod, each.run, each.observed, each.reason) for each in shown))
        is_new = self._pictures.get(host) != picture
        self._pictures[host] = picture
        return is_new

    def see(self, marks: Mapping[str, int]) -> None:
        """Take the marks of a look, and wake those whose mark is another."""
        before, self._marks = self._marks, marks
        for host, wait in self._waits.items():
            if before.get(host) != marks.get(host):
                wait.set()


async def wait_for_any(world: World, span: Span, *events: asyncio.Event) -> None:
    """Return when one of the events is set, or after `span`."""
    waits: set[asyncio.Future[object]] = {asyncio.ensure_future(world.wait(span))}
    waits |= {asyncio.ensure_future(each.wait()) for each in events}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()

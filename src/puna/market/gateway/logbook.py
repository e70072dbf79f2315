"""What is noted of each request to a pod: who got what from where, and nothing that anybody said.

A line holds no path, no query and no name; of a key it has the few letters that lists show.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from puna.market.gateway.admission import Admitted
from puna.market.gateway.heads import Request
from puna.market.gateway.places import Place
from puna.world import World

_GONE = 499


@dataclass(slots=True)
class Line:
    """One request, while it is answered."""

    request: Request
    place: Place
    admitted: Admitted | None = None
    status: int = _GONE
    """What was answered; the number is nginx's for a client that went away before."""

    @property
    def port(self) -> str:
        """Which port of which pod it was, for whom it was let in; else what it asked for."""
        if self.admitted is not None:
            return f"{self.admitted.route.pod}:{self.admitted.port}"
        return f"{self.place.pod}:{self.place.port}" if self.place.pod else "(share)"


Note = Callable[[Line, float], None]
"""Keeps a line, with the seconds that it took."""


class Logbook:
    """Hands lines on when they are whole."""

    def __init__(self, world: World, note: Note) -> None:
        self._elapsed = world.elapsed
        self._note = note

    @contextmanager
    def line(self, request: Request, place: Place) -> Iterator[Line]:
        """Yield the line of a request until it is over, however it ends."""
        begun, start = Line(request, place), self._elapsed()
        try:
            yield begun
        finally:
            self._note(begun, (self._elapsed() - start) / 1e9)


def nowhere(line: Line, seconds: float) -> None:
    """Keep nothing."""
    del line, seconds

"""What all models together may take: what is free, and what those in memory hold already.

While a model is being loaded its memory is in neither number: it is taken bit by bit, and how much
is known only at the end. So during a load the last measurement before it counts; otherwise a second
model would be refused for being too big when it only has to wait.
"""

from collections.abc import Callable, Sequence

from puna.node.scheduler.state import Running
from puna.units import Size


class Headroom:
    """Measures when it can, and remembers when it cannot. `available` tells the bytes free now."""

    def __init__(self, available: Callable[[], Size]) -> None:
        self._available = available
        self._last: Size | None = None

    def beside(self, running: Sequence[Running]) -> Size:
        """Return the bytes that all models together may take, `running` among them."""
        is_settled = all(each.facts is not None for each in running)
        if is_settled or self._last is None:
            held = sum(_own_bytes(each) for each in running)
            self._last = Size(self._available() + held)
        return self._last


def _own_bytes(running: Running) -> Size:
    """Return what an engine holds beside its mapped file, whose pages count as available."""
    try:
        mapped = running.spec.weights.stat().st_size
    except OSError:
        mapped = 0
    return Size(max(0, running.facts.memory - mapped) if running.facts else 0)

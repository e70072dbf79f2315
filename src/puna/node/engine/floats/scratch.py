"""Arrays that a forward pass uses again and again, made once."""

import math

import numpy as np

from puna.node.engine.floats.weights import Floats


class Scratch:
    """Room by name. What stands in it is left from before, and finite."""

    def __init__(self) -> None:
        self._kept: dict[str, Floats] = {}

    def room(self, name: str, *size: int) -> Floats:
        """Return an array of this size; the same name has one array at a time."""
        wanted = math.prod(size)
        kept = self._kept.get(name)
        if kept is None or kept.size < wanted:
            kept = self._kept[name] = np.zeros(wanted, np.float32)
        return kept[:wanted].reshape(size)

    @property
    def size(self) -> int:
        """How many bytes it has grown to."""
        return sum(each.nbytes for each in self._kept.values())

    def clear(self) -> None:
        """Give all room back."""
        self._kept.clear()

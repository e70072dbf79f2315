"""What computes trees of rows, one at a time: a core of the float path, or llama.cpp."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from puna.node.engine.row_tree import RowTree

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class LaneBroke(RuntimeError):
    """It cannot compute any more; the text says why."""


class Lane(Protocol):
    """Computes one tree at a time. Every call blocks, and raises `LaneBroke`."""

    def begin(self, prefix: Sequence[int], columns: Sequence[int]) -> None:
        """Compute what all rows begin with; the logits of these tokens will be wanted."""

    def logits(self, tree: RowTree) -> "NDArray[np.float32]":
        """Return the logits of the tokens behind each node that is read."""

"""How a core's process and the one that feeds it talk: a line of JSON, then arrays as they are."""

import json
from collections.abc import Mapping
from typing import IO

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.generic]]
Words = Mapping[str, object]
TREE_ARRAYS = ("tokens", "depths", "ends", "reads")
"""The parts of a tree of rows, by the names that they have there."""


class Gone(Exception):
    """The other side has closed."""


def send(file: IO[bytes], words: Words, arrays: Arrays | None = None) -> None:
    """Write one frame. Raises `Gone`."""
    arrays = arrays or {}
    about = {name: [each.dtype.str, each.shape] for name, each in arrays.items()}
    try:
        file.write(json.dumps({"words": words, "arrays": about}).encode() + b"\n")
        file.writelines(np.ascontiguousarray(each).data for each in arrays.values())
        file.flush()
    except (BrokenPipeError, ValueError) as error:
        raise Gone from error


def receive(file: IO[bytes]) -> tuple[Words, dict[str, NDArray[np.generic]]]:
    """Read one frame. Raises `Gone`."""
    line = file.readline()
    if not line.endswith(b"\n"):
        raise Gone
    frame = json.loads(line)
    arrays = {}
    for name, (kind, shape) in frame["arrays"].items():
        array = np.empty(shape, kind)
        if array.size and file.readinto(array.data.cast("B")) != array.nbytes:  # type: ignore[attr-defined]
            raise Gone
        arrays[name] = array
    return frame["words"], arrays

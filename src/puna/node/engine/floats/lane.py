"""The cores of the float path, seen from the process that feeds them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np

from puna.hardware.processor import halves_wide_steps
from puna.hardware.system_files import read_system_file
from puna.models.gguf import read_header
from puna.node.engine.floats.frames import TREE_ARRAYS, Arrays, Gone, receive, send
from puna.node.engine.floats.shape import read_shape
from puna.node.engine.floats.weights import Floats, mapping_size
from puna.node.engine.lane import LaneBroke
from puna.node.engine.row_tree import RowTree

_PROGRAM = ("-P", "-X", "faulthandler", "-m", "puna.node.engine.floats.core")
_THREADS_OF = ("OPENBLAS", "OMP", "MKL")
"""Whose number of threads is set; read once, when the library is loaded."""


class FloatLane:
    """One core's process. Satisfies `Lane`."""

    def __init__(self, weights: Path, library: str, memory: int) -> None:
        environment = dict(os.environ)  # noqa: TID251 - for numpy's library, which reads it early
        environment |= {f"{each}_NUM_THREADS": "1" for each in _THREADS_OF}
        environment["VECLIB_MAXIMUM_THREADS"] = "1"
        if halves_wide_steps(read_system_file(Path("/proc/cpuinfo"))):
            environment.setdefault("OPENBLAS_CORETYPE", "Zen")  # 6 % faster than its own choice
        self._process = subprocess.Popen(  # noqa: S603 - puna's own program
            [
                sys.executable,
                *_PROGRAM,
                str(weights),
                library,
                str(memory),
                str(os.getpid()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(memory,),
            env=environment,
        )

    def fill(self, layers: Sequence[int]) -> None:
        """Expand some layers into the memory that all cores share."""
        self._do("fill", {"layers": np.asarray(layers, np.int32)})

    def begin(self, prefix: Sequence[int], columns: Sequence[int]) -> None:
        """Compute what all rows begin with; the logits of these tokens will be wanted."""
        arrays = {"prefix": np.asarray(prefix, np.int32), "columns": np.asarray(columns, np.int32)}
        self._do("begin", arrays)

    def logits(self, tree: RowTree) -> Floats:
        """Return the logits behind each node that is read."""
        arrays = {name: np.asarray(getattr(tree, name), np.int32) for name in TREE_ARRAYS}
        found = self._do("compute", arrays)["logits"]
        return found.astype(np.float32, copy=False)

    def _do(self, what: str, arrays: Arrays) -> Arrays:
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        assert self._process.stdout is not None  # noqa: S101 - the same
        try:
            send(self._process.stdin, {"do": what}, arrays)
            return receive(self._process.stdout)[1]
        except Gone as error:
            code = self._process.wait()
            raise LaneBroke(f"the process of a core ended with code {code}") from error


def start_cores(weights: Path, library: str, count: int) -> list[FloatLane]:
    """Start a process for each core, and have them expand the weights, each its part."""
    shape = read_shape(read_header(weights))
    with _memory() as file:
        file.truncate(mapping_size(shape))
        lanes = [FloatLane(weights, library, file.fileno()) for _ in range(count)]
        with ThreadPoolExecutor(count) as pool:
            parts = [range(first, shape.layers, count) for first in range(count)]
            list(pool.map(FloatLane.fill, lanes, parts))
    return lanes


def _memory() -> IO[bytes]:
    """Return a file without a name, in memory where there is such; gone with its last user."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("puna-weights"), "wb")
    return tempfile.TemporaryFile()

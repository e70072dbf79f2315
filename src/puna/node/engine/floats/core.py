"""The process of one core: a forward pass without threads, on weights that all cores share.

Several threads in one product wait for each other at its end; processes with rows of their own
never do. Started as a program by `lane`, which has set how many threads the products may have
before numpy is loaded here.
"""

import ctypes as c
import mmap
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from puna.models.gguf import read_header
from puna.node.engine.floats.forward import Forward
from puna.node.engine.floats.frames import TREE_ARRAYS, Arrays, Gone, Words, receive, send
from puna.node.engine.floats.shape import read_shape
from puna.node.engine.floats.weights import Floats, TensorFile, fill_layer, layers_in
from puna.node.engine.lifeline import die_with, go_first_when_memory_ends
from puna.node.engine.row_tree import RowTree

_EMBEDDING = "token_embd.weight"
_OUTPUT = "output.weight"


class Core:
    """One core's model: weights to be filled, a prefix to begin with, trees to be computed."""

    def __init__(self, weights: Path, library: str, memory: int) -> None:
        header = read_header(weights)
        self._shape = read_shape(header)
        self._file = TensorFile(c.CDLL(library), header)
        self._layers = layers_in(mmap.mmap(memory, 0), self._shape)
        norm = self._file.whole("output_norm.weight")
        self._forward = Forward(self._shape, self._layers, self._embed, norm)
        self._columns = np.empty((0, self._shape.width), np.float32)

    def _embed(self, tokens: Sequence[int]) -> Floats:
        return self._file.rows(_EMBEDDING, tokens)

    def answer(self, words: Words, arrays: Arrays) -> Arrays:
        """Do what a frame says, and return what it asked for."""
        match words["do"]:
            case "fill":
                for number in arrays["layers"].tolist():
                    fill_layer(self._layers[number], number, self._file, self._shape)
            case "begin":
                self._forward.begin(arrays["prefix"].tolist())
                name = _OUTPUT if _OUTPUT in self._file else _EMBEDDING
                self._columns = self._file.rows(name, arrays["columns"].tolist())
            case _:
                tree = RowTree(*(arrays[each].tolist() for each in TREE_ARRAYS))
                return {"logits": self._forward.hidden(tree) @ self._columns.T}
        return {}


def main(weights: str, library: str, memory: int, parent: int) -> None:
    """Answer frames until input ends."""
    die_with(parent)
    go_first_when_memory_ends()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output: BinaryIO = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    core = Core(Path(weights), library, memory)
    try:
        while True:
            words, arrays = receive(sys.stdin.buffer)
            send(output, {}, core.answer(words, arrays))
    except Gone:
        return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

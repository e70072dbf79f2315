"""The child that tells labels, put together: what computes, the tokenizer, and the conversation."""

import json
import queue
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from puna.node.engine.floats.lane import start_cores
from puna.node.engine.kernels import Kernels
from puna.node.engine.label_work import LabelWork, Task
from puna.node.engine.lane import Lane
from puna.node.engine.native import load_model, open_library
from puna.node.engine.row_tree import RowTree
from puna.node.engine.vocabulary import Vocabulary

Say = Callable[[Mapping[str, object]], None]


class KernelLane:
    """llama.cpp's kernels as a lane, with as many threads as it was given. Satisfies `Lane`."""

    def __init__(self, kernels: Kernels, vocabulary: int) -> None:
        self._kernels = kernels
        self._vocabulary = vocabulary
        self._columns = np.empty(0, np.intp)

    def begin(self, prefix: Sequence[int], columns: Sequence[int]) -> None:
        """Compute what all rows begin with."""
        self._kernels.keep_trunk(tuple(prefix))
        self._columns = np.asarray(columns, np.intp)

    def logits(self, tree: RowTree) -> NDArray[np.float32]:
        """Return the logits behind each node that is read."""
        self._kernels.decode(tree)
        found = np.empty((len(tree.reads), len(self._columns)), np.float32)
        for place, node in enumerate(tree.reads):
            whole = np.ctypeslib.as_array(self._kernels.logits(node), (self._vocabulary,))
            found[place] = whole[self._columns]
        return found


def tell_labels(
    library: str, load: Mapping[str, object], lines: queue.SimpleQueue[bytes], report: Say
) -> NoReturn:
    """Load a model for one question, report, and answer until input ends."""
    lock = threading.Lock()

    def say(words: Mapping[str, object]) -> None:
        with lock:
            report(words)

    try:
        work = _load(str(load["library"]) or library, load)
    except (OSError, RuntimeError, ValueError) as error:
        say({"failed": str(error), "kind": type(error).__name__})
        sys.exit(1)
    work.start()
    say({"ready": "", "build": f"numpy {np.__version__}"})
    while True:
        question = json.loads(lines.get())
        number = question["check"]
        if "pace" in question:
            threads = 0 if load["by_clock"] else cast("int", load["threads"])
            say({"check": number, "pace": work.pace(threads)})
            continue

        def answer(words: Mapping[str, object], number: int = number) -> None:
            say({"check": number, **words})

        work.ask(question["texts"], answer)


def _load(library: str, load: Mapping[str, object]) -> LabelWork:
    native = open_library(library)
    task = Task.of(cast("Mapping[str, object]", load["task"]))
    path = str(load["path"])
    if load["way"] == "float":
        model = load_model(native, path, vocab_only=True)
        lanes: Sequence[Lane] = start_cores(Path(path), library, cast("int", load["threads"]))
        return LabelWork(task, Vocabulary(native, model), lanes)
    model = load_model(native, path, offload=load)
    vocabulary = Vocabulary(native, model)
    kernels = Kernels(native, model, load)
    return LabelWork(task, vocabulary, [KernelLane(kernels, vocabulary.size)])

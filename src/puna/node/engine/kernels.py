"""llama.cpp's own kernels through its C API: trees of rows behind one prefix, a decode each.

The prefix is computed once. Each row is a sequence that shares the prefix's cells, and a token
belongs to every sequence below it, so no beginning is computed twice.
"""

import ctypes as c
from collections.abc import Mapping, Sequence
from typing import cast

from puna.node.engine.lane import LaneBroke
from puna.node.engine.native import CACHE_TYPES, Batch
from puna.node.engine.row_tree import RowTree, Tokens

_TRUNK = 0
_YES = True


class Kernels:
    """One model with one context. Not for two threads at once."""

    def __init__(self, library: c.CDLL, model: int, load: Mapping[str, object]) -> None:
        self._lib = library
        self.context = cast("int", load["context"])
        self.batch = cast("int", load["batch"])
        # Fewer tokens than sequences in a batch fail an assertion of llama.cpp's.
        self.most_rows = min(cast("int", load["rows"]), self.batch - 1)
        self._ctx = self._make_context(model, load)
        self._memory = library.llama_get_memory(self._ctx)
        self._trunk: Tokens = ()

    def _make_context(self, model: int, load: Mapping[str, object]) -> int:
        params = self._lib.llama_context_default_params()
        params.n_ctx = self.context
        params.n_batch = self.batch
        params.n_ubatch = min(self.batch, cast("int", load.get("step", self.batch)))
        params.n_seq_max = self.most_rows + 1
        params.n_threads = params.n_threads_batch = load["threads"]
        params.type_k = params.type_v = CACHE_TYPES[str(load["cache_type"])]
        params.flash_attn_type = load["flash_attention"]
        params.kv_unified = params.swa_full = True
        ctx: int | None = self._lib.llama_init_from_model(model, params)
        if not ctx:
            raise RuntimeError("the context could not be made")
        return ctx

    @property
    def trunk(self) -> Tokens:
        """What all rows stand behind."""
        return self._trunk

    @property
    def room(self) -> int:
        """The most nodes of one tree."""
        return min(self.batch, self.context - len(self._trunk))

    def keep_trunk(self, trunk: Tokens) -> None:
        """Compute what all rows begin with, unless it is there. Raises `LaneBroke`."""
        if trunk == self._trunk:
            return
        self._lib.llama_memory_clear(self._memory, _YES)
        self._trunk = ()
        for start in range(0, len(trunk), self.batch):
            some = trunk[start : start + self.batch]
            places = range(start, start + len(some))
            self._decode(some, places, [[_TRUNK]] * len(some), {len(some) - 1})
        self._trunk = trunk

    def decode(self, tree: RowTree) -> None:
        """Compute a tree; `logits` are there until the next one. Raises `LaneBroke`."""
        rows, count = _rows_by_node(tree)
        for row in range(1, count + 1):
            self._lib.llama_memory_seq_cp(self._memory, _TRUNK, row, -1, -1)
        start = len(self._trunk)
        self._decode(tree.tokens, [start + each for each in tree.depths], rows, set(tree.reads))
        for row in range(1, count + 1):
            self._lib.llama_memory_seq_rm(self._memory, row, -1, -1)

    def logits(self, node: int) -> "c._Pointer[c.c_float]":
        """Return the logits of the whole vocabulary behind a node that was read."""
        pointer: c._Pointer[c.c_float] = self._lib.llama_get_logits_ith(self._ctx, node)
        return pointer

    def _decode(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        rows: Sequence[Sequence[int]],
        reads: set[int],
    ) -> None:
        count = len(tokens)
        if count > self.batch:
            raise LaneBroke(f"a step of {count} tokens is more than a batch of {self.batch}")
        lists = [(c.c_int32 * len(each))(*each) for each in rows]
        pointers = (c.POINTER(c.c_int32) * count)(
            *(c.cast(each, c.POINTER(c.c_int32)) for each in lists)
        )
        batch = Batch(
            count,
            (c.c_int32 * count)(*tokens),
            None,
            (c.c_int32 * count)(*positions),
            (c.c_int32 * count)(*map(len, rows)),
            pointers,
            (c.c_int8 * count)(*(node in reads for node in range(count))),
        )
        if self._lib.llama_decode(self._ctx, batch):
            self._lib.llama_memory_clear(self._memory, _YES)
            self._trunk = ()
            raise LaneBroke(f"llama.cpp could not compute a step of {count} tokens")


def _rows_by_node(tree: RowTree) -> tuple[list[list[int]], int]:
    """Return the numbers, from 1, of the rows that each node belongs to, and how many there are."""
    rows: list[list[int]] = [[] for _ in tree.tokens]
    count = 0
    path: list[int] = []
    for node, depth in enumerate(tree.depths):
        del path[depth:]
        path.append(node)
        if tree.ends[node] == node + 1:
            count += 1
            for each in path:
                rows[each].append(count)
    return rows, count

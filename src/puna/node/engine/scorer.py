"""How likely given answers are, without generating: the child's side, on llama.cpp's C API.

What all prompts begin with is computed once and kept for the next question. All prompts of a step,
each with its answers, form a tree: a token belongs to every sequence below it, so no beginning is
computed twice. An answer's probability is read off the logits before each of its tokens.
"""

import ctypes as c
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from puna.node.engine.native import CACHE_TYPES, Batch, open_library

Tokens = tuple[int, ...]
_TRUNK = 0
_YES = True
_BORDER = 24
"""Characters before an answer that decide how it falls into tokens."""


class CannotScore(Exception):
    """The question cannot be answered; the text says why."""


@dataclass(slots=True)
class _Node:
    """A token of the tree, with the sequences below it."""

    token: int
    position: int
    rows: list[int] = field(default_factory=list)
    is_read: bool = False


class Scorer:
    """One model, loaded to score."""

    def __init__(self, library: str, load: Mapping[str, object]) -> None:
        self._lib = open_library(library)
        self.context = cast("int", load["context"])
        self._batch = cast("int", load["batch"])
        self._rows = cast("int", load["rows"])
        self._model = self._load_model(load)
        self._vocab = self._lib.llama_model_get_vocab(self._model)
        self.vocabulary = int(self._lib.llama_vocab_n_tokens(self._vocab))
        self._ctx = self._make_context(load)
        self._memory = self._lib.llama_get_memory(self._ctx)
        self._trunk: Tokens = ()

    def _load_model(self, load: Mapping[str, object]) -> int:
        params = self._lib.llama_model_default_params()
        params.n_gpu_layers = load["gpu_layers"]
        path = str(load["path"]).encode()
        model: int | None = self._lib.llama_model_load_from_file(path, params)
        if not model:
            raise RuntimeError("the model could not be loaded")
        return model

    def _make_context(self, load: Mapping[str, object]) -> int:
        params = self._lib.llama_context_default_params()
        params.n_ctx = self.context
        params.n_batch = params.n_ubatch = self._batch
        params.n_seq_max = self._rows + 1
        params.n_threads = params.n_threads_batch = load["threads"]
        params.type_k = params.type_v = CACHE_TYPES[str(load["cache_type"])]
        params.flash_attn_type = load["flash_attention"]
        params.kv_unified = params.swa_full = True
        ctx: int | None = self._lib.llama_init_from_model(self._model, params)
        if not ctx:
            raise RuntimeError("the context could not be made")
        return ctx

    def score(self, question: Mapping[str, object]) -> dict[str, object]:
        """Return the logarithm of each answer's probability after each prompt."""
        prefix, texts = str(question["prefix"]), cast("list[str]", question["texts"])
        candidates = cast("list[str]", question["candidates"])
        prompts = [self._tokens(prefix + text, special=True) for text in texts]
        answers = [
            [self._answer(prefix + text, candidate) for candidate in candidates] for text in texts
        ]
        if not all(prompts) or not all(each for some in answers for each in some):
            raise CannotScore("a prompt or a candidate has no tokens")
        self._keep_trunk(_shared(prompts))
        chances = self._chances(prompts, answers)
        return {
            "logprobs": [
                [_sum(chances, prompt, each) for each in some]
                for prompt, some in zip(prompts, answers, strict=True)
            ],
            "tokens": sum(len(each) for each in prompts),
        }

    def _answer(self, prompt: str, candidate: str) -> Tokens:
        """Return the tokens of an answer as they are after its prompt."""
        border = prompt[-_BORDER:]
        before, whole = self._tokens(border), self._tokens(border + candidate)
        if whole[: len(before)] == before:
            return whole[len(before) :]
        return self._tokens(candidate)

    def _tokens(self, text: str, *, special: bool = False) -> Tokens:
        raw = text.encode(errors="replace")
        room = len(raw) + 16
        found = (c.c_int32 * room)()
        count = self._lib.llama_tokenize(self._vocab, raw, len(raw), found, room, special, _YES)
        return tuple(found[:count])

    def _keep_trunk(self, trunk: Tokens) -> None:
        """Compute what all prompts begin with, unless it is there."""
        if trunk == self._trunk:
            return
        self._lib.llama_memory_clear(self._memory, _YES)
        self._trunk = ()
        if len(trunk) >= self.context:
            raise CannotScore(f"the prompts have {len(trunk)} tokens, the context {self.context}")
        for start in range(0, len(trunk), self._batch):
            some = trunk[start : start + self._batch]
            self._decode([_Node(each, start + n, [_TRUNK]) for n, each in enumerate(some)])
        self._trunk = trunk

    def _chances(
        self, prompts: Sequence[Tokens], answers: Sequence[Sequence[Tokens]]
    ) -> dict[Tokens, dict[int, float]]:
        """Return for each beginning the logarithms of what may follow."""
        start = len(self._trunk)
        wanted: dict[Tokens, set[int]] = {}
        for prompt, some in zip(prompts, answers, strict=True):
            for answer in some:
                for place, token in enumerate(answer):
                    wanted.setdefault(prompt[start:] + answer[:place], set()).add(token)
        chances: dict[Tokens, dict[int, float]] = {}
        for paths in self._steps(sorted(_longest(wanted))):
            chances |= self._step(paths, wanted)
        return {self._trunk + path: each for path, each in chances.items()}

    def _steps(self, paths: Sequence[Tokens]) -> Iterator[list[Tokens]]:
        """Cut the paths into what one decode and the context hold."""
        room = min(self._batch, self.context - len(self._trunk))
        some: list[Tokens] = []
        size = 0
        for path in paths:
            if len(path) > room:
                raise CannotScore(
                    f"a text and its candidate have {len(path)} tokens, and {room} have room"
                )
            if some and (len(some) == self._rows or size + len(path) > room):
                yield some
                some, size = [], 0
            some.append(path)
            size += len(path)
        if some:
            yield some

    def _step(
        self, paths: Sequence[Tokens], wanted: Mapping[Tokens, set[int]]
    ) -> dict[Tokens, dict[int, float]]:
        nodes: dict[Tokens, _Node] = {}
        for row, path in enumerate(paths, start=1):
            self._lib.llama_memory_seq_cp(self._memory, _TRUNK, row, -1, -1)
            for depth in range(1, len(path) + 1):
                beginning = path[:depth]
                position = len(self._trunk) + depth - 1
                node = nodes.setdefault(beginning, _Node(path[depth - 1], position))
                node.rows.append(row)
                node.is_read = beginning in wanted
        self._decode(list(nodes.values()))
        found = {
            path: self._logprobs(place, wanted[path])
            for place, (path, node) in enumerate(nodes.items())
            if node.is_read
        }
        for row in range(1, len(paths) + 1):
            self._lib.llama_memory_seq_rm(self._memory, row, -1, -1)
        return found

    def _logprobs(self, place: int, tokens: set[int]) -> dict[int, float]:
        pointer = self._lib.llama_get_logits_ith(self._ctx, place)
        logits = c.cast(pointer, c.POINTER(c.c_float * self.vocabulary)).contents[:]
        top = max(logits)
        total = top + math.log(math.fsum(map(math.exp, (each - top for each in logits))))
        return {token: logits[token] - total for token in tokens}

    def _decode(self, nodes: Sequence[_Node]) -> None:
        count = len(nodes)
        rows = [(c.c_int32 * len(node.rows))(*node.rows) for node in nodes]
        batch = _batch_of(nodes, rows)
        if self._lib.llama_decode(self._ctx, batch):
            self._lib.llama_memory_clear(self._memory, _YES)
            self._trunk = ()
            raise CannotScore(f"llama.cpp could not compute a step of {count} tokens")


def _batch_of(nodes: Sequence[_Node], rows: Sequence["c.Array[c.c_int32]"]) -> object:
    count = len(nodes)
    pointers = (c.POINTER(c.c_int32) * count)(
        *(c.cast(each, c.POINTER(c.c_int32)) for each in rows)
    )
    return Batch(
        count,
        (c.c_int32 * count)(*(node.token for node in nodes)),
        None,
        (c.c_int32 * count)(*(node.position for node in nodes)),
        (c.c_int32 * count)(*(len(node.rows) for node in nodes)),
        pointers,
        (c.c_int8 * count)(*(node.is_read for node in nodes)),
    )


def _shared(prompts: Sequence[Tokens]) -> Tokens:
    """Return what all prompts begin with, and at least the last token of each is left."""
    first, last = min(prompts), max(prompts)
    most = min(len(each) for each in prompts) - 1
    same = 0
    while same < most and first[same] == last[same]:
        same += 1
    return first[:same]


def _longest(paths: Mapping[Tokens, object]) -> list[Tokens]:
    """Return the paths that are no beginning of another."""
    ordered = sorted(paths)
    following = [*ordered[1:], ()]
    return [a for a, b in zip(ordered, following, strict=True) if b[: len(a)] != a]


def _sum(chances: Mapping[Tokens, Mapping[int, float]], prompt: Tokens, answer: Tokens) -> float:
    return math.fsum(chances[prompt + answer[:place]][token] for place, token in enumerate(answer))

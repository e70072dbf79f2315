"""How likely given answers are, without generating: the child's side, on llama.cpp's C API.

What all prompts begin with is computed once and kept for the next question. All prompts of a step,
each with its answers, form a tree, so no beginning is computed twice. An answer's probability is
read off the logits before each of its tokens.
"""

import ctypes as c
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from puna.node.engine.kernels import Kernels
from puna.node.engine.lane import LaneBroke
from puna.node.engine.native import load_model, open_library
from puna.node.engine.row_tree import Tokens, grow, shared, stretches
from puna.node.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable


class CannotScore(Exception):
    """The question cannot be answered; the text says why."""


class Scorer:
    """One model, loaded to score."""

    def __init__(self, library: str, load: Mapping[str, object]) -> None:
        native = open_library(library)
        model = load_model(native, str(load["path"]), offload=load)
        self._vocabulary = Vocabulary(native, model)
        self._kernels = Kernels(native, model, load)
        self._total: Callable[[c._Pointer[c.c_float], int], float]
        self._total = _total_by_numpy if find_spec("numpy") else _total

    @property
    def context(self) -> int:
        """Tokens that have room."""
        return self._kernels.context

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return self._vocabulary.size

    def score(self, question: Mapping[str, object]) -> dict[str, object]:
        """Return the logarithm of each answer's probability after each prompt."""
        prefix, texts = str(question["prefix"]), cast("list[str]", question["texts"])
        candidates = cast("list[str]", question["candidates"])
        prompts = [self._vocabulary.tokens(prefix + text, special=True) for text in texts]
        answers = [
            [self._vocabulary.answer(prefix + text, candidate) for candidate in candidates]
            for text in texts
        ]
        if not all(prompts) or not all(each for some in answers for each in some):
            raise CannotScore("a prompt or a candidate has no tokens")
        try:
            chances = self._chances(prompts, answers)
        except LaneBroke as error:
            raise CannotScore(str(error)) from error
        return {
            "logprobs": [
                [_sum(chances, prompt, each) for each in some]
                for prompt, some in zip(prompts, answers, strict=True)
            ],
            "tokens": sum(len(each) for each in prompts),
        }

    def _chances(
        self, prompts: Sequence[Tokens], answers: Sequence[Sequence[Tokens]]
    ) -> dict[Tokens, dict[int, float]]:
        """Return for each beginning the logarithms of what may follow."""
        trunk = _shared(prompts)
        if len(trunk) >= self.context:
            raise CannotScore(f"the prompts have {len(trunk)} tokens, the context {self.context}")
        self._kernels.keep_trunk(trunk)
        wanted: dict[Tokens, set[int]] = {}
        for prompt, some in zip(prompts, answers, strict=True):
            for answer in some:
                for place, token in enumerate(answer):
                    wanted.setdefault(prompt[len(trunk) :] + answer[:place], set()).add(token)
        room = self._kernels.room
        longest = max(map(len, wanted))
        if longest > room:
            raise CannotScore(
                f"a text and its candidate have {longest} tokens, and {room} have room"
            )
        chances: dict[Tokens, dict[int, float]] = {}
        most_rows = self._kernels.most_rows
        for paths in stretches(sorted(wanted), room, most_rows=most_rows, for_many=False):
            tree = grow(paths)
            self._kernels.decode(tree)
            for path, node in zip(paths, tree.reads, strict=True):
                chances[trunk + path] = self._logprobs(node, wanted[path])
        return chances

    def _logprobs(self, node: int, tokens: set[int]) -> dict[int, float]:
        logits = self._kernels.logits(node)
        total = self._total(logits, self.vocabulary)
        return {token: logits[token] - total for token in tokens}


def _total(logits: "c._Pointer[c.c_float]", count: int) -> float:
    """Return the logarithm of what the exponentials of all logits add up to."""
    numbers = c.cast(logits, c.POINTER(c.c_float * count)).contents[:]
    top = max(numbers)
    return top + math.log(math.fsum(map(math.exp, (each - top for each in numbers))))


def _total_by_numpy(logits: "c._Pointer[c.c_float]", count: int) -> float:
    import numpy as np  # noqa: PLC0415 - not everybody has it; where it is, it is 50 times faster

    numbers = np.ctypeslib.as_array(logits, (count,))
    top = numbers.max()
    return float(top) + math.log(float(np.exp(numbers - top).sum(dtype=np.float64)))


def _shared(prompts: Sequence[Tokens]) -> Tokens:
    """Return what all prompts begin with, and at least the last token of each is left."""
    first, last = min(prompts), max(prompts)
    most = min(len(each) for each in prompts) - 1
    return first[: min(most, shared(first, last))]


def _sum(chances: Mapping[Tokens, Mapping[int, float]], prompt: Tokens, answer: Tokens) -> float:
    return math.fsum(chances[prompt + answer[:place]][token] for place, token in enumerate(answer))

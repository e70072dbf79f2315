"""Labels as tokens: where they part, and from the logits there, how likely each is.

A model that may say nothing but a label decides only where labels part: for the first token, and
again behind a beginning that several share. So a label's probability is the product of its shares
at those places, and where the first tokens all differ one place is enough.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from puna.node.engine.row_tree import Tokens

_END = -1
"""In the place of a token: the label is over here, and another one goes on."""


@dataclass(frozen=True, slots=True)
class _Fork:
    """Tokens that several labels begin with, and what may follow."""

    beginning: Tokens
    options: tuple[int, ...]


class LabelWords:
    """The labels of one question, all different."""

    def __init__(self, labels: Sequence[Tokens], find_ends: Callable[[], Tokens]) -> None:
        """`find_ends` returns the tokens by which a label can be over; called where one can."""
        self._labels = labels
        self._forks = _forks(labels)
        has_end = any(_END in fork.options for fork in self._forks)
        ends = find_ends() if has_end else ()
        options = {token for fork in self._forks for token in fork.options if token != _END}
        self.columns = tuple(sorted(options | set(ends)))
        """The tokens whose logits are wanted."""
        places = {token: place for place, token in enumerate(self.columns)}
        self._choices = [
            [
                [places[each] for each in (ends if token == _END else (token,))]
                for token in fork.options
            ]
            for fork in self._forks
        ]
        self._steps = [_steps_of(label, self._forks) for label in labels]

    @property
    def beginnings(self) -> tuple[Tokens, ...]:
        """What of a label stands before each place where logits are wanted; nothing first."""
        return tuple(fork.beginning for fork in self._forks)

    def columns_at(self, fork: int) -> tuple[int, ...]:
        """Return the columns that count behind one of the beginnings."""
        return tuple(sorted({column for choice in self._choices[fork] for column in choice}))

    def logprobs(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return each label's logarithm, from rows by beginnings by columns."""
        shares = [
            _shares(logits[:, place].astype(np.float64), choices)
            for place, choices in enumerate(self._choices)
        ]
        found = np.zeros((len(logits), len(self._labels)))
        for number, steps in enumerate(self._steps):
            for fork, option in steps:
                found[:, number] += shares[fork][:, option]
        return found


def _shares(logits: NDArray[np.float64], choices: Sequence[list[int]]) -> NDArray[np.float64]:
    """Return the logarithms of the shares of each choice; one of several tokens has their sum."""
    taken = [np.logaddexp.reduce(logits[:, columns], axis=1) for columns in choices]
    together = np.stack(taken, axis=1)
    together -= np.logaddexp.reduce(together, axis=1)[:, None]
    return together


def _forks(labels: Sequence[Tokens]) -> list[_Fork]:
    following: dict[Tokens, set[int]] = {}
    for label in labels:
        for depth in range(len(label) + 1):
            token = label[depth] if depth < len(label) else _END
            following.setdefault(label[:depth], set()).add(token)
    several = sorted(each for each, tokens in following.items() if len(tokens) > 1)
    return [_Fork(each, tuple(sorted(following[each]))) for each in several]


def _steps_of(label: Tokens, forks: Sequence[_Fork]) -> list[tuple[int, int]]:
    """Return the forks on a label's way, with the option that it takes at each."""
    steps = []
    for number, fork in enumerate(forks):
        depth = len(fork.beginning)
        if label[:depth] == fork.beginning:
            token = label[depth] if depth < len(label) else _END
            steps.append((number, fork.options.index(token)))
    return steps

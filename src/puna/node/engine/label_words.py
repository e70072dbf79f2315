"""Labels as tokens: where they part, and from the logits there, how likely each is.

A model that may say nothing but a label decides only where labels part: for the first token, and
again behind a beginning that several share. So a label's probability is the product of its shares
at those forks. A fork that hardly anything of a text's probability comes to is not looked at: its
labels share that little equally.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from puna.node.engine.row_tree import Tokens

_END = -1
"""In the place of a token: the label is over here, and another one goes on."""
_FEW = 3
"""So many forks are looked at for every text: that costs less than to come back for some."""
_LITTLE = 1e-3
Logarithms = NDArray[np.float64]
Places = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Fork:
    """Tokens that several labels begin with, and what may follow."""

    beginning: Tokens
    options: tuple[int, ...]
    place: int
    """Where its options stand among those of all forks."""
    above: tuple[int, ...]
    """The options that lead here, by their places."""


class LabelWords:
    """The labels of one question, all different."""

    def __init__(self, labels: Sequence[Tokens], find_ends: Callable[[], Tokens]) -> None:
        """`find_ends` returns the tokens by which a label can be over; called where one can."""
        self._count = len(labels)
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
        """What of a label stands before each fork, the shortest first."""
        return tuple(fork.beginning for fork in self._forks)

    def columns_at(self, fork: int) -> tuple[int, ...]:
        """Return the columns that count at a fork."""
        return tuple(sorted({column for choice in self._choices[fork] for column in choice}))

    def unknown(self, rows: int) -> Logarithms:
        """Return the shares of rows of which nothing is known: equal ones at each fork."""
        shares = [np.full(len(fork.options), -np.log(len(fork.options))) for fork in self._forks]
        return np.tile(np.concatenate(shares), (rows, 1))

    def first(self, rows: int) -> Places:
        """Return at which forks rows are looked at first: all of few, else where all labels are."""
        wanted = np.zeros((rows, len(self._forks)), bool)
        wanted[:, : 1 if len(self._forks) > _FEW else None] = True
        return wanted

    def next(self, shares: Logarithms, seen: Places) -> Places:
        """Return at which forks rows must be looked at yet: those that enough comes to."""
        little = np.log(min(_LITTLE, 0.1 / self._count))
        wanted = ~seen
        for number, fork in enumerate(self._forks):
            wanted[:, number] &= shares[:, list(fork.above)].sum(1) >= little
        return wanted

    def learn(
        self, shares: Logarithms, fork: int, rows: Sequence[int], logits: NDArray[np.floating]
    ) -> None:
        """Write down what the logits of some rows say at a fork."""
        wide = logits.astype(np.float64)
        taken = [np.logaddexp.reduce(wide[:, each], axis=1) for each in self._choices[fork]]
        together = np.stack(taken, axis=1)
        together -= np.logaddexp.reduce(together, axis=1)[:, None]
        place = self._forks[fork].place
        shares[rows, place : place + together.shape[1]] = together

    def logprobs(self, shares: Logarithms) -> Logarithms:
        """Return each label's logarithm."""
        return np.stack([shares[:, list(steps)].sum(1) for steps in self._steps], axis=1)


def _forks(labels: Sequence[Tokens]) -> list[_Fork]:
    following: dict[Tokens, set[int]] = {}
    for label in labels:
        for depth in range(len(label) + 1):
            token = label[depth] if depth < len(label) else _END
            following.setdefault(label[:depth], set()).add(token)
    several = [each for each, tokens in following.items() if len(tokens) > 1]
    forks: list[_Fork] = []
    place = 0
    for each in sorted(several, key=lambda beginning: (len(beginning), beginning)):
        options = tuple(sorted(following[each]))
        forks.append(_Fork(each, options, place, _steps_of(each, forks)))
        place += len(options)
    return forks


def _steps_of(label: Tokens, forks: Sequence[_Fork]) -> tuple[int, ...]:
    """Return the options that a label, or a beginning, takes on its way, by their places."""
    steps = []
    for fork in forks:
        depth = len(fork.beginning)
        if label[:depth] == fork.beginning:
            token = label[depth] if depth < len(label) else _END
            steps.append(fork.place + fork.options.index(token))
    return tuple(steps)

"""The child that tells labels: texts become trees of tokens, trees become labels' logarithms.

The trees of a question go to whatever lane is free, and the next question's trees follow at once,
so that no core waits for the last row of a question.
"""

import os
import queue
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import psutil
from numpy.typing import NDArray

from puna.node.engine.label_words import LabelWords, Logarithms, Places
from puna.node.engine.lane import Lane, LaneBroke
from puna.node.engine.row_tree import RowTree, Tokens, grow, shared, stretches
from puna.node.engine.vocabulary import SAMPLES, Vocabulary
from puna.world import RealWorld

Reply = Callable[[Mapping[str, object]], None]
_GLIMPSE_NODES = 32
_SAMPLE_NODES = 384
_SAMPLE_LENGTH = 4
_QUICK_S = 0.4
_TICK_S = 0.01
_LEAST_S = 1e-6


class CannotTell(RuntimeError):
    """The question is none for this model; the text says why."""


@dataclass(frozen=True, slots=True)
class Task:
    """The words around all texts, the labels, and what one tree may hold."""

    prefix: str
    suffix: str
    labels: Sequence[str]
    blank: str
    context: int
    nodes: int
    rows: int
    """The most rows of one tree; 0 where there is no such limit."""

    @classmethod
    def of(cls, words: Mapping[str, object]) -> "Task":
        """Read a task from what the parent sent."""
        names = cls.__match_args__
        return cls(**{name: words[name] for name in names})  # type: ignore[arg-type]


@dataclass(slots=True)
class _Question:
    """Texts that are being computed, and what is known of each different one so far."""

    rows: Sequence[Tokens | None]
    refusals: Mapping[int, str]
    reply: Reply
    distinct: Sequence[Tokens]
    shares: Logarithms
    seen: Places
    paths: Mapping[Tokens, tuple[int, int]] = field(default_factory=dict)
    """The rows of this round with what stands before a fork: which row, and which fork."""
    parts: Sequence[Sequence[Tokens]] = ()
    logits: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    computed: int = 0


class LabelWork:
    """One question's words, and the lanes that compute its texts."""

    def __init__(self, task: Task, vocabulary: Vocabulary, lanes: Sequence[Lane]) -> None:
        self._task = task
        self._vocabulary = vocabulary
        self._lanes = lanes
        self._words = self._make_words()
        self._longest = max(map(len, self._words.beginnings))
        self._cut = vocabulary.cut(task.prefix, task.suffix)
        self._trunk = self._make_trunk()
        if len(self._trunk) >= task.context:
            raise CannotTell(
                f"the words before every text are {len(self._trunk)} tokens, and the context has "
                f"room for {task.context}"
            )
        # Only llama.cpp has a limit for one tree, and one for all that it remembers.
        self._most = min(task.nodes, task.context - len(self._trunk)) if task.rows else task.context
        self._nodes = min(task.nodes, self._most)
        with ThreadPoolExecutor(len(lanes)) as pool:
            list(pool.map(lambda lane: lane.begin(self._trunk, self._words.columns), lanes))
        self._trees: queue.SimpleQueue[tuple[_Question, int, RowTree]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._clock = RealWorld().elapsed

    def _make_words(self) -> LabelWords:
        task = self._task
        prompt = task.prefix + task.blank + task.suffix
        labels = [self._vocabulary.answer(prompt, label) for label in task.labels]
        if not all(labels) or len(set(labels)) < len(labels):
            raise CannotTell("some of the labels are no tokens of their own in this model")
        return LabelWords(labels, self._vocabulary.ends)

    def _make_trunk(self) -> Tokens:
        prefix = self._task.prefix
        if self._cut:
            return self._vocabulary.tokens(prefix[: self._cut], special=True)
        wholes = [self._whole(sample) for sample in SAMPLES]
        return wholes[0][: min(shared(wholes[0], each) for each in wholes)]

    def _whole(self, text: str) -> Tokens:
        return self._vocabulary.tokens(self._task.prefix + text + self._task.suffix, special=True)

    def start(self) -> None:
        """Begin to compute what is asked, a thread for each lane."""
        for lane in self._lanes:
            threading.Thread(target=self._serve, args=(lane,), daemon=True).start()

    def ask(self, texts: Sequence[str], reply: Reply) -> None:
        """Have texts computed; `reply` is called with the answer, from another thread."""
        rows: list[Tokens | None] = []
        refusals: dict[int, str] = {}
        for place, text in enumerate(texts):
            row = self._row(text)
            rows.append(row if isinstance(row, tuple) else None)
            if isinstance(row, str):
                refusals[place] = row
        distinct = sorted({row for row in rows if row})
        shares = self._words.unknown(len(distinct))
        seen = np.zeros((len(distinct), len(self._words.beginnings)), bool)
        question = _Question(rows, refusals, reply, distinct, shares, seen)
        self._look_at(question, self._words.first(len(distinct)))

    def _look_at(self, question: _Question, wanted: Places) -> None:
        """Have rows computed up to the forks that are wanted, or answer if there are none."""
        beginnings = self._words.beginnings
        question.seen |= wanted
        question.paths = {
            question.distinct[row] + beginnings[fork]: (int(row), int(fork))
            for row, fork in np.argwhere(wanted)
        }
        for_many = not self._task.rows
        question.parts = tuple(
            stretches(
                sorted(question.paths), self._nodes, most_rows=self._task.rows, for_many=for_many
            )
        )
        question.logits = {}
        trees = [grow(part) for part in question.parts]
        question.computed += sum(map(len, trees))
        for number, tree in enumerate(trees):
            self._trees.put((question, number, tree))
        if not trees:
            self._answer(question)

    def _row(self, text: str) -> Tokens | str:
        """Return a text's tokens behind the trunk, or why it is refused."""
        if self._cut:
            row = self._vocabulary.tokens(self._task.prefix[self._cut :] + text + self._task.suffix)
        else:
            whole = self._whole(text)
            row = whole[len(self._trunk) :]
            if whole[: len(self._trunk)] != self._trunk or not row:
                return "it changes how the words before it fall into tokens"
        count = len(self._trunk) + len(row) + self._longest
        if count > self._task.context or len(row) + self._longest > self._most:
            return f"it has {count} tokens with its prompt, and {self._task.context} have room"
        return row

    def _serve(self, lane: Lane) -> None:
        while True:
            question, number, tree = self._trees.get()
            try:
                logits = lane.logits(tree)
            except LaneBroke as error:
                give_up(error)
            with self._lock:
                question.logits[number] = logits
                is_done = len(question.logits) == len(question.parts)
            if is_done:
                self._learn(question)

    def _learn(self, question: _Question) -> None:
        """Write down what a round has found, and go on to the next."""
        found: dict[int, list[tuple[int, NDArray[np.float32]]]] = {}
        for number, part in enumerate(question.parts):
            for path, logits in zip(part, question.logits[number], strict=True):
                row, fork = question.paths[path]
                found.setdefault(fork, []).append((row, logits))
        for fork, some in found.items():
            rows, logits = zip(*some, strict=True)
            self._words.learn(question.shares, fork, rows, np.stack(logits))
        self._look_at(question, self._words.next(question.shares, question.seen))

    def _answer(self, question: _Question) -> None:
        answers = self._words.logprobs(question.shares)
        number_of = {row: number for number, row in enumerate(question.distinct)}
        table = np.full((len(question.rows), len(self._task.labels)), np.nan, np.float32)
        for number, row in enumerate(question.rows):
            if row:
                table[number] = answers[number_of[row]]
        question.reply(
            {
                "logprobs": b64encode(table.tobytes()).decode(),
                "refusals": {str(place): why for place, why in question.refusals.items()},
                "tokens": sum(len(self._trunk) + len(row) for row in question.rows if row),
                "computed": question.computed,
            }
        )

    def pace(self, threads: int) -> float:
        """Return how many nodes a second `threads` processors compute, by trying it out.

        Their own time counts, not the clock's: what other programs take would decide by chance.
        Only a card (0 threads) is timed by the clock, since processors wait for it.
        """
        rate = 0.0
        for nodes in (_GLIMPSE_NODES, _SAMPLE_NODES):
            tree = self._sample(nodes)
            start, busy = self._clock(), _processor_seconds()
            with ThreadPoolExecutor(len(self._lanes)) as pool:
                list(pool.map(lambda lane, tree=tree: lane.logits(tree), self._lanes))
            seconds, busy = (self._clock() - start) / 1e9, _processor_seconds() - busy
            spent = max(busy, _TICK_S) / threads if threads else seconds
            rate = len(self._lanes) * len(tree) / max(spent, _LEAST_S)
            if seconds > _QUICK_S:
                break
        return rate

    def _sample(self, nodes: int) -> RowTree:
        """Return a tree of short rows, out of the tokens of the words themselves."""
        tokens = self._trunk + self._vocabulary.tokens(self._task.prefix + " ".join(SAMPLES))
        rows = {
            tokens[(start * step) % len(tokens) :][:_SAMPLE_LENGTH]
            for step in (1, 3, 7)
            for start in range(nodes // _SAMPLE_LENGTH)
        }
        most = self._task.rows or nodes
        return grow(sorted(row for row in rows if row)[: min(most, nodes // _SAMPLE_LENGTH)])


def _processor_seconds() -> float:
    """Return how long this process and those that it started have computed so far."""
    own = psutil.Process()
    times = [each.cpu_times() for each in (own, *own.children())]
    return sum(each.user + each.system for each in times)


def give_up(error: LaneBroke) -> None:
    """End the process: without a lane some rows would never be answered."""
    sys.stderr.write(f"LaneError: {error}\n")
    sys.stderr.flush()
    os._exit(1)

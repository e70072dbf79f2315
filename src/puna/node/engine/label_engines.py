"""Labels by a child of their own: puna's float path, or llama.cpp's kernels through its C API."""

import asyncio
from array import array
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

from puna.chat.messages import Json
from puna.models.fit_offload import CardShare
from puna.node.engine.child import Child, Report
from puna.node.engine.engine import EngineDied, LoadFailed
from puna.node.engine.label_question import (
    Choice,
    ComputePath,
    LabelQuestion,
    LabelScores,
)
from puna.node.engine.parameters import offload_parameters
from puna.units import Size

KERNEL_ROWS = 255
"""llama.cpp has 256 sequences, and one is the prefix."""
KERNEL_NODES = 2048
_KERNEL_STEP = 512
FLOAT_NODES = 768
"""Where products are fast and what lies between them stays in the cache."""
_PIECE = 4096
_ANSWER_BYTES = 2**23
_QUESTION_LENGTH = 2**20
_LAST_WORDS_S = 2.0


class UnknownBuild(LoadFailed):
    """This build of llama.cpp has other layouts than those that are known."""

    code = "unknown_build"


@dataclass(frozen=True, slots=True)
class LabelLoad:
    """What is loaded to tell labels."""

    weights: Path
    question: LabelQuestion
    context: int
    threads: int
    memory: Size
    """The most that it may take."""
    shares: tuple[CardShare, ...] = ()
    """What is on which card, for the path that uses cards."""
    layers: int = 0
    library: str = ""
    """Another llama.cpp than the one that puna comes with."""

    def to_words(self, path: ComputePath) -> Mapping[str, Json]:
        """Return what the child is told."""
        is_float = path is ComputePath.FLOAT
        is_on_card = path is ComputePath.CARD
        question = self.question
        return {
            "way": "float" if is_float else "kernels",
            "by_clock": is_on_card,
            "library": self.library,
            "path": str(self.weights),
            "threads": self.threads,
            **offload_parameters(self.shares if is_on_card else (), self.layers),
            "context": self.context,
            "batch": min(KERNEL_NODES, self.context),
            "step": _KERNEL_STEP,
            "rows": KERNEL_ROWS,
            "cache_type": "f16",
            "flash_attention": -1,
            "task": {
                "prefix": question.prefix,
                "suffix": question.suffix,
                "labels": question.labels,
                "blank": question.blank,
                "context": self.context,
                "nodes": FLOAT_NODES if is_float else min(KERNEL_NODES, self.context),
                "rows": 0 if is_float else KERNEL_ROWS,
            },
        }


class ChildScorer:
    """One question in one child. Satisfies `LabelScorer`."""

    def __init__(self, child: Child, labels: int, choice: Choice) -> None:
        self._child = child
        self._labels = labels
        self.choice = choice
        self.baseline: tuple[float, ...] = ()

    @classmethod
    async def load(cls, load: LabelLoad, path: ComputePath) -> Self:
        """Start a child. Raises `LoadFailed`, or `UnknownBuild` where another path may do."""
        try:
            child = await Child.start({"labels": load.to_words(path)}, at_end=_nothing)
        except OSError as error:
            raise LoadFailed(f"the engine's process does not start: {error}") from error
        try:
            report = await child.ready()
            if "ready" not in report:
                await _fail(child, report, load.weights)
            scorer = cls(child, len(load.question.labels), Choice(path, "", str(report["build"])))
            scorer.baseline = (await scorer.score([load.question.blank])).rows[0] or ()
        except BaseException:
            await child.stop()
            raise
        return scorer

    @property
    def pid(self) -> int:
        """The number of the child process."""
        return self._child.pid

    async def pace(self) -> float:
        """Return how many tokens it computes in a second of what computes, by a trial."""
        return float(cast("float", (await self._ask({"pace": True}))["pace"]))

    async def score(self, texts: Sequence[str]) -> LabelScores:
        """Score many texts; equal ones are computed once. Calls may run side by side."""
        distinct = sorted(set(texts))
        pieces = list(_pieces(distinct, self._labels))
        answers = await asyncio.gather(*(self._ask({"texts": piece}) for piece in pieces))
        found: dict[str, tuple[float, ...] | None] = {}
        refused: dict[str, str] = {}
        for piece, answer in zip(pieces, answers, strict=True):
            refusals = cast("Mapping[str, str]", answer["refusals"])
            refused |= {piece[int(place)]: why for place, why in refusals.items()}
            found |= zip(piece, _rows(str(answer["logprobs"]), self._labels), strict=True)
        return LabelScores(
            tuple(None if text in refused else found[text] for text in texts),
            sum(cast("int", answer["tokens"]) for answer in answers),
            sum(cast("int", answer["computed"]) for answer in answers),
            {place: refused[text] for place, text in enumerate(texts) if text in refused},
        )

    async def stop(self) -> None:
        """End the process and what it started. Calling it again does nothing."""
        await self._child.stop()

    async def _ask(self, words: Mapping[str, Json]) -> Report:
        answer = {} if self._child.has_ended else await self._child.ask(words)
        if not answer:
            await self._child.ended()
            raise EngineDied(self._child.epitaph)
        return answer


def _pieces(texts: Sequence[str], labels: int) -> Iterator[list[str]]:
    """Cut texts so that neither what is asked nor the answer becomes too long a line."""
    most = max(1, min(_PIECE, _ANSWER_BYTES // (8 * labels)))
    piece: list[str] = []
    length = 0
    for text in texts:
        if piece and (len(piece) == most or length + len(text) > _QUESTION_LENGTH):
            yield piece
            piece, length = [], 0
        piece.append(text)
        length += len(text)
    if piece:
        yield piece


def _rows(text: str, width: int) -> list[tuple[float, ...]]:
    numbers = array("f")
    numbers.frombytes(b64decode(text))
    return [tuple(numbers[start : start + width]) for start in range(0, len(numbers), width)]


async def _fail(child: Child, report: Report, weights: Path) -> None:
    await child.ended(within_s=_LAST_WORDS_S)
    reason = str(report.get("failed") or child.epitaph)
    kind = UnknownBuild if report.get("kind") == "WrongBuild" else LoadFailed
    raise kind(f"{weights.name} could not be loaded to tell labels: {reason}")


def _nothing() -> None:
    pass

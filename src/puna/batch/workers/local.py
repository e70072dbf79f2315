"""This machine as a worker: labels by a scorer of its own, everything else by the node here.

The scorer is a child of this process and needs no node. Rows of one shard are always asked in the
same order and the same company, so that an interrupted job gives the same bytes.
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from puna.batch.shards import Shard
from puna.batch.spec import LabelTask, Spec
from puna.batch.wording import NOTHING, questions, scores_of, without_bias, wording_of
from puna.batch.workers.worker import Answer, Identity, Refused, Scored, Spent, WorkerGone
from puna.errors import Invalid
from puna.node.engine.engine import EngineDied
from puna.node.engine.labels import ComputePath, LabelQuestion, LabelScorer, open_scorer
from puna.version import __version__
from puna.world import World

HERE = "this machine"


@dataclass(frozen=True, slots=True)
class Weights:
    """The file of a model on this machine, and its digest."""

    path: Path
    digest: str


class ScoringWorker:
    """Answers label tasks by a scorer that it owns."""

    def __init__(self, weights: Weights, world: World, threads: int | None = None) -> None:
        self._weights, self._world, self._threads = weights, world, threads
        self._open: AsyncExitStack | None = None
        self._scorer: LabelScorer | None = None
        self._task: LabelTask | None = None
        self._bias: tuple[float, ...] = ()
        self.spent = Spent()
        """The tokens of all rows that it answered."""

    @property
    def name(self) -> str:
        """This machine."""
        return HERE

    @property
    def places(self) -> int:
        """One shard is computed, the next one waits ready, so that nothing stands idle."""
        return 2

    async def prepare(self, spec: Spec) -> Identity:
        """Load the model. Raises `WorkerGone` if its process ends meanwhile."""
        await self.close()
        if not isinstance(spec.task, LabelTask):
            raise Invalid("a scorer answers label tasks alone")
        words = wording_of(spec.task)
        question = LabelQuestion(
            prefix=words.prefix, labels=words.answers, suffix=words.suffix, blank=NOTHING
        )
        path = ComputePath(spec.path) if spec.path else None
        opened = AsyncExitStack()
        try:
            scorer = await opened.enter_async_context(
                open_scorer(
                    self._weights.path, question, self._world, threads=self._threads, path=path
                )
            )
            self._open, self._scorer, self._task = opened, scorer, spec.task
            self._bias = await self._find_bias(spec.task)
        except EngineDied as error:
            await self.close()
            raise WorkerGone(error.message) from error
        choice = scorer.choice
        engine = f"puna {__version__}"
        return Identity(self._weights.digest, engine, choice.path.value, choice.why)

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        """Score the rows of a shard, all at once: the scorer cuts them, always in the same way."""
        return await self._score(shard.texts)

    async def close(self) -> None:
        """End the scorer."""
        opened, self._open, self._scorer = self._open, None, None
        if opened:
            await opened.aclose()

    async def _find_bias(self, task: LabelTask) -> tuple[float, ...]:
        if not task.calibrate:
            return ()
        found = (await self._score((NOTHING,)))[0]
        return found.scores if isinstance(found, Scored) else ()

    async def _score(self, texts: Sequence[str]) -> list[Answer]:
        scorer, task = self._scorer, self._task
        if scorer is None or task is None:
            raise WorkerGone("the scorer has ended")
        asked = [questions(task, text) for text in texts]
        try:
            found = await scorer.score([each for some in asked for each in some])
        except EngineDied as error:
            raise WorkerGone(error.message) from error
        self.spent += Spent(found.tokens, found.computed)
        width = len(asked[0])
        return [
            answer_of(
                task, found.rows[place : place + width], found.refusals.get(place, ""), self._bias
            )
            for place in range(0, len(found.rows), width)
        ]


def answer_of(
    task: LabelTask,
    rows: Sequence[Sequence[float] | None],
    refusal: str,
    bias: Sequence[float],
) -> Answer:
    """Return a row's answer from what was found for its questions."""
    found = [row for row in rows if row is not None]
    if len(found) < len(rows):
        return Refused(refusal or "it could not be scored")
    scores = scores_of(task, found)
    return Scored(without_bias(scores, bias) if bias else scores)


StartNode = Callable[[], str]
"""Makes sure that a node runs and returns its address. Blocks."""

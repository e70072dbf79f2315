"""What a machine of a cluster computes with: its own scorer, or a node inside the same process.

It runs where Ray puts it and reads that machine's settings and models. Answers travel as values;
so do errors, since an exception of ours would not survive the way.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from puna.batch.shards import Shard
from puna.batch.spec import LabelTask, Spec
from puna.batch.workers.local import ScoringWorker, Weights
from puna.batch.workers.node import NodeWorker
from puna.batch.workers.worker import Answer, Identity, Worker, WorkerGone
from puna.errors import PunaError
from puna.library.library import open_library
from puna.models.name import ModelName
from puna.node.api.server import serving
from puna.settings import NodeSettings, load_settings
from puna.world import RealWorld


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error on its way from one machine to another."""

    message: str
    hint: str
    code: str
    passes: bool
    """Whether it is `WorkerGone`: for another machine, or for later."""

    @classmethod
    def of(cls, error: PunaError) -> "Trouble":
        """Return what is to be told of an error."""
        return cls(error.message, error.hint, error.code, isinstance(error, WorkerGone))


class Site:
    """One machine's part in a job. Holds the model as long as it lives."""

    def __init__(self) -> None:
        self._open = AsyncExitStack()
        self._worker: Worker | None = None

    async def prepare(self, spec: Spec) -> Identity | Trouble:
        """Load the model."""
        try:
            await self.close()
            self._worker = await self._worker_for(spec, load_settings().node)
            return await self._worker.prepare(spec)
        except PunaError as error:
            return Trouble.of(error)

    async def compute(self, shard: Shard) -> Sequence[Answer] | Trouble:
        """Answer the rows of a shard."""
        try:
            if self._worker is None:
                raise WorkerGone("the machine is not ready")
            return await self._worker.compute(shard)
        except PunaError as error:
            return Trouble.of(error)

    async def close(self) -> None:
        """Let go of the model."""
        worker, self._worker = self._worker, None
        if worker:
            await worker.close()
        await self._open.aclose()

    async def _worker_for(self, spec: Spec, settings: NodeSettings) -> Worker:
        """Return what computes here: for labels a scorer of its own, else a node of its own."""
        world = RealWorld()
        if isinstance(spec.task, LabelTask) and settings.engine != "scripted":
            library = open_library(settings, world)
            model = library.find(ModelName.parse(spec.model), typed=spec.model)
            library.store.check(model.weights)  # a flipped bit gives other labels, and no error
            weights = Weights(model.weights, model.digest.hex)
            return ScoringWorker(weights, world, settings.threads or None)
        url = await self._open.enter_async_context(serving(settings, world))
        return NodeWorker(lambda: url, headers={})

"""What tests of jobs share: small inputs, and workers that answer from the text alone."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from zlib import crc32

from puna.batch.checkpoint import Checkpoint
from puna.batch.events import Event
from puna.batch.job import Job
from puna.batch.jobs import Jobs
from puna.batch.manifest import Order
from puna.batch.reading import Reading
from puna.batch.shards import Shard
from puna.batch.spec import (
    EmbedTask,
    Label,
    LabelTask,
    PromptTask,
    SchemaTask,
    Spec,
    Task,
)
from puna.batch.workers.worker import (
    Answer,
    Identity,
    Refused,
    Scored,
    Vector,
    Worker,
    WorkerGone,
    Written,
)
from puna.world import RealWorld, World

ANIMAL_OR_PLANT = LabelTask(labels=(Label("animal"), Label("plant"), Label("thing")))
IDENTITY = Identity("0" * 64, "test 1", "float", "it is a test")


def a_spec(**changes: object) -> Spec:
    values: dict[str, object] = {"model": "m", "task": ANIMAL_OR_PLANT, **changes}
    return Spec(**values)  # type: ignore[arg-type]


def answer(task: Task, text: str) -> Answer:
    """An answer that depends on the text and the task alone."""
    number = crc32(text.encode())
    if text.startswith("refuse"):
        return Refused("it is not answered")
    match task:
        case LabelTask():
            return Scored(tuple(-float((number >> n) % 7) for n in range(len(task.labels))))
        case EmbedTask():
            return Vector((1.0, number % 100 / 100))
        case SchemaTask():
            return Written(json.dumps({"n": number, "word": text}), "stop", 3, 4)
        case PromptTask():
            return Written(f"you said {text}", "stop", 3, 4)


class EchoWorker:
    """Answers everything by itself, and remembers which rows it was asked."""

    def __init__(
        self, name: str = "echo", *, places: int = 1, identity: Identity = IDENTITY
    ) -> None:
        self.name, self.places = name, places
        self.identity = identity
        self.asked: list[Shard] = []
        self.specs: list[Spec] = []
        self.is_closed = False

    async def prepare(self, spec: Spec) -> Identity:
        self.specs.append(spec)
        return self.identity

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        self.asked.append(shard)
        await asyncio.sleep(0)
        return [answer(self.specs[-1].task, text) for text in shard.texts]

    async def close(self) -> None:
        self.is_closed = True

    @property
    def rows(self) -> list[str]:
        """Every row that it was asked, as often as it was."""
        return [text for shard in self.asked for text in shard.texts]


class FickleWorker(EchoWorker):
    """Vanishes when `fails` says so, which gets the shard and how many came before it."""

    def __init__(self, fails: Callable[[Shard, int], bool], name: str = "fickle") -> None:
        super().__init__(name)
        self._fails = fails

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        if self._fails(shard, len(self.asked)):
            self.asked.append(shard)
            raise WorkerGone("it fell over", retry_after_s=0)
        return await super().compute(shard)


def write_csv(path: Path, texts: Sequence[str], column: str = "text") -> Path:
    lines = [f"id,{column}", *(f'{n},"{text}"' for n, text in enumerate(texts))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def an_order(source: Path, output: Path, **changes: object) -> Order:
    reading = changes.pop("reading", Reading())
    assert isinstance(reading, Reading)
    return Order(
        inputs=(str(source),),
        output=str(output),
        spec=a_spec(**changes),
        reading=reading,
    )


def folder_of(order: Order, home: Path) -> Checkpoint:
    return Jobs(home).checkpoint(Path(order.output))


async def run(
    order: Order,
    *workers: Worker,
    home: Path,
    anew: bool = False,
    world: World | None = None,
) -> list[Event]:
    """Run a job to its end and return what happened."""
    return [event async for event in following(order, *workers, home=home, anew=anew, world=world)]


async def following(
    order: Order,
    *workers: Worker,
    home: Path,
    anew: bool = False,
    world: World | None = None,
) -> AsyncGenerator[Event]:
    checkpoint = folder_of(order, home)
    with checkpoint.lock():
        job = Job(checkpoint, order, world or RealWorld())
        async with aclosing(job.run(workers or (EchoWorker(),), anew=anew)) as events:
            async for event in events:
                yield event


def records(path: Path) -> list[Mapping[str, object]]:
    """The rows of a file of JSON Lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

"""A job on a Ray cluster of two machines, one of which is killed in the middle: what it costs.

Each case is run twice over the same rows: undisturbed, and with SIGKILL for the second machine's
raylet and all its processes once some shards are done. Prints for each how many rows were lost,
doubled and computed again, how many were in flight on that machine, and whether the bytes are the
same. Labels are SmolLM2's, by a scorer on each machine; prompts go to the scripted engine.
`python bench/ray_loss.py` (a minute and a half, and `puna[ray]`)
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from ray.cluster_utils import Cluster

from puna.batch.job import Job
from puna.batch.jobs import Jobs
from puna.batch.manifest import Order
from puna.batch.shards import Shard
from puna.batch.spec import Label, LabelTask, PromptTask, Spec, Task
from puna.batch.workers.ray import RayWorker
from puna.batch.workers.worker import Answer
from puna.world import RealWorld

_KILL_AT = 0.3
LABELS = LabelTask(labels=(Label("food"), Label("furniture"), Label("other")))
CASES: dict[str, tuple[str, Task, int]] = {
    "prompts, scripted": ("scripted", PromptTask(), 2000),
    "labels, SmolLM2": ("", LABELS, 2000),
}
"""Each with its engine and its rows."""


@dataclass
class Loss:
    """What came of one job."""

    asked: Counter[int] = field(default_factory=Counter)
    """How often each shard was given to a machine."""
    in_flight: set[int] = field(default_factory=set)
    machines: list[int] = field(default_factory=list)
    seconds: float = 0.0


class Watched(RayWorker):
    """A cluster whose driver counts what it asks."""

    def __init__(self, address: str, loss: Loss) -> None:
        super().__init__(RealWorld(), address=address)
        self._loss = loss
        self.going: dict[int, int] = {}

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        """Note the shard as long as it is under way."""
        self.going[shard.number] = len(shard.texts)
        try:
            return await super().compute(shard)
        finally:
            del self.going[shard.number]

    async def _ask(self, hand: object, shard: Shard) -> object:  # type: ignore[override]
        self._loss.asked[shard.number] += len(shard.texts)
        return await super()._ask(hand, shard)  # type: ignore[arg-type]


def killed(raylet: int) -> None:
    """End a raylet and everything that it started, at once."""
    one = psutil.Process(raylet)
    for each in [one, *one.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.send_signal(signal.SIGKILL)


async def run(cluster: Cluster, folder: Path, task: Task, output: str, raylet: int | None) -> Loss:
    """Run a job; once a share is done, end a raylet."""
    loss = Loss()
    worker = Watched(cluster.address, loss)
    spec = Spec(model="smollm2", task=task, column="text")
    order = Order(inputs=(str(folder / "in.csv"),), output=str(folder / output), spec=spec)
    checkpoint = Jobs(folder).checkpoint(folder / output)
    begun = time.perf_counter()
    with checkpoint.lock():
        async with aclosing(Job(checkpoint, order, RealWorld()).run([worker], anew=False)) as told:
            async for event in told:
                share = getattr(event, "done", 0) / max(1, getattr(event, "rows", 1))
                if raylet and share >= _KILL_AT and not loss.machines:
                    loss.machines.append(len(worker.machines))
                    loss.in_flight |= set(worker.going)
                    killed(raylet)
    loss.machines.append(len(worker.machines))
    loss.seconds = time.perf_counter() - begun
    await worker.close()
    return loss


def raylet_of(cluster: Cluster) -> int:
    """Add a machine and return the process that is it."""
    node = cluster.add_node(num_cpus=1)
    return int(node.all_processes["raylet"][0].process.pid)


async def measure(engine: str, task: Task, count: int) -> dict[str, object]:
    """Run a case undisturbed and disturbed, and compare."""
    os.environ["PUNA_ENGINE"] = engine
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = "".join(f"{n},count to {n % 997} {n}\n" for n in range(count))
        (folder / "in.csv").write_text(f"id,text\n{rows}")
        os.environ["PUNA_HOME"] = str(folder / "site")
        head = {"num_cpus": 1, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            raylet = raylet_of(cluster)
            whole = await run(cluster, folder, task, "whole.jsonl", None)
            loss = await run(cluster, folder, task, "out.jsonl", raylet)
        finally:
            cluster.shutdown()  # type: ignore[no-untyped-call]
        wanted, found = ((folder / each).read_bytes() for each in ("whole.jsonl", "out.jsonl"))
        ids = Counter(json.loads(line)["id"] for line in found.splitlines())
    sizes = dict(whole.asked)
    return {
        "rows": count,
        "machines": loss.machines,
        "lost": count - len(ids),
        "doubled": sum(count - 1 for count in ids.values()),
        "computed again": sum(loss.asked[shard] - sizes[shard] for shard in sizes),
        "in flight": sum(sizes[shard] for shard in loss.in_flight),
        "same bytes": wanted == found,
        "seconds": (round(whole.seconds, 1), round(loss.seconds, 1)),
    }


def main() -> int:
    good = True
    for name, case in CASES.items():
        found = asyncio.run(measure(*case))
        print(f"{name:20}", found, flush=True)
        is_kept = found["same bytes"] and not found["lost"] and not found["doubled"]
        good &= bool(is_kept) and int(str(found["computed again"])) <= int(str(found["in flight"]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""A job on a Ray cluster of two machines, one of which is lost in the middle.

A cluster takes half a minute to start: `PUNA_TEST_RAY=1` runs it.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from puna.batch.job import Job
from puna.batch.spec import PromptTask
from puna.batch.workers.ray import RayWorker
from puna.world import RealWorld
from tests.batch.stage import an_order, folder_of, records, write_csv

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(
        not os.environ.get("PUNA_TEST_RAY"), reason="PUNA_TEST_RAY=1 starts a cluster"
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
ROWS = 640


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Cluster"]:
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - two seconds, and an extra

    monkeypatch.setenv("PUNA_ENGINE", "scripted")
    monkeypatch.setenv("PUNA_HOME", str(tmp_path / "site"))
    one = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield one
    one.shutdown()  # type: ignore[no-untyped-call]


async def test_a_machine_that_is_lost_costs_only_its_shards_in_flight(
    tmp_path: Path, cluster: "Cluster"
) -> None:
    second = cluster.add_node(num_cpus=1)
    source = write_csv(tmp_path / "in.csv", [f"count to {60 + n}" for n in range(ROWS)])
    order = an_order(source, tmp_path / "out.jsonl", model="smollm2", task=PromptTask())
    checkpoint = folder_of(order, tmp_path)
    worker = RayWorker(RealWorld(), address=cluster.address)
    machines: list[int] = []
    with checkpoint.lock():
        async with aclosing(Job(checkpoint, order, RealWorld()).run([worker], anew=False)) as told:
            async for event in told:
                done = getattr(event, "done", 0)
                if done and not machines:
                    machines.append(len(worker.machines))
                    await asyncio.to_thread(cluster.remove_node, second, allow_graceful=False)
    machines.append(len(worker.machines))
    await worker.close()
    texts = [each["text"] for each in records(tmp_path / "out.jsonl")]
    timeline = (checkpoint.folder / "timeline.jsonl").read_text().splitlines()
    shards = [json.loads(line)["shard"] for line in timeline]
    assert texts == [f"count to {60 + n}" for n in range(ROWS)]
    assert sorted(shards) == list(range(ROWS // 16))
    assert machines == [2, 1]

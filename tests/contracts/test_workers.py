"""What every worker keeps, wherever it computes: this machine, an endpoint, a cluster.

Ray takes half a minute to start a cluster: `PUNA_TEST_RAY=1` has it checked too.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from puna.batch.shards import Shard
from puna.batch.spec import EmbedTask, Label, LabelTask, PromptTask, SchemaTask, Spec, Task
from puna.batch.workers.address import read_endpoint
from puna.batch.workers.endpoints import EndpointWorker
from puna.batch.workers.node import NodeWorker
from puna.batch.workers.worker import Refused, Scored, Vector, Worker, WorkerGone, Written
from puna.world import RealWorld
from tests.api.stage import staged
from tests.fakes.openai_server import OpenAIServer, an_openai_server

NOBODY = "http://127.0.0.1:9"
LABELS = LabelTask(labels=(Label("animal"), Label("plant")))
SEVERAL = LabelTask(labels=(Label("red"), Label("green")), multi=True)
SCHEMA = SchemaTask(schema='{"type": "object", "properties": {"name": {"type": "string"}}}')
WITH_RAY = pytest.mark.skipif(
    not os.environ.get("PUNA_TEST_RAY"), reason="PUNA_TEST_RAY=1 checks Ray too: half a minute"
)


@dataclass(frozen=True)
class Subject:
    """A worker, the model that it has, and how busy what it asks is."""

    worker: Worker
    model: str
    under_way: Callable[[], int]

    async def ready(self, task: Task) -> Worker:
        await self.worker.prepare(Spec(model=self.model, task=task))
        return self.worker


async def _at_a_node(opened: AsyncExitStack, home: Path, kind: str) -> Subject:
    stage = await opened.enter_async_context(staged(home))
    url = f"http://127.0.0.1:{stage.port}"
    if kind == "node":
        worker: Worker = NodeWorker(lambda: url, headers={}, name="this machine")
    else:
        worker = EndpointWorker(read_endpoint(f"{url},model=tiny"), RealWorld())
    return Subject(worker, "tiny" if kind == "node" else "other", lambda: len(stage.desk.answers))


async def _at_a_foreign_one(opened: AsyncExitStack, **can: bool) -> Subject:
    server = await opened.enter_async_context(an_openai_server(OpenAIServer(**can)))  # type: ignore[arg-type]
    worker = EndpointWorker(read_endpoint(server.url), RealWorld())
    return Subject(worker, "m", lambda: server.under_way)


async def _at_a_cluster(home: Path) -> Subject:
    from puna.batch.workers.ray import RayWorker  # noqa: PLC0415 - an extra

    os.environ |= {"PUNA_HOME": str(home), "PUNA_ENGINE": "scripted"}
    return Subject(RayWorker(RealWorld()), "smollm2", lambda: 0)


KINDS = ("node", "puna endpoint", "logprobs", "schema", "words")


@pytest.fixture(params=[*KINDS, pytest.param("ray", marks=WITH_RAY)])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    async with AsyncExitStack() as opened:
        match request.param:
            case "node" | "puna endpoint":
                one = await _at_a_node(opened, tmp_path, request.param)
            case "ray":
                one = await _at_a_cluster(tmp_path)
            case way:
                can = {"has_logprobs": way == "logprobs", "has_schema": way != "words"}
                one = await _at_a_foreign_one(opened, **can)
        yield one
        await one.worker.close()


def a_shard(*texts: str, batch: int = 3, first: int = 0) -> Shard:
    return Shard(0, first, texts, batch)


TEXTS = ("a horse", "a tree", "a stone", "a horse", "")


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        (PromptTask(), Written),
        (SCHEMA, Written),
        (EmbedTask(), Vector),
        (LABELS, Scored),
        (SEVERAL, Scored),
    ],
    ids=["prompt", "schema", "embed", "labels", "several"],
)
async def test_each_row_is_answered_and_the_same_each_time(
    subject: Subject, task: Task, kind: type
) -> None:
    worker = await subject.ready(task)
    answers = await worker.compute(a_shard(*TEXTS[:4]))
    assert [type(each) for each in answers] == [kind] * 4
    assert answers[0] == answers[3]
    assert list(await worker.compute(a_shard(*TEXTS[:4]))) == list(answers)


async def test_answers_are_in_the_order_of_the_rows(subject: Subject) -> None:
    worker = await subject.ready(PromptTask())
    asked = [f"row {n}" for n in range(9)]
    answers = await worker.compute(a_shard(*asked))
    assert [each.text[-5:] for each in answers if isinstance(each, Written)] == asked


@pytest.mark.parametrize(
    "task", [PromptTask(), EmbedTask(), LABELS], ids=["prompt", "embed", "labels"]
)
async def test_a_row_that_is_too_long_is_refused_and_no_other(subject: Subject, task: Task) -> None:
    worker = await subject.ready(task)
    answers = await worker.compute(a_shard("one", "word " * 30_000, "two"))
    assert [isinstance(each, Refused) for each in answers] == [False, True, False]


async def test_an_unknown_model_ends_the_job(subject: Subject) -> None:
    worker = subject.worker
    if isinstance(worker, EndpointWorker):
        address = read_endpoint(f"{worker.address.url},model=none")
        worker = EndpointWorker(address, RealWorld())
    with pytest.raises(Exception, match="none") as caught:
        await worker.prepare(Spec(model="none", task=PromptTask()))
    await worker.close()
    assert not isinstance(caught.value, WorkerGone)


async def test_it_can_be_made_ready_again_and_closed_twice(subject: Subject) -> None:
    worker = await subject.ready(PromptTask())
    await worker.close()
    await worker.close()
    with pytest.raises(WorkerGone):
        await worker.compute(a_shard("a"))
    await subject.ready(LABELS)
    assert isinstance((await worker.compute(a_shard("a")))[0], Scored)


async def test_it_says_what_it_is(subject: Subject) -> None:
    identity = await subject.worker.prepare(Spec(model=subject.model, task=LABELS))
    assert len(identity.model_digest) in {0, 64}
    assert identity.engine
    assert subject.worker.name
    assert subject.worker.places >= 1


async def test_what_is_cancelled_is_stopped(subject: Subject) -> None:
    worker = await subject.ready(PromptTask(max_tokens=100_000))
    task = asyncio.create_task(worker.compute(a_shard(*["count to 100000"] * 4)))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait({task})
    while subject.under_way():  # noqa: ASYNC110 - the other side gives no event to wait for
        await asyncio.sleep(0.005)
    assert task.cancelled()


@pytest.mark.parametrize(
    "worker",
    [
        NodeWorker(lambda: NOBODY, headers={}),
        EndpointWorker(read_endpoint(NOBODY), RealWorld()),
        EndpointWorker(read_endpoint(f"{NOBODY}/v1"), RealWorld()),
    ],
    ids=["node", "endpoint", "openai endpoint"],
)
async def test_one_that_is_not_there_is_gone(worker: Worker) -> None:
    with pytest.raises(WorkerGone):
        await worker.prepare(Spec(model="m", task=PromptTask()))
    await worker.close()

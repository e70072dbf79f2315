"""The worker that is spared rows: whose answer stands where, and what is still asked."""

from collections.abc import Sequence

import pytest

from puna.batch.cascade import Cascade, Verdict
from puna.batch.lessons import CascadeWorker, Taught
from puna.batch.ngrams import Classifier, train
from puna.batch.outcome import Labelled, Outcome, judge, pack, unpack
from puna.batch.shards import Shard
from puna.batch.spec import Label, LabelTask
from puna.batch.workers.worker import Answer, Known, Refused, Scored
from tests.batch.stage import EchoWorker, a_spec

TASK = LabelTask(labels=(Label("animal"), Label("thing")), cascade=0.9)
ANIMALS, THINGS = ("dog", "cat", "llama", "horse"), ("chair", "table", "lamp", "shelf")
SURE = 2000
"""A margin that the classifier has where it knows a word, and not where it does not."""
LESSON = pack(Labelled(1, 0.625, 0.25))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    texts = [f"{a} {b}" for group in (ANIMALS, THINGS) for a in group for b in group]
    labels = [0 if text.split()[0] in ANIMALS else 1 for text in texts]
    return train(texts * 8, labels * 8, count=2, seed=1)


def worker_with(
    classifier: Classifier | None, *, least: float = 0.0
) -> tuple[CascadeWorker, EchoWorker]:
    margin = SURE if classifier else None
    verdict = Verdict(target=0.9, why="", margin=margin, least=least)
    inner = EchoWorker("inner", places=3)
    return CascadeWorker(inner, Taught(Cascade(classifier, verdict), {12: LESSON})), inner


async def outcomes(worker: CascadeWorker, texts: Sequence[str], first: int = 0) -> list[Outcome]:
    await worker.prepare(a_spec(task=TASK))
    answers = await worker.compute(Shard(7, first, tuple(texts), 2))
    return [judge(TASK, answer) for answer in answers]


async def test_what_the_classifier_knows_is_not_asked(classifier: Classifier) -> None:
    worker, inner = worker_with(classifier)
    found = await outcomes(worker, ["dog", "xyz", "lamp", "qqq"])
    assert inner.rows == ["xyz", "qqq"]
    known = [each for each in found if isinstance(each, Labelled) and each.is_guess]
    assert [(each.label, each.probability > 0.6) for each in known] == [(0, True), (1, True)]


async def test_answers_stand_in_the_order_of_their_rows(classifier: Classifier) -> None:
    worker, _ = worker_with(classifier)
    alone = [await outcomes(worker, [text]) for text in ("xyz", "dog", "qqq", "table")]
    together = await outcomes(worker, ["xyz", "dog", "qqq", "table"])
    assert together == [each for some in alone for each in some]


async def test_a_lesson_keeps_what_the_model_said_of_it(classifier: Classifier) -> None:
    worker, inner = worker_with(classifier)
    found = await outcomes(worker, ["one", "two", "dog"], first=11)
    assert found[1] == unpack(LESSON)
    assert inner.rows == ["one"]


async def test_what_is_left_keeps_the_batches_of_its_shard(classifier: Classifier) -> None:
    worker, inner = worker_with(classifier)
    await outcomes(worker, ["dog", "a1", "a2", "cat", "a3"], first=40)
    assert inner.asked == [Shard(7, 40, ("a1", "a2", "a3"), 2)]


async def test_nothing_is_asked_where_nothing_is_left(classifier: Classifier) -> None:
    worker, inner = worker_with(classifier)
    assert len(await outcomes(worker, ["dog", "lamp"])) == 2
    assert inner.asked == []


async def test_without_a_proof_all_rows_are_asked() -> None:
    worker, inner = worker_with(None)
    found = await outcomes(worker, ["dog", "lamp"])
    assert inner.rows == ["dog", "lamp"]
    assert not any(isinstance(each, Labelled) and each.is_guess for each in found)


async def test_below_the_least_probability_the_model_is_asked(classifier: Classifier) -> None:
    worker, inner = worker_with(classifier, least=0.9999)
    await outcomes(worker, ["dog", "lamp"])
    assert inner.rows == ["dog", "lamp"]


async def test_it_is_its_worker_in_everything_else(classifier: Classifier) -> None:
    worker, inner = worker_with(classifier)
    assert (worker.name, worker.places) == ("inner", 3)
    assert await worker.prepare(a_spec(task=TASK)) == inner.identity
    await worker.close()
    assert inner.is_closed


@pytest.mark.parametrize(
    "outcome",
    [Labelled(0, 0.5, 0.25), Labelled(1, 0.75, 0.5, is_guess=True), Refused("no")],
    ids=["a label", "a guess", "a refusal"],
)
def test_a_known_outcome_is_kept_as_it_is(outcome: Outcome) -> None:
    assert judge(TASK, Known(pack(outcome))) == outcome


def test_a_guess_is_kept_apart_from_a_label() -> None:
    label, guess = (pack(Labelled(1, 0.75, 0.5, is_guess=each)) for each in (False, True))
    assert label != guess
    assert len(label) == len(guess)


def test_scores_of_a_model_are_no_guess() -> None:
    found: Answer = Scored((0.0, -3.0))
    outcome = judge(TASK, found)
    assert isinstance(outcome, Labelled)
    assert not outcome.is_guess

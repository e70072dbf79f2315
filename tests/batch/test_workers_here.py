"""The workers of this machine: a scorer of our own, and a node."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest

from puna.batch.shards import Shard
from puna.batch.spec import EmbedTask, Label, LabelTask, PromptTask, SchemaTask, Spec
from puna.batch.workers.local import answer_of
from puna.batch.workers.node import NodeWorker, row_seed
from puna.batch.workers.worker import Answer, Identity, Refused, Scored, Vector, WorkerGone, Written
from puna.node.client import NodeRefused
from tests.batch.stage import a_spec
from tests.fakes.node import DIGEST, MODEL, Canned, FakeNode, an_error, running_node

LABELS = LabelTask(labels=(Label("a"), Label("b")))
SCORES: dict[str, object] = {"scores": [{"logprobs": [-1.0, -2.0]}]}


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with running_node() as fake:
        yield fake


@asynccontextmanager
async def prepared(node: FakeNode, spec: Spec) -> AsyncIterator[tuple[NodeWorker, Identity]]:
    url = f"http://127.0.0.1:{node.port}"
    worker = NodeWorker(lambda: url, headers={"Authorization": "Bearer k"}, name="home")
    try:
        yield worker, await worker.prepare(spec)
    finally:
        await worker.close()


async def answers(node: FakeNode, spec: Spec, *texts: str) -> Sequence[Answer]:
    async with prepared(node, spec) as (worker, _):
        return await worker.compute(Shard(0, 5, texts, 2))


def spec_of(task: object, **changes: object) -> Spec:
    return a_spec(model=MODEL, task=task, **changes)


def said(text: str, reason: str = "stop") -> Canned:
    reply = {
        "message": {"role": "assistant", "content": text},
        "done": True,
        "done_reason": reason,
        "prompt_eval_count": 3,
        "eval_count": 4,
    }
    return Canned(json.dumps(reply).encode())


async def test_a_node_says_which_model_computes(node: FakeNode) -> None:
    node.canned["/api/chat"] = said("hi")
    async with prepared(node, spec_of(PromptTask())) as (worker, identity):
        assert identity == Identity(DIGEST, "puna 0.1.0")
        assert (worker.name, worker.places) == ("home", 1)
    assert node.asked[0].headers["Authorization"] == "Bearer k"


async def test_ollama_is_a_node_too(node: FakeNode) -> None:
    node.version = {"version": "0.32.15"}
    node.canned["/api/chat"] = said("hi")
    async with prepared(node, spec_of(PromptTask())) as (_, identity):
        assert identity.engine == "ollama 0.32.15"


async def test_prompts_are_asked_one_by_one_and_never_cut(node: FakeNode) -> None:
    node.canned["/api/chat"] = said("hello", "length")
    task = PromptTask(system="be short", max_tokens=9)
    found = await answers(node, spec_of(task, context=512), "one", "two", "three")
    assert found == [Written("hello", "length", 3, 4)] * 3
    _, body, *_ = node.bodies("/api/chat")
    assert body["messages"] == [
        {"role": "system", "content": "be short"},
        {"role": "user", "content": "one"},
    ]
    assert body["options"] == {"temperature": 0.0, "num_predict": 9, "seed": 0, "num_ctx": 512}
    assert (body["truncate"], body["shift"], body["stream"]) == (False, False, False)


async def test_a_schema_goes_along(node: FakeNode) -> None:
    node.canned["/api/chat"] = said("{}")
    await answers(node, spec_of(SchemaTask(schema='{"type": "object"}')), "one")
    assert node.bodies("/api/chat")[-1]["format"] == {"type": "object"}


def test_rows_that_are_sampled_have_seeds_of_their_own() -> None:
    sampled = spec_of(PromptTask(temperature=1.0), seed=7)
    seeds = [row_seed(sampled, row) for row in range(100)]
    assert len(set(seeds)) == 100
    assert seeds == [row_seed(sampled, row) for row in range(100)]
    assert {row_seed(spec_of(PromptTask(), seed=7), row) for row in range(9)} == {7}


async def test_vectors_come_for_a_batch_at_once(node: FakeNode) -> None:
    node.vectors = {"embeddings": [[0.6, -0.8], [1.0, 0.0]]}
    found = await answers(node, spec_of(EmbedTask(dimensions=2)), "one", "two")
    assert found == [Vector((0.6, -0.8)), Vector((1.0, 0.0))]
    body = node.bodies("/api/embed")[-1]
    assert (body["input"], body["truncate"], body["dimensions"]) == (["one", "two"], False, 2)


async def test_labels_are_scored_with_the_words_around(node: FakeNode) -> None:
    node.scores = SCORES
    assert await answers(node, spec_of(LABELS), "one") == [Scored((-1.0, -2.0))]
    body = node.bodies("/api/score")[-1]
    assert (body["texts"], body["candidates"]) == (["one\nCategory:"], [" a", " b"])


async def test_a_bias_is_found_once_and_taken_off(node: FakeNode) -> None:
    node.scores = SCORES
    task = LabelTask(labels=LABELS.labels, calibrate=True)
    assert await answers(node, spec_of(task), "one") == [Scored((0.0, 0.0))]


async def test_a_row_that_the_node_refuses_is_refused_alone(node: FakeNode) -> None:
    node.vectors = {"embeddings": [[1.0]]}
    async with prepared(node, spec_of(EmbedTask())) as (worker, _):
        node.canned["/api/embed"] = an_error("the input exceeds the context length", 400)
        found = await worker.compute(Shard(0, 0, ("long", "longer"), 2))
    assert found == [Refused("the input exceeds the context length")] * 2
    assert [body["input"] for body in node.bodies("/api/embed")[1:]] == [
        ["long", "longer"],
        ["long"],
        ["longer"],
    ]


async def test_a_prompt_that_is_too_long_is_refused(node: FakeNode) -> None:
    node.canned["/api/chat"] = said("hi")
    async with prepared(node, spec_of(PromptTask())) as (worker, _):
        node.canned["/api/chat"] = an_error("the prompt is too long", 400)
        assert await worker.compute(Shard(0, 0, ("long",), 1)) == [
            Refused("the prompt is too long")
        ]


async def test_what_no_row_can_get_right_ends_the_job_at_once(node: FakeNode) -> None:
    node.canned["/api/chat"] = an_error("invalid JSON schema", 400)
    with pytest.raises(NodeRefused, match="invalid JSON schema"):
        await answers(node, spec_of(SchemaTask(schema="{}")), "one")


async def test_an_unknown_model_ends_the_job(node: FakeNode) -> None:
    with pytest.raises(NodeRefused, match="model 'nope' not found"):
        await answers(node, a_spec(model="nope", task=PromptTask()), "one")


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_busy_node_is_left_alone_for_a_while(node: FakeNode, status: int) -> None:
    node.canned["/api/chat"] = an_error("server busy", status, retry_after="7")
    with pytest.raises(WorkerGone, match="server busy") as caught:
        await answers(node, spec_of(PromptTask()), "one")
    assert caught.value.retry_after_s == 7


async def test_a_node_that_does_not_answer_is_gone(node: FakeNode) -> None:
    node.canned["/api/chat"] = said("hi")
    async with prepared(node, spec_of(PromptTask())) as (worker, _):
        await worker.close()
        with pytest.raises(WorkerGone):
            await worker.compute(Shard(0, 0, ("one",), 1))
    nowhere = NodeWorker(lambda: "http://127.0.0.1:9", headers={})
    with pytest.raises(WorkerGone, match="does not answer"):
        await nowhere.prepare(spec_of(PromptTask()))
    await nowhere.close()


def test_a_row_of_which_a_question_was_refused_is_refused() -> None:
    assert answer_of(LABELS, [None], "too long", ()) == Refused("too long")
    assert answer_of(LABELS, [(-1.0, -2.0)], "", (-1.0, 0.0)) == Scored((0.0, -2.0))

"""Endpoints: what they are asked, how hard, and what becomes of a job when they fail or differ."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from puna.batch.shards import Shard
from puna.batch.spec import EmbedTask, Label, LabelTask, PromptTask, Spec
from puna.batch.workers.address import read_endpoint
from puna.batch.workers.endpoints import SCORES, EndpointWorker, OtherWay
from puna.batch.workers.openai import NoProbabilities
from puna.batch.workers.pace import FIRST
from puna.batch.workers.replying import EndpointRefused
from puna.batch.workers.worker import Refused, Scored, WorkerGone, Written
from puna.units import Span
from puna.world import RealWorld
from tests.api.stage import staged
from tests.fakes.openai_server import OpenAIServer, an_openai_server
from tests.worlds import FakeWorld

LABELS = LabelTask(labels=(Label("animal"), Label("plant")))
PROMPTS = Spec(model="m", task=PromptTask())
Failing = tuple[int, dict[str, str]]


def a_worker(server: OpenAIServer, text: str = "", **more: object) -> EndpointWorker:
    world = more.pop("world", RealWorld())
    return EndpointWorker(read_endpoint(f"{server.url}{text}"), world, **more)  # type: ignore[arg-type]


def a_shard(count: int = 8) -> Shard:
    return Shard(0, 0, tuple(f"row {n}" for n in range(count)), count)


def failing(
    count: int, status: int, after: int = 1, **headers: str
) -> Callable[[int], Failing | None]:
    """Fail so many requests after the trial."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda number: (status, names) if after <= number < after + count else None


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - sockets give no event to wait for
        await asyncio.sleep(0.001)


async def pass_until(task: "asyncio.Task[object]", world: FakeWorld, step: Span) -> None:
    """Let time pass until a task has ended; sockets have theirs between two steps."""
    while not task.done():
        await world.advance(step)
        await asyncio.sleep(0.005)


async def test_the_key_is_sent_and_shown_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-secret\n")
    async with an_openai_server(OpenAIServer(key="sk-secret")) as server:
        worker = a_worker(server, f",key=file:{file}")
        identity = await worker.prepare(PROMPTS)
        await worker.close()
    assert "sk-secret" not in f"{worker.name} {identity} {worker.address}"


async def test_a_wrong_key_ends_the_job_with_what_to_do() -> None:
    async with an_openai_server(OpenAIServer(key="right")) as server:
        worker = a_worker(server, ",key=env:K", variable=lambda _: "sk-wrong")
        with pytest.raises(EndpointRefused, match="Incorrect API key") as caught:
            await worker.prepare(PROMPTS)
        await worker.close()
    assert "key=env:NAME" in caught.value.hint


async def test_the_model_has_its_name_there() -> None:
    async with an_openai_server(OpenAIServer(model="org/m-8b")) as server:
        worker = a_worker(server, ",model=org/m-8b")
        await worker.prepare(PROMPTS)
        await worker.compute(a_shard(2))
        await worker.close()
    assert {each["model"] for each in server.asked} == {"org/m-8b"}


async def test_the_newer_word_for_the_limit_is_learnt() -> None:
    async with an_openai_server(OpenAIServer(wants_newer_limit=True)) as server:
        worker = a_worker(server)
        await worker.prepare(PROMPTS)
        answers = await worker.compute(a_shard(2))
        await worker.close()
    assert [type(each) for each in answers] == [Written] * 2
    assert "max_tokens" not in server.asked[-1]


async def test_no_more_requests_are_under_way_than_the_window() -> None:
    async with an_openai_server() as server:
        worker = a_worker(server)
        await worker.prepare(PROMPTS)
        server.gate = asyncio.Event()
        computing = asyncio.create_task(worker.compute(a_shard(40)))
        await until(lambda: server.under_way == FIRST)
        assert worker.places == 2
        server.gate.set()
        await computing
        while worker.pace.window <= FIRST:  # on a busy machine more than one shard tells it
            await worker.compute(a_shard(40))
        await worker.close()
    assert worker.pace.window > FIRST


async def test_who_is_told_to_wait_waits_as_long_and_asks_for_half() -> None:
    async with an_openai_server(OpenAIServer(before=failing(1, 429, Retry_After="7"))) as server:
        world = FakeWorld()
        worker = a_worker(server, world=world)
        await worker.prepare(PROMPTS)
        computing = asyncio.create_task(worker.compute(a_shard(1)))
        await until(lambda: len(server.asked) == 2 and worker.pace.window == FIRST // 2)
        await world.advance(Span.of(seconds=6.9))
        assert len(server.asked) == 2
        await world.advance(Span.of(seconds=0.2))
        assert isinstance((await computing)[0], Written)
        await worker.close()


async def test_one_that_keeps_failing_is_gone() -> None:
    async with an_openai_server(OpenAIServer(before=failing(99, 503))) as server:
        world = FakeWorld()
        worker = a_worker(server, world=world)
        await worker.prepare(PROMPTS)
        computing = asyncio.create_task(worker.compute(a_shard(1)))
        await pass_until(computing, world, Span.of(seconds=1))
        with pytest.raises(WorkerGone, match="not now"):
            await computing
        await worker.close()


async def test_one_that_says_nothing_is_gone() -> None:
    async with an_openai_server() as server:
        world = FakeWorld()
        worker = a_worker(server, world=world)
        await worker.prepare(PROMPTS)
        server.gate = asyncio.Event()
        computing = asyncio.create_task(worker.compute(a_shard(1)))
        await pass_until(computing, world, Span.of(seconds=30))
        with pytest.raises(WorkerGone, match="said nothing for 120 seconds"):
            await computing
        await worker.close()


async def test_once_ready_what_refuses_is_only_away() -> None:
    async with an_openai_server() as server:
        worker = a_worker(server)
        await worker.prepare(PROMPTS)
        server.model = "another"
        for asking in (worker.compute(a_shard(2)), worker.prepare(PROMPTS)):
            with pytest.raises(WorkerGone, match="does not exist"):
                await asking
        await worker.close()


@pytest.mark.parametrize(
    ("can", "way", "words"),
    [
        ({}, "logprobs", "approximate"),
        ({"has_logprobs": False}, "schema", "no probabilities"),
        ({"has_logprobs": False, "has_schema": False}, "words", "no guarantee"),
    ],
)
async def test_labels_are_found_in_the_best_way_there_is_and_that_is_said(
    can: dict[str, bool], way: str, words: str
) -> None:
    async with an_openai_server(OpenAIServer(**can)) as server:  # type: ignore[arg-type]
        worker = a_worker(server)
        identity = await worker.prepare(Spec(model="m", task=LABELS))
        (answer,) = await worker.compute(a_shard(1))
        await worker.close()
    assert (identity.path, words in identity.reason) == (way, True)
    assert isinstance(answer, Scored)
    assert answer.scores[0] > answer.scores[1]


async def test_a_job_keeps_to_its_way() -> None:
    async with an_openai_server() as server:
        worker = a_worker(server)
        identity = await worker.prepare(Spec(model="m", task=LABELS, path="schema"))
        await worker.close()
    assert identity.path == "schema"


async def test_probabilities_that_nobody_tells_are_not_made_up() -> None:
    task = LabelTask(labels=LABELS.labels, abstain_below=0.6)
    async with an_openai_server(OpenAIServer(has_logprobs=False)) as server:
        worker = a_worker(server)
        with pytest.raises(NoProbabilities):
            await worker.prepare(Spec(model="m", task=task))
        await worker.close()


async def test_labels_of_another_kind_do_not_come_into_a_job(tmp_path: Path) -> None:
    async with an_openai_server() as foreign, staged(tmp_path) as stage:
        ours = EndpointWorker(read_endpoint(f"http://127.0.0.1:{stage.port}"), RealWorld())
        theirs = a_worker(foreign)
        for worker, path in ((theirs, "float"), (theirs, SCORES), (ours, "logprobs")):
            with pytest.raises(OtherWay, match="labels"):
                await worker.prepare(Spec(model="m", task=LABELS, path=path))
            await worker.close()
        found = await ours.prepare(Spec(model="tiny", task=LABELS, path="float"))
        await ours.close()
    assert found.path == SCORES


async def test_vectors_are_asked_for_in_batches() -> None:
    async with an_openai_server() as server:
        worker = a_worker(server)
        await worker.prepare(Spec(model="m", task=EmbedTask()))
        texts = tuple(f"row {n}" for n in range(10))
        answers = await worker.compute(Shard(0, 0, texts, 4))
        long = await worker.compute(Shard(1, 10, ("a", "b" * 3000), 4))
        await worker.close()
    assert len(answers) == 10
    assert [len(each["input"]) for each in server.asked[1:4]] == [4, 4, 2]  # type: ignore[arg-type]
    assert isinstance(long[1], Refused)

"""A pod as a worker: it starts, is displaced, stops, moves and goes, and the cloud tells which."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from puna.batch.shards import Shard
from puna.batch.spec import EmbedTask, Spec
from puna.batch.workers.pods import NamedPod, NoModelThere, PodWorker, check_displaced
from puna.batch.workers.worker import Vector, WorkerComing, WorkerGone, WorkerLost
from puna.cloud.client import PodMissing, connect
from puna.cloud.line import CloudRefused
from puna.cloud.settings import Login
from puna.cloud.values import CloudPod
from puna.errors import PunaError
from puna.net import Unreachable
from puna.node.replies import Fields
from puna.settings import read_address
from puna.units import Span
from tests.worlds import FakeWorld

SPEC = Spec(model="m", task=EmbedTask())


def a_pod(status: str = "RUNNING", url: str = "", **extras: Any) -> CloudPod:  # noqa: ANN401 - what a market tells
    urls = {"11434": url} if url else {}
    told = {"id": "p1", "name": "mine", "status": status, "puna": {"urls": urls, **extras}}
    return CloudPod.of(Fields(told))


@dataclass
class FakePlace:
    """Tells of a pod what the test says."""

    pod: CloudPod | PunaError
    login: Login
    name: str = "mine"
    woken: list[str] = field(default_factory=list)

    def look(self) -> CloudPod:
        if isinstance(self.pod, PunaError):
            raise self.pod
        return self.pod

    def wake(self, pod: CloudPod) -> None:
        self.woken.append(pod.status)
        self.pod = a_pod("STARTING")


@dataclass
class Inside:
    """What answers behind a gateway's path: a node that has its model or must fetch it."""

    url: str = ""
    has_model: bool = True
    is_there: bool = True
    pulled: list[object] = field(default_factory=lambda: [{"status": "success"}])
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    keys: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.keys.add(request.headers.get("Authorization", ""))
        path = request.path.removeprefix("/p/p1/11434")
        self.asked.append(path)
        if not self.is_there:
            return web.json_response({"code": "nothing_there"}, status=502)
        if path == "/api/pull":
            return await self._pull(request)
        if path == "/api/show":
            return web.json_response({}, status=200 if self.has_model else 404)
        replies: dict[str, object] = {
            "/api/version": {"version": "0.12.6", "puna": "1"},
            "/api/tags": {"models": [{"name": "m", "digest": "sha256:" + "0" * 64}]},
            "/api/embed": {"embeddings": [[1.0, 0.0]]},
        }
        return web.json_response(replies.get(path, {}))

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        for each in self.pulled:
            await reply.write(json.dumps(each).encode() + b"\n")
        await self.gate.wait()
        self.has_model = True
        return reply


@asynccontextmanager
async def an_inside() -> AsyncIterator[Inside]:
    inside = Inside()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", inside.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    inside.url = f"http://127.0.0.1:{runner.addresses[0][1]}/p/p1/11434/"
    try:
        yield inside
    finally:
        inside.gate.set()
        await runner.cleanup()


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    async with an_inside() as served:
        yield served


def login_of(inside: Inside, key: str = "secret") -> Login:
    return Login(read_address(inside.url.partition("/p/")[0]), key)


def a_worker(
    inside: Inside, pod: CloudPod | PunaError | None = None, world: FakeWorld | None = None
) -> PodWorker:
    place = FakePlace(pod or a_pod(url=inside.url), login_of(inside))
    return PodWorker(place, world or FakeWorld())


async def test_a_pod_that_runs_answers_behind_its_path_by_the_clouds_key(inside: Inside) -> None:
    worker = a_worker(inside)
    identity = await worker.prepare(SPEC)
    answers = await worker.compute(Shard(0, 0, ("one",), 1))
    await worker.close()
    assert (identity.model_digest, answers) == ("0" * 64, [Vector((1.0, 0.0))])
    assert inside.keys == {"Bearer secret"}
    assert (worker.name, worker.places) == ("mine", 5)


@pytest.mark.parametrize(
    ("pod", "error", "says"),
    [
        (a_pod("PROVISIONING"), WorkerComing, "it is PROVISIONING"),
        (a_pod("STARTING", progress="pulls 3 of 9"), WorkerComing, "STARTING: pulls 3 of 9"),
        (a_pod("TERMINATED"), WorkerLost, "it is terminated"),
        (PodMissing("there is no pod"), WorkerLost, "there is no pod"),
        (Unreachable("nothing answers"), WorkerGone, "nothing answers"),
        (CloudRefused("busy", reply_status=503), WorkerGone, "busy"),
    ],
    ids=["comes", "pulls", "ended", "missing", "unreachable", "busy"],
)
async def test_the_cloud_tells_where_it_stands(
    inside: Inside, pod: CloudPod | PunaError, error: type[WorkerGone], says: str
) -> None:
    worker = a_worker(inside, pod)
    with pytest.raises(error, match=says) as caught:
        await worker.prepare(SPEC)
    assert type(caught.value) is error
    assert inside.asked == []


async def test_one_that_has_stopped_is_woken(inside: Inside) -> None:
    place = FakePlace(a_pod("EXITED"), login_of(inside))
    with pytest.raises(WorkerComing, match="it is STARTING"):
        await PodWorker(place, FakeWorld()).prepare(SPEC)
    assert place.woken == ["EXITED"]


async def test_one_in_which_nothing_answers_is_waited_for_and_given_up(inside: Inside) -> None:
    inside.is_there = False
    world = FakeWorld()
    worker = a_worker(inside, world=world)
    for _ in range(2):
        with pytest.raises(WorkerComing, match="what is in it is starting"):
            await worker.prepare(SPEC)
        await world.advance(Span.of(minutes=6))
    with pytest.raises(WorkerLost, match="nothing in it has answered"):
        await worker.prepare(SPEC)


async def test_a_model_that_is_missing_is_fetched_and_the_share_is_told(inside: Inside) -> None:
    inside.has_model = False
    inside.pulled.insert(0, {"status": "pulling", "total": 100, "completed": 60})
    worker = a_worker(inside)
    with pytest.raises(WorkerComing, match=r"it fetches m: (0|50)%"):
        await worker.prepare(SPEC)
    inside.gate.set()
    await prepared(worker)
    assert await worker.compute(Shard(0, 0, ("one",), 1))
    assert inside.asked.count("/api/pull") == 1
    await worker.close()


async def prepared(worker: PodWorker) -> None:
    while True:
        try:
            await worker.prepare(SPEC)
        except WorkerComing:
            continue
        return


async def test_a_model_that_nobody_has_loses_the_pod(inside: Inside) -> None:
    inside.has_model = False
    inside.pulled[:] = [{"error": "pull model manifest: file does not exist"}]
    inside.gate.set()
    worker = a_worker(inside)
    with pytest.raises(NoModelThere, match="cannot fetch m: pull model manifest") as caught:
        await prepared(worker)
    assert caught.value.hint == "try it: puna run m --on mine"


async def test_a_fetch_ends_with_the_job(inside: Inside) -> None:
    inside.has_model = False
    worker = a_worker(inside)
    with pytest.raises(WorkerComing):
        await worker.prepare(SPEC)
    await worker.close()
    with pytest.raises(WorkerGone):
        await worker.compute(Shard(0, 0, ("one",), 1))


def stopped(**extras: Any) -> CloudPod:  # noqa: ANN401 - the same
    return a_pod("EXITED", **extras)


@pytest.mark.parametrize(
    ("pod", "error", "says"),
    [
        (stopped(reason="outbid", returns=True), WorkerComing, "displaced, and waits"),
        (stopped(reason="outbid", returns=False), WorkerGone, "mine is EXITED: outbid"),
        (stopped(), WorkerGone, "mine is EXITED"),
        (a_pod("ERROR", reason="no image"), WorkerGone, "mine is ERROR: no image"),
    ],
    ids=["displaced", "outbid", "stopped", "broken"],
)
def test_a_pod_of_the_renters_own_is_left_as_it_is(
    pod: CloudPod, error: type[WorkerGone], says: str
) -> None:
    cloud = connect("http://127.0.0.1:9", "key")
    place = NamedPod(cloud, Login(read_address("http://127.0.0.1:9"), "key"), pod)
    with pytest.raises(error, match=says) as caught:
        place.wake(pod)
    assert type(caught.value) is error


def test_what_was_stopped_by_somebody_was_not_displaced() -> None:
    check_displaced(stopped(reason="stop asked for by ada@example.org", returns=True))

"""A pod that somebody rents, as a worker: an endpoint of which the cloud tells where it stands.

A pod that starts, moves or was displaced is on its way, and its worker says so; one that is gone is
lost. What it computes with is the model of the job, which the pod fetches if it has not got it.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from yarl import URL

from puna.batch.shards import Shard
from puna.batch.spec import Spec
from puna.batch.workers.address import EndpointAddress
from puna.batch.workers.endpoints import EndpointWorker
from puna.batch.workers.worker import (
    Answer,
    Identity,
    WorkerComing,
    WorkerGone,
    WorkerLost,
)
from puna.cloud.client import CloudClient, PodMissing
from puna.cloud.line import CloudRefused, NotACloud
from puna.cloud.settings import Login
from puna.cloud.values import CloudPod
from puna.cloud.ways import RUNS, Way, is_answered, way_into
from puna.library.threads import in_thread
from puna.net import Unreachable, named_session
from puna.node.replies import Fields
from puna.text import one_line
from puna.units import Span
from puna.world import World

if TYPE_CHECKING:
    import aiohttp

_LOOK_S = 1
_AWAY_S = 10
_MOST_SILENCE = Span.of(minutes=10)
_STARTS = frozenset({"PROVISIONING", "STARTING"})
_GONE = "TERMINATED"
_DISPLACED = "outbid"
_QUARTERS = 4
_KEY = "env:KEY"


class NoModelThere(WorkerLost):
    """A pod cannot fetch the model of the job."""

    code = "no_model_there"


class Place(Protocol):
    """Where a pod is looked for: one that has a name, or one that is rented for the job."""

    name: str
    login: Login

    def look(self) -> CloudPod:
        """Return the pod as it is now. Blocks. Raises `PodMissing`, and what the cloud raises."""

    def wake(self, pod: CloudPod) -> None:
        """Do what is right with a pod that has stopped. Blocks. Raises `WorkerGone`."""


class PodWorker:
    """Computes in one pod."""

    def __init__(self, place: Place, world: World) -> None:
        self._place, self._world = place, world
        self._way: Way | None = None
        self._inner: EndpointWorker | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._share = 0
        self._silent_since: Span | None = None

    @property
    def name(self) -> str:
        """What the renter calls the pod."""
        return self._place.name

    @property
    def places(self) -> int:
        """As many shards as the endpoint in it wants."""
        return self._inner.places if self._inner else 1

    @property
    def is_settled(self) -> bool:
        """Whether the endpoint in it has found its pace."""
        return self._inner is not None and self._inner.is_settled

    async def prepare(self, spec: Spec) -> Identity:
        """Find the pod, and the model in it. Raises `WorkerComing` as long as it starts."""
        pod = await self._found()
        self._check_runs(pod)
        way = way_into(pod, self._place.login)
        await self._check_answers(way)
        await self._have_model(way, spec.model)
        return await self._endpoint(way).prepare(spec)

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        """Answer the rows of a shard."""
        if self._inner is None:
            raise WorkerGone("it is not ready")
        try:
            return await self._inner.compute(shard)
        except WorkerGone as error:  # the cloud knows when it is back
            raise WorkerGone(error.message, hint=error.hint) from error

    async def close(self) -> None:
        """Drop the connections; the pod goes on."""
        fetching, self._fetching = self._fetching, None
        if fetching:
            fetching.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await fetching
        if self._inner:
            await self._inner.close()

    async def _found(self) -> CloudPod:
        try:
            pod = await in_thread(self._place.look)
            if pod.status not in {RUNS, *_STARTS, _GONE}:
                await in_thread(self._place.wake, pod)
                return await in_thread(self._place.look)
        except PodMissing as error:
            raise WorkerLost(error.message, hint=error.hint) from error
        except (Unreachable, CloudRefused, NotACloud) as error:
            raise WorkerGone(error.message, hint=error.hint, retry_after_s=_LOOK_S) from error
        return pod

    def _check_runs(self, pod: CloudPod) -> None:
        if pod.status == RUNS:
            return
        self._silent_since = None
        if pod.status == _GONE:
            raise WorkerLost("it is terminated")
        what = pod.extras.text("progress") or pod.extras.text("reason")
        told = f": {one_line(what, 200)}" if what else ""
        raise WorkerComing(f"it is {pod.status}{told}", retry_after_s=_LOOK_S)

    async def _check_answers(self, way: Way) -> None:
        try:
            is_there = await in_thread(is_answered, way)
        except Unreachable as error:
            raise WorkerGone(error.message, retry_after_s=_LOOK_S) from error
        if is_there:
            self._silent_since = None
            return
        now = self._world.elapsed()
        self._silent_since = now if self._silent_since is None else self._silent_since
        if now - self._silent_since > _MOST_SILENCE:
            raise WorkerLost(
                f"it runs, and for {_MOST_SILENCE} nothing in it has answered",
                hint=f"look at its log: puna pods logs {self.name}",
            )
        raise WorkerComing("it runs, and what is in it is starting", retry_after_s=_LOOK_S)

    async def _have_model(self, way: Way, model: str) -> None:
        """See that the pod has the model. Raises `WorkerComing` while it fetches it."""
        if self._fetching is None:
            if await self._has_model(way, model):
                return
            self._share = 0
            self._fetching = asyncio.create_task(self._fetch(way, model))
        await asyncio.wait({self._fetching}, timeout=_LOOK_S / 4)
        if not self._fetching.done():
            share = 100 // _QUARTERS * self._share
            raise WorkerComing(f"it fetches {model}: {share}%", retry_after_s=_LOOK_S)
        task, self._fetching = self._fetching, None
        task.result()

    async def _has_model(self, way: Way, model: str) -> bool:
        """Tell whether the model need not be fetched: it is there, or no node of ours is."""
        async with _session(way) as session:
            _, version = await _asked(session, "api/version", None, self.name)
            if not version.text("version"):
                return True
            status, _ = await _asked(session, "api/show", {"model": model}, self.name)
        return status != HTTPStatus.NOT_FOUND

    async def _fetch(self, way: Way, model: str) -> None:
        """Have the pod fetch the model. Raises `NoModelThere`, `WorkerGone`."""
        import aiohttp  # noqa: PLC0415 - 0.4 s to import, and labels here need none of it

        last = Fields({})
        try:
            async with (
                _session(way) as session,
                session.post("api/pull", json={"model": model}) as answer,
            ):
                async for line in answer.content:
                    last = _object(line)
                    total = last.whole("total")
                    if total:
                        self._share = _QUARTERS * last.whole("completed") // total
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise WorkerGone(f"{self.name} broke off: {error}") from error
        if last.text("status") != "success":
            why = one_line(last.text("error"), 300) or "it did not say why"
            raise NoModelThere(
                f"{self.name} cannot fetch {model}: {why}",
                hint=f"try it: puna run {model} --on {self.name}",
            )

    def _endpoint(self, way: Way) -> EndpointWorker:
        """Return what asks the pod, the same one as long as its address is the same."""
        if self._inner is None or way != self._way:
            address = EndpointAddress(
                URL(way.address.url), key=_KEY if way.key else "", called=self.name
            )
            self._inner = EndpointWorker(address, self._world, variable=lambda _: way.key)
            self._way = way
        return self._inner


def _session(way: Way) -> "aiohttp.ClientSession":  # noqa: TID251 - the type only
    headers = {"Authorization": f"Bearer {way.key}"} if way.key else {}
    return named_session(f"{way.address.url.rstrip('/')}/", headers)


async def _asked(
    session: "aiohttp.ClientSession",  # noqa: TID251 - the type only
    path: str,
    body: dict[str, str] | None,
    name: str,
) -> tuple[int, Fields]:
    """Return status and object of a reply. Raises `WorkerGone`."""
    import aiohttp  # noqa: PLC0415 - 0.4 s to import, and labels here need none of it

    asking = session.get(path) if body is None else session.post(path, json=body)
    try:
        async with asking as answer:
            return answer.status, _object(await answer.read())
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise WorkerGone(f"{name} does not answer: {error}", retry_after_s=_LOOK_S) from error


def _object(content: bytes) -> Fields:
    try:
        return Fields(json.loads(content))
    except ValueError:
        return Fields({})


class NamedPod:
    """A pod that the renter has: it is used as it is, and left as it is."""

    def __init__(self, cloud: CloudClient, login: Login, pod: CloudPod) -> None:
        self.name, self.login = pod.name, login
        self._cloud, self._id = cloud, pod.id

    def look(self) -> CloudPod:
        """Return the pod as it is now."""
        return self._cloud.pod(self._id)

    def wake(self, pod: CloudPod) -> None:
        """Say that it has stopped: whoever stopped it may start it again."""
        check_displaced(pod)
        why = one_line(pod.extras.text("reason"), 200)
        raise WorkerGone(
            f"{self.name} is {pod.status}" + (f": {why}" if why else ""),
            hint=f"start it: puna pods start {self.name}",
            retry_after_s=_AWAY_S,
        )


def check_displaced(pod: CloudPod) -> None:
    """Raise `WorkerComing` for a spot pod that was displaced and comes back by itself."""
    if pod.extras.text("reason") == _DISPLACED and pod.extras.flag("returns"):
        raise WorkerComing("it was displaced, and waits for a place", retry_after_s=_AWAY_S)

"""A Ray cluster as a worker: one site on each machine, which holds the model as long as it lives.

Shards, checkpoint and answers are those of every other worker. Ray places the sites and tells when
one is lost; a machine that is lost costs its shards in flight, which go to another at once, and one
that joins gets a site of its own.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, cast

from puna.batch.shards import Shard
from puna.batch.spec import Spec
from puna.batch.workers.site import Site, Trouble
from puna.batch.workers.worker import Answer, Identity, WorkerGone
from puna.errors import Conflict, Failed, Unsupported
from puna.library.threads import in_thread
from puna.text import one_line
from puna.units import Span
from puna.world import World

if TYPE_CHECKING:
    from ray.actor import ActorHandle

_LOG = logging.getLogger("puna.batch")
_AHEAD = 2
_LOOK_EVERY = Span.of(seconds=5)
_NAMESPACE = "puna-batch"


class NoRay(Unsupported):
    """This installation has no Ray."""

    code = "no_ray"


class SiteRefused(Failed):
    """A machine of the cluster cannot compute the job at all."""

    code = "site_refused"


class SitesDiffer(Conflict):
    """Two machines of the cluster have different models under one name."""

    code = "sites_differ"


class _Prepare(Protocol):
    def remote(self, spec: Spec) -> Awaitable[Identity | Trouble]: ...


class _Compute(Protocol):
    def remote(self, shard: Shard) -> Awaitable[Sequence[Answer] | Trouble]: ...


class _Actor(Protocol):
    """A site elsewhere, as Ray lets it be called."""

    @property
    def prepare(self) -> _Prepare: ...

    @property
    def compute(self) -> _Compute: ...


@dataclass(slots=True, eq=False)
class _Hand:
    """One site, as the driver holds it."""

    node: str
    address: str
    actor: _Actor
    in_flight: int = 0


class RayWorker:
    """A whole cluster. An empty `address` starts one on this machine alone."""

    def __init__(self, world: World, *, address: str = "") -> None:
        self._world, self._address = world, address
        self._spec: Spec | None = None
        self._identity: Identity | None = None
        self._hands: list[_Hand] = []
        self._refused: dict[str, Trouble] = {}
        self._watch: asyncio.Task[None] | None = None
        self._began = False

    @property
    def name(self) -> str:
        """The cluster."""
        return f"Ray at {self._address}" if self._address else "Ray on this machine"

    @property
    def places(self) -> int:
        """Each machine computes one shard, and the next one waits there."""
        return max(1, _AHEAD * len(self._hands))

    @property
    def machines(self) -> tuple[str, ...]:
        """The addresses of the machines that compute now."""
        return tuple(each.address for each in self._hands)

    async def prepare(self, spec: Spec) -> Identity:
        """Join the cluster and give each of its machines a site that is ready.

        Raises `WorkerGone` while no machine is, `SiteRefused` if none can be, and `NoRay`.
        """
        self._spec = spec
        try:
            await in_thread(self._join)
            await self._settle()
        except (ConnectionError, RuntimeError) as error:
            raise WorkerGone(f"{self.name} does not answer: {one_line(str(error))}") from error
        if self._identity is None or not self._hands:
            self._raise_refused()
            raise WorkerGone(f"{self.name} has no machine that is ready", retry_after_s=5)
        if self._watch is None:
            self._watch = asyncio.create_task(self._look_around())
        return self._identity

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        """Answer the rows of a shard on the machine that has the least to do."""
        while True:
            hand = min(self._hands, key=lambda each: each.in_flight, default=None)
            if hand is None:
                raise WorkerGone(f"{self.name} has lost its last machine", retry_after_s=2)
            found = await self._ask(hand, shard)
            if found is None:
                continue  # the machine is lost, and the shard goes to another
            if isinstance(found, Trouble):
                if found.passes:
                    raise WorkerGone(f"{hand.address}: {found.message}")
                raise SiteRefused(f"{hand.address}: {found.message}", hint=found.hint)
            return found

    async def close(self) -> None:
        """End the sites, and leave the cluster, or end it if it was started here."""
        watch, self._watch = self._watch, None
        if watch:
            watch.cancel()
            await asyncio.wait({watch})
        hands, self._hands = self._hands, []
        if hands or self._began:
            await in_thread(_leave, [each.actor for each in hands], ends=self._began)
            self._began = False

    # --- the machines ----------------------------------------------------------------------------

    def _join(self) -> None:
        try:
            import ray  # noqa: PLC0415 - two seconds to import, for clusters alone
        except ImportError as error:
            raise NoRay("Ray is not installed", hint="pip install 'puna[ray]'") from error
        if not ray.is_initialized():
            ray.init(
                address=self._address or "local",
                namespace=_NAMESPACE,
                log_to_driver=False,
                configure_logging=False,
                include_dashboard=False if not self._address else None,
            )
            self._began = True

    async def _settle(self) -> None:
        """Give each machine without a site one; the first tells which model and way the job has."""
        known = {each.node for each in self._hands} | set(self._refused)
        machines = [each for each in await in_thread(_machines) if each[0] not in known]
        if self._identity is None:
            while machines and self._identity is None:
                await self._add(*machines.pop(0))
        await asyncio.gather(*(self._add(*each) for each in machines))

    async def _add(self, node: str, address: str) -> None:
        """Start a site and prepare it. A machine that refuses is left out, and that is said."""
        spec = self._spec
        assert spec is not None  # noqa: S101 - prepared first
        if self._identity is not None:
            spec = replace(spec, path=self._identity.path)
        actor = await in_thread(_start_site, node)
        try:
            found: Identity | Trouble = await actor.prepare.remote(spec)
        except _lost() as error:
            _LOG.warning("%s was lost before it was ready: %s", address, one_line(str(error)))
            return
        if isinstance(found, Trouble):
            if not found.passes:
                self._refused[node] = found
            _LOG.warning("%s is left out: %s", address, found.message)
            await in_thread(_kill, actor)
            return
        if self._identity is not None and self._identity.model_digest != found.model_digest:
            raise SitesDiffer(
                f"{address} has another model {spec.model}: {found.model_digest[:12]}, not"
                f" {self._identity.model_digest[:12]}",
                hint="pull the same model on every machine",
            )
        self._identity = self._identity or found
        self._hands.append(_Hand(node, address, actor))

    async def _ask(self, hand: _Hand, shard: Shard) -> Sequence[Answer] | Trouble | None:
        """Return what a site answers; None if it was lost."""
        hand.in_flight += 1
        try:
            found: Sequence[Answer] | Trouble = await hand.actor.compute.remote(shard)
        except _lost() as error:
            _LOG.warning("%s was lost: %s", hand.address, one_line(str(error)))
            if hand in self._hands:
                self._hands.remove(hand)
            return None
        finally:
            hand.in_flight -= 1
        return found

    async def _look_around(self) -> None:
        """Give machines that join, and those whose site was lost, a site, as long as it runs."""
        while True:
            await self._world.wait(_LOOK_EVERY)
            try:
                await self._settle()
            except (SitesDiffer, ConnectionError, RuntimeError) as error:
                _LOG.warning("%s: %s", self.name, one_line(str(error)))

    def _raise_refused(self) -> None:
        for trouble in self._refused.values():
            raise SiteRefused(trouble.message, hint=trouble.hint)


def _machines() -> list[tuple[str, str]]:
    """Return the machines of the cluster that live and compute, by id and address."""
    import ray  # noqa: PLC0415 - see above

    return [
        (str(each["NodeID"]), str(each["NodeManagerAddress"]))
        for each in ray.nodes()  # type: ignore[no-untyped-call]
        if each["Alive"] and each["Resources"].get("CPU", 0) >= 1
    ]


def _start_site(node: str) -> _Actor:
    import ray  # noqa: PLC0415 - see above
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415

    strategy = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    made = ray.remote(Site).options(num_cpus=1, max_restarts=0, scheduling_strategy=strategy)
    return cast("_Actor", made.remote())


def _lost() -> tuple[type[Exception], ...]:
    """Return the errors that say that a site is no more."""
    from ray import exceptions  # noqa: PLC0415 - see above

    return (
        exceptions.RayActorError,
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.ObjectLostError,
        exceptions.RaySystemError,
        exceptions.ActorUnschedulableError,
    )


def _kill(actor: _Actor) -> None:
    import ray  # noqa: PLC0415 - see above

    with suppress(Exception):
        ray.kill(cast("ActorHandle[object]", actor))


def _leave(actors: Sequence[_Actor], *, ends: bool) -> None:
    import ray  # noqa: PLC0415 - see above

    for each in actors:
        _kill(each)
    if ends:
        ray.shutdown()

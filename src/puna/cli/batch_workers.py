"""Who computes a job: this machine, endpoints, pods, a Ray cluster, or several of them together.

What was chosen is written down beside the job, so that `puna batch resume` needs no options. An
endpoint is written as it was given, with the name of the place where its key is, and never the key.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from puna.batch.checkpoint import CREW, Checkpoint
from puna.batch.spec import LabelTask, Spec
from puna.batch.workers.address import read_endpoint
from puna.batch.workers.local import ScoringWorker, Weights
from puna.batch.workers.node import NodeWorker
from puna.batch.workers.worker import Worker
from puna.cli.batch_rent import RentWish, workers_in_pods
from puna.cli.reach import is_local, open_store
from puna.cli.session import Session
from puna.cli.start import ensure_node
from puna.settings import read_variable

HERE = "here"
"""The word for this machine among endpoints."""
LOCAL_RAY = "local"


@dataclass(frozen=True, slots=True)
class Crew:
    """Who computes, in a person's words."""

    endpoints: tuple[str, ...] = ()
    ray: str = ""
    """The address of a cluster; `local` starts one here."""
    pods: tuple[str, ...] = ()
    """Pods that the renter has, by name or id."""
    rents: RentWish | None = None
    """Machines that are rented for the job."""

    @property
    def is_usual(self) -> bool:
        """Whether nothing was said."""
        return self == Crew()


def note_crew(checkpoint: Checkpoint, crew: Crew) -> None:
    """Write down who computes, for `puna batch resume`."""
    checkpoint.write(CREW, json.dumps(asdict(crew)).encode())


def noted_crew(checkpoint: Checkpoint) -> Crew:
    """Return who computed the job before."""
    try:
        said = json.loads(checkpoint.read(CREW) or b"{}")
        return Crew(
            tuple(map(str, said.get("endpoints", ()))),
            str(said.get("ray", "")),
            tuple(map(str, said.get("pods", ()))),
            RentWish(**said["rents"]) if said.get("rents") else None,
        )
    except (ValueError, AttributeError, TypeError):
        return Crew()


def workers_for(
    session: Session, spec: Spec, crew: Crew, threads: int | None, hired: Sequence[Worker] = ()
) -> list[Worker]:
    """Return the workers of a job, with those that are rented. Raises `BadEndpoint`."""
    workers: list[Worker] = []
    for text in crew.endpoints:
        if text == HERE:
            workers.append(worker_here(session, spec, threads))
            continue
        from puna.batch.workers.endpoints import EndpointWorker  # noqa: PLC0415 - needs aiohttp

        workers.append(EndpointWorker(read_endpoint(text), session.world, variable=read_variable))
    if crew.ray:
        from puna.batch.workers.ray import RayWorker  # noqa: PLC0415 - an extra

        address = "" if crew.ray == LOCAL_RAY else crew.ray
        workers.append(RayWorker(session.world, address=address))
    workers += [*workers_in_pods(session, crew.pods), *hired]
    return workers or [worker_here(session, spec, threads)]


def worker_here(session: Session, spec: Spec, threads: int | None) -> Worker:
    """Return what computes here: a scorer of our own for labels on this machine, else the node."""
    settings = session.settings
    if isinstance(spec.task, LabelTask) and is_local(session) and settings.engine != "scripted":
        shelf = open_store(session)
        model = shelf.open(spec.model)
        shelf.library.store.check(model.weights)  # a flipped bit gives other labels, and no error
        weights = Weights(model.weights, model.digest.hex)
        return ScoringWorker(weights, session.world, threads or settings.threads or None)
    key = settings.api_key or settings.client_key
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = settings.host.for_client().url
    return NodeWorker(lambda: ensure_node(session).url, headers=headers, name=url)


def names_of(workers: Sequence[Worker]) -> str:
    """Return the workers as people see them."""
    return ", ".join(each.name for each in workers)

"""Machines that are rented for one job: noted before they are, found again, and ended with it.

A pod's name is written into the job's folder before it is rented. So whoever runs the job again
after a kill, or after an answer that was lost, finds it by that name and uses it; and whoever ends
the job knows what is to be ended. All of them are one project, whose budget bounds them together.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from threading import Lock

from puna.batch.checkpoint import RENTED, Checkpoint
from puna.batch.workers.pods import check_displaced
from puna.batch.workers.worker import WorkerLost
from puna.cloud.client import CloudClient
from puna.cloud.line import CloudRefused
from puna.cloud.orders import Order
from puna.cloud.settings import Login
from puna.cloud.values import CloudPod
from puna.errors import Conflict
from puna.text import one_line
from puna.units import Money

_IDLE = "nothing happened"
"""How the market's reason begins where a pod was stopped for being idle."""


class RentedElsewhere(Conflict):
    """The job has machines at another cloud than the one that is logged in to."""

    code = "rented_elsewhere"


@dataclass(frozen=True, slots=True)
class Note:
    """What is rented for a job, as it stands in the job's folder."""

    cloud: str
    project: str
    names: tuple[str, ...] = ()
    """Pods that may be there: noted before they are rented, taken off when they are gone."""
    ends: str = ""
    """After how long they end by themselves."""
    budget: str = ""
    """The id of the limit that bounds them together."""


def read_note(checkpoint: Checkpoint) -> Note | None:
    """Return what is noted; None for a job that never rented, or whose note is damaged."""
    try:
        said = json.loads(checkpoint.read(RENTED) or b"null")
        return Note(**{**said, "names": tuple(map(str, said["names"]))}) if said else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def write_note(checkpoint: Checkpoint, note: Note) -> None:
    """Note what is rented, before it is."""
    checkpoint.write(RENTED, json.dumps(asdict(note)).encode())


def names_of(project: str, count: int) -> tuple[str, ...]:
    """Return the names of a job's pods."""
    return tuple(f"{project}-{number}" for number in range(1, count + 1))


def pods_of(cloud: CloudClient, note: Note) -> Mapping[str, CloudPod]:
    """Return those of a job's pods that are there, by their names. Raises `RentedElsewhere`."""
    if cloud.url != note.cloud:
        raise RentedElsewhere(
            f"machines of this job were rented at {note.cloud}, and you are logged in to"
            f" {cloud.url}",
            hint=f"log in there: puna cloud login {note.cloud}",
        )
    return {each.name: each for each in cloud.pods() if each.name in note.names}


@dataclass(frozen=True, slots=True)
class Terms:
    """What each machine is ordered as, and what all of them together may cost."""

    order: Order | None
    """None where all of them are there already."""
    budget: Money | None = None


class Rental:
    """Rents the machines of one job, each when its worker is first asked for. Blocks."""

    def __init__(
        self, cloud: CloudClient, login: Login, checkpoint: Checkpoint, note: Note, terms: Terms
    ) -> None:
        """Take the note that the job's folder has, or the first one."""
        self.cloud, self.login, self.note = cloud, login, note
        self._checkpoint, self._terms = checkpoint, terms
        self._lock = Lock()
        self._is_bounded = False

    def place(self, name: str) -> "RentedPod":
        """Return where one of them is looked for."""
        return RentedPod(name, self)

    def find(self, name: str) -> CloudPod:
        """Return the pod of this name, which is rented if it is not there. Raises `WorkerLost`."""
        with self._lock:
            self._note(name)
            there = pods_of(self.cloud, self.note).get(name)
            if there is not None:
                return there
            if self._terms.order is None:
                raise WorkerLost("it is gone")
            try:
                self._bound()
                return self.cloud.create(replace(self._terms.order, name=name))
            except CloudRefused as error:
                if error.reply_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                why = f"{error.message} ({error.hint})" if error.hint else error.message
                raise WorkerLost(f"it cannot be rented: {why}") from error

    def _note(self, name: str) -> None:
        if name not in self.note.names:
            self.note = replace(self.note, names=(*self.note.names, name))
        write_note(self._checkpoint, self.note)

    def _bound(self) -> None:
        """Limit what all of them together may cost, before the first is rented."""
        if self._is_bounded or self._terms.budget is None:
            return
        limit = self._terms.budget
        made = self.cloud.set_budget("project", self.note.project, limit, a_day=False)
        self.note = replace(self.note, budget=made.id)
        write_note(self._checkpoint, self.note)
        self._is_bounded = True


class RentedPod:
    """One of them."""

    def __init__(self, name: str, rental: Rental) -> None:
        self.name, self.login = name, rental.login
        self._rental, self._id = rental, ""

    def look(self) -> CloudPod:
        """Return the pod as it is now; the first look rents it."""
        if self._id:
            return self._rental.cloud.pod(self._id)
        found = self._rental.find(self.name)
        self._id = found.id
        return found

    def wake(self, pod: CloudPod) -> None:
        """Start it again if it was stopped for being idle, as while this program was suspended.

        Raises `WorkerLost` if it was stopped for anything else, such as money.
        """
        check_displaced(pod)
        why = one_line(pod.extras.text("reason"), 200)
        if not why.startswith(_IDLE):
            raise WorkerLost(f"it is {pod.status}" + (f": {why}" if why else ""))
        try:
            self._rental.cloud.act(pod.id, "start")
        except CloudRefused as error:
            raise WorkerLost(f"it cannot be started again: {error.message}") from error

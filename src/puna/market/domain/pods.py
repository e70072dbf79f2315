"""A pod's life: what its renter wants, what its host shows, what that makes, what is legal then.

Intent and observation are two facts, and the status is computed from both; nobody sets it. The
words of the status and the legal actions are RunPod's, which its clients compare.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from puna.errors import Conflict


class WrongState(Conflict):
    """The pod is in a state in which this cannot be done."""

    code = "wrong_state"


class Locked(Conflict):
    """The pod is locked against being stopped."""

    code = "pod_locked"


class Desired(StrEnum):
    """What should become true. Written by actions and by the market's own limits."""

    RUN = "run"
    STOP = "stop"
    TERMINATE = "terminate"


class Observed(StrEnum):
    """What the host last showed."""

    ABSENT = "absent"
    """No container. Also before a host was found."""
    PULLING = "pulling"
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    FAILED = "failed"
    """The host gave up: the image cannot be had, or the container ends as often as it starts."""


class Status(StrEnum):
    """What the renter sees."""

    PROVISIONING = "PROVISIONING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    EXITED = "EXITED"
    ERROR = "ERROR"
    TERMINATED = "TERMINATED"


class Action(StrEnum):
    """What a renter may ask for."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    TERMINATE = "terminate"


LEGAL_ACTIONS: Mapping[Status, tuple[Action, ...]] = MappingProxyType(
    {
        Status.PROVISIONING: (Action.STOP, Action.TERMINATE),
        Status.STARTING: (Action.STOP, Action.TERMINATE),
        Status.RUNNING: (Action.STOP, Action.RESTART, Action.TERMINATE),
        Status.EXITED: (Action.START, Action.TERMINATE),
        Status.ERROR: (Action.START, Action.TERMINATE),
        Status.TERMINATED: (),
    }
)
_FORBIDDEN_BY_LOCK = frozenset({Action.STOP, Action.TERMINATE})
_DESIRED_AFTER: Mapping[Action, Desired] = MappingProxyType(
    {
        Action.START: Desired.RUN,
        Action.RESTART: Desired.RUN,
        Action.STOP: Desired.STOP,
        Action.TERMINATE: Desired.TERMINATE,
    }
)


@dataclass(frozen=True, slots=True)
class PodState:
    """The facts that the status comes from."""

    desired: Desired
    observed: Observed = Observed.ABSENT
    has_host: bool = False
    is_locked: bool = False
    run: int = 1
    """Counts starts and restarts: a host that shows an earlier run has not caught up."""
    shown_run: int = 0

    @property
    def status(self) -> Status:
        """What the renter sees."""
        if self.desired is Desired.TERMINATE:
            return Status.TERMINATED
        if self.desired is Desired.STOP:
            return Status.EXITED
        if not self.has_host:
            return Status.PROVISIONING
        if self.observed is Observed.FAILED and self.shown_run == self.run:
            return Status.ERROR
        if self.observed is Observed.RUNNING and self.shown_run == self.run:
            return Status.RUNNING
        return Status.STARTING

    @property
    def actions(self) -> tuple[Action, ...]:
        """What is legal now, in RunPod's order."""
        legal = LEGAL_ACTIONS[self.status]
        if not self.is_locked:
            return legal
        return tuple(action for action in legal if action not in _FORBIDDEN_BY_LOCK)

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it is left on any host, which is what proves that it costs nothing."""
        return self.desired is Desired.TERMINATE and (
            not self.has_host or self.observed is Observed.ABSENT
        )


@dataclass(frozen=True, slots=True)
class Intent:
    """What an action makes of a pod's intent."""

    desired: Desired
    run: int


def act(state: PodState, action: Action) -> Intent:
    """Return the intent after an action. Raises `WrongState`, `Locked`."""
    desired = _DESIRED_AFTER[action]
    if state.is_locked and action in _FORBIDDEN_BY_LOCK:
        raise Locked(f"the pod is locked and cannot {action}", hint="unlock it first")
    if action not in LEGAL_ACTIONS[state.status]:
        legal = ", ".join(state.actions) or "nothing"
        raise WrongState(f"a pod that is {state.status} cannot {action}; it can: {legal}")
    begins = desired is Desired.RUN
    return Intent(desired, state.run + 1 if begins else state.run)

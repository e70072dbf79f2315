"""What a worker is: something that answers the rows of a shard, here, far away or in a cluster.

A worker owns no state of the job. It may vanish and return; whoever runs the job gives its shard to
another, and the answers are the same, since the shard says what is computed together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from puna.batch.shards import Shard
from puna.batch.spec import Spec
from puna.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Scored:
    """A row of a label task: a number for each label, in the task's order.

    One label: natural logarithms of the labels' probabilities, up to a constant that they share.
    Several: the log odds that the label fits. Calibration is already in them.
    """

    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A row of a prompt or schema task."""

    text: str
    finish: str
    """`stop`, or `length` where the answer was cut at the most tokens or the context."""
    prompt_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Vector:
    """A row of an embed task."""

    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that cannot be answered whoever tries, such as one longer than the context."""

    reason: str


@dataclass(frozen=True, slots=True)
class Known:
    """A row whose outcome is decided already, packed as it is kept."""

    outcome: bytes


Answer = Scored | Written | Vector | Refused | Known


class WorkerGone(Unavailable):
    """The worker vanished or is too busy: the shard is for another, or for later.

    `retry_after_s` is how long to leave it alone. Every other error of `compute` ends the job.
    """

    code = "worker_gone"

    def __init__(self, message: str, *, hint: str = "", retry_after_s: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class WorkerComing(WorkerGone):
    """The worker is on its way, such as a rented machine that starts: it is worth waiting for."""

    code = "worker_coming"


class WorkerLost(WorkerGone):
    """The worker will not come back: the job goes on with the others, or ends without any."""

    code = "worker_lost"


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens: of all prompts as if each were computed alone, and those really computed."""

    asked: int = 0
    computed: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.asked + other.asked, self.computed + other.computed)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.asked - other.asked, self.computed - other.computed)


@dataclass(frozen=True, slots=True)
class Identity:
    """What computes. Two workers of one job must agree in `model_digest`."""

    model_digest: str
    """64 hexadecimal digits; empty where the other side does not tell."""
    engine: str
    """Program and version, such as `puna 0.5.0 xllamacpp 2026.10.11549`."""
    path: str = ""
    """The way the rows take, in a word: `float`, `kernels`, `slots`; the job keeps to it."""
    reason: str = ""
    """Why that way, for people: `Q4_1 has no fast kernel here`."""


@runtime_checkable
class Counts(Protocol):
    """A worker that counts the tokens it computes, as some can."""

    @property
    def spent(self) -> Spent:
        """The tokens of all rows that it answered."""


@runtime_checkable
class Settles(Protocol):
    """A worker that finds out while it works how much it can have at once."""

    @property
    def is_settled(self) -> bool:
        """Whether it has found out: its speed is from now on that of the job."""


class Worker(Protocol):
    """Answers shards. Every method is called on the event loop and must not block it."""

    @property
    def name(self) -> str:
        """The worker as people see it, such as `this machine` or an address."""

    @property
    def places(self) -> int:
        """How many shards it wants at once; asked anew before each one is handed out."""

    async def prepare(self, spec: Spec) -> Identity:
        """Find and load the model; called before the first shard, and again after `WorkerGone`.

        Raises `WorkerGone`, or what ends the job, such as a model that does not exist.
        """

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        """Return an answer for each text of the shard, in their order. Raises `WorkerGone`.

        When it is cancelled, it stops what it started.
        """

    async def close(self) -> None:
        """Let go of everything; called once, at the end."""

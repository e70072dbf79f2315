"""What happens in a job, as those who watch it get to know: yielded, never printed."""

from dataclasses import dataclass

from puna.batch.manifest import Manifest
from puna.units import Span


@dataclass(frozen=True, slots=True)
class Reading:
    """So many rows of the input have been read."""

    rows: int


@dataclass(frozen=True, slots=True)
class Preparing:
    """A worker finds and loads the model."""

    worker: str


@dataclass(frozen=True, slots=True)
class Begun:
    """The rows are known and a worker is ready; what was done before counts."""

    manifest: Manifest
    tally: "Tally"


@dataclass(frozen=True, slots=True)
class Tally:
    """How far the computing is. Rows are distinct texts here."""

    rows: int
    """All that there are to compute."""
    done: int
    failed: int
    """Of those done, the ones that were refused."""
    fresh: int
    """Of those done, the ones that this run computed."""
    span: Span
    """How long this run computes."""
    earlier: Span = Span(0)  # noqa: RUF009 - a value
    """How long earlier runs computed."""
    leases: int = 0


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that a person should know: a worker that went away, a setting that was chosen."""

    text: str


@dataclass(frozen=True, slots=True)
class Writing:
    """So many rows of the output have been written."""

    rows: int
    of: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The output is there."""

    output: str
    rows: int
    bad: int
    bad_file: str = ""
    """Where the bad rows are; empty if there are none."""
    was_done: bool = False
    """Nothing was left to compute or to write."""


Event = Reading | Preparing | Begun | Tally | Remark | Writing | Finished

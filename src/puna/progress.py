"""Events of long work: yielded, never printed. The command line draws, the API streams them."""

from dataclasses import dataclass

from puna.units import Size


@dataclass(frozen=True, slots=True)
class Step:
    """A named step has begun, such as `writing manifest`."""

    status: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """So much of one blob is here. `completed` never goes back within one transfer."""

    status: str
    digest: str
    total: Size
    completed: Size


@dataclass(frozen=True, slots=True)
class Done:
    """The work has succeeded; nothing follows."""

    status: str = "success"


Progress = Step | Transfer | Done

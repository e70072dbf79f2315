"""What a batch is: a file of requests, how far it is, and what came of it. Values only.

States and their names are those of OpenAI's batch service, whose clients wait for them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from puna.errors import Conflict

WINDOW = timedelta(hours=24)


class BatchState(StrEnum):
    """Where a batch is in its life."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


_S = BatchState
NEXT_STATES: Mapping[BatchState, frozenset[BatchState]] = {
    _S.VALIDATING: frozenset({_S.FAILED, _S.IN_PROGRESS, _S.CANCELLING, _S.EXPIRED}),
    _S.IN_PROGRESS: frozenset({_S.FINALIZING, _S.CANCELLING, _S.EXPIRED}),
    _S.FINALIZING: frozenset({_S.COMPLETED}),
    _S.CANCELLING: frozenset({_S.CANCELLED}),
    _S.FAILED: frozenset(),
    _S.COMPLETED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.CANCELLED: frozenset(),
}


class AlreadyOver(Conflict):
    """A batch that has ended cannot be cancelled."""

    code = "already_over"


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong with a line of a batch's file; `line` counts from 1."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the answers of a batch took."""

    prompt: int = 0
    cached: int = 0
    output: int = 0
    thought: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.output + other.output,
            self.thought + other.thought,
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows there are, and what became of those that are done."""

    total: int = 0
    completed: int = 0
    failed: int = 0
    tokens: Tokens = Tokens()

    @property
    def done(self) -> int:
        """Rows that have an answer, or an error for one."""
        return self.completed + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch. `owner` is empty for the node's own people."""

    id: str
    owner: str
    endpoint: str
    input_file: str
    created: datetime
    expires: datetime
    state: BatchState = BatchState.VALIDATING
    moments: Mapping[BatchState, datetime] = field(default_factory=dict)
    """When it came into each of its states."""
    metadata: Mapping[str, str] | None = None
    model: str = ""
    errors: tuple[LineError, ...] = ()
    tally: Tally = Tally()
    output_file: str = ""
    error_file: str = ""
    keeps: timedelta | None = None
    """How long its files are kept; None until somebody removes them."""

    @property
    def is_over(self) -> bool:
        """Whether nothing will ever change in it."""
        return not NEXT_STATES[self.state]

    def moved(self, state: BatchState, at: datetime) -> "Batch":
        """Return it in the next state of its life; the only place where that changes."""
        if state not in NEXT_STATES[self.state]:
            raise ValueError(f"a batch cannot go from {self.state} to {state}")
        return replace(self, state=state, moments={**self.moments, state: at})

    def cancelled(self, at: datetime) -> "Batch":
        """Return it as it is once somebody cancels it. Raises `AlreadyOver`."""
        if self.state is BatchState.CANCELLING:
            return self
        if BatchState.CANCELLING not in NEXT_STATES[self.state]:
            raise AlreadyOver(f"Cannot cancel a batch with status '{self.state}'.")
        return self.moved(BatchState.CANCELLING, at)

    def to_json(self) -> bytes:
        """Return it as its record has it."""
        return json.dumps(
            {
                "id": self.id,
                "owner": self.owner,
                "endpoint": self.endpoint,
                "input_file": self.input_file,
                "created": self.created.isoformat(),
                "expires": self.expires.isoformat(),
                "state": self.state,
                "moments": {state: at.isoformat() for state, at in self.moments.items()},
                "metadata": None if self.metadata is None else dict(self.metadata),
                "model": self.model,
                "errors": [[e.code, e.message, e.line, e.param] for e in self.errors],
                "tally": [self.tally.total, self.tally.completed, self.tally.failed],
                "tokens": _numbers(self.tally.tokens),
                "output_file": self.output_file,
                "error_file": self.error_file,
                "keeps": self.keeps.total_seconds() if self.keeps else None,
            }
        ).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read a record. Raises `ValueError`, `KeyError` or `TypeError` for a damaged one."""
        row = json.loads(text)
        return cls(
            id=str(row["id"]),
            owner=str(row["owner"]),
            endpoint=str(row["endpoint"]),
            input_file=str(row["input_file"]),
            created=datetime.fromisoformat(row["created"]),
            expires=datetime.fromisoformat(row["expires"]),
            state=BatchState(row["state"]),
            moments={
                BatchState(state): datetime.fromisoformat(at)
                for state, at in row["moments"].items()
            },
            metadata=row["metadata"],
            model=str(row["model"]),
            errors=tuple(LineError(*each) for each in row["errors"]),
            tally=replace(Tally(*row["tally"]), tokens=Tokens(*row["tokens"])),
            output_file=str(row["output_file"]),
            error_file=str(row["error_file"]),
            keeps=timedelta(seconds=row["keeps"]) if row["keeps"] else None,
        )


def _numbers(tokens: Tokens) -> list[int]:
    return [tokens.prompt, tokens.cached, tokens.output, tokens.thought]

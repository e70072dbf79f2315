"""Who computes which shard, and which are done: pure decisions, owned by the one who runs the job.

A shard waits, is leased (with a number and a deadline), done, or failed. Done is final: whatever
comes later for that shard is dropped. A lease that is past its deadline stays valid, but an idle
worker may take the shard too; the first result counts. What is done is known from the disk alone,
so a crash needs no repair: every lease dies with the process that gave it.
"""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from puna.batch.stragglers import take_over
from puna.units import Span

MOST_ATTEMPTS = 3
"""So often a shard may take its worker down before it is computed row by row, or given up."""


class ShardState(StrEnum):
    """Where a shard stands."""

    WAITING = "waiting"
    LEASED = "leased"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Lease:
    """One worker's turn at one shard."""

    number: int
    shard: int
    worker: str
    begun: Span
    deadline: Span
    attempt: int = 1


class Ledger:
    """The shards of one job. `now` is an argument everywhere."""

    def __init__(self, shards: int, done: Collection[int] = ()) -> None:
        self.shards = shards
        self._done = set(done)
        self._brought: set[int] = set()
        self._waiting = deque(number for number in range(shards) if number not in self._done)
        self._leases: dict[int, Lease] = {}
        self._attempts: dict[int, int] = {}
        self._next = 1

    def lease(
        self,
        worker: str,
        now: Span,
        patience: Span,
        usual: Mapping[str, Span] = MappingProxyType({}),
    ) -> Lease | None:
        """Give the worker the next shard that waits, or else one that ends sooner with it.

        `usual` is how long each worker takes for a shard.
        """
        if self._waiting:
            shard: int | None = self._waiting.popleft()
        else:
            going = [each for each in self.leases if not self._is_there(each.shard)]
            shard = take_over(going, worker, usual, now)
        if shard is None:
            return None
        attempt = self._attempts.get(shard, 0) + 1
        lease = Lease(self._next, shard, worker, now, Span(now + patience), attempt)
        self._next += 1
        self._leases[lease.number] = lease
        return lease

    def bring(self, lease: Lease) -> bool:
        """Note that a result is there and is being written. False if another has brought it."""
        if self._is_there(lease.shard):
            self._leases.pop(lease.number, None)
            return False
        self._brought.add(lease.shard)
        return True

    def finish(self, lease: Lease) -> bool:
        """Note that the shard is done. False if another was faster: drop the result."""
        self._leases.pop(lease.number, None)
        self._brought.discard(lease.shard)
        if lease.shard in self._done:
            return False
        self._done.add(lease.shard)
        return True

    def give_back(self, lease: Lease, *, counts: bool) -> None:
        """End a lease without a result: the shard waits behind the others.

        `counts` if the shard may be to blame.
        """
        self._leases.pop(lease.number, None)
        if counts:
            self._attempts[lease.shard] = self._attempts.get(lease.shard, 0) + 1
        is_elsewhere = any(each.shard == lease.shard for each in self._leases.values())
        if lease.shard not in self._done and not is_elsewhere:
            self._waiting.append(lease.shard)

    def state(self, shard: int) -> ShardState:
        """Return where a shard stands."""
        if shard in self._done:
            return ShardState.DONE
        leased = any(each.shard == shard for each in self._leases.values())
        return ShardState.LEASED if leased else ShardState.WAITING

    def _is_there(self, shard: int) -> bool:
        return shard in self._done or shard in self._brought

    @property
    def done(self) -> int:
        """How many shards are done."""
        return len(self._done)

    @property
    def is_over(self) -> bool:
        """Whether all shards are done."""
        return len(self._done) == self.shards

    @property
    def leases(self) -> tuple[Lease, ...]:
        """The leases that are given now."""
        return tuple(self._leases.values())

"""Which shard an idle worker takes over when none waits: a table."""

import pytest

from puna.batch.ledger import Lease
from puna.batch.stragglers import take_over
from puna.units import Span

FAR = 10_000
USUAL = {"fast": Span(10), "slow": Span(100), "middle": Span(40)}


def going(shard: int, worker: str = "slow", begun: int = 0, deadline: int = FAR) -> Lease:
    return Lease(1, shard, worker, Span(begun), Span(deadline))


ROWS: dict[str, tuple[list[Lease], str, int, int | None]] = {
    "nothing is under way": ([], "fast", 0, None),
    "what a slower one has just begun": ([going(1)], "fast", 0, 1),
    "the one that takes longest": ([going(1, begun=0), going(2, begun=30)], "fast", 40, 2),
    "of equal ones the first": ([going(2), going(1)], "fast", 0, 1),
    "not what is nearly done": ([going(1)], "fast", 90, None),
    "not what one as fast has": ([going(1, "fast")], "fast", 0, None),
    "not what a faster one has": ([going(1, "fast")], "slow", 0, None),
    "not one's own": ([going(1, "fast", deadline=1)], "fast", 5, None),
    "unless both are late": (
        [going(1, deadline=3), going(1, "middle", deadline=4)],
        "fast",
        5,
        1,
    ),
    "not what two have already": ([going(1), going(1, "middle")], "fast", 0, None),
    "what should have been done long ago": ([going(1)], "fast", 130, 1),
    "what is past its deadline": ([going(1, "new", deadline=5)], "fast", 5, 1),
    "not from one whose pace nobody knows": ([going(1, "new")], "fast", 5, None),
    "by one whose own pace nobody knows": ([going(1)], "new", 0, 1),
}


@pytest.mark.parametrize(("leases", "worker", "now", "shard"), ROWS.values(), ids=ROWS)
def test_a_straggler_is_taken_over_where_that_ends_it_sooner(
    leases: list[Lease], worker: str, now: int, shard: int | None
) -> None:
    assert take_over(leases, worker, USUAL, Span(now)) == shard

"""Who computes which shard: no shard is lost, none is done twice."""

from hypothesis import given, settings, strategies as st

from puna.batch.ledger import Lease, Ledger, ShardState
from puna.units import Span

MINUTE = Span.of(minutes=1)
START = Span(0)
LATE = Span(2 * MINUTE)


def lease(ledger: Ledger, worker: str = "a", now: Span = START) -> Lease:
    found = ledger.lease(worker, now, MINUTE)
    assert found is not None
    return found


def test_shards_are_given_in_order_and_those_done_are_left_out() -> None:
    ledger = Ledger(5, {0, 3})
    assert [lease(ledger).shard for _ in range(3)] == [1, 2, 4]
    assert ledger.lease("a", START, MINUTE) is None


def test_a_lease_has_a_number_and_a_deadline() -> None:
    ledger = Ledger(2)
    first, second = lease(ledger), lease(ledger, now=LATE)
    assert (first.number, second.number) == (1, 2)
    assert second.deadline == LATE + MINUTE
    assert [each.shard for each in ledger.leases] == [0, 1]


def test_a_shard_goes_from_waiting_to_leased_to_done() -> None:
    ledger = Ledger(1)
    states = [ledger.state(0)]
    given_out = lease(ledger)
    states.append(ledger.state(0))
    ledger.finish(given_out)
    assert [*states, ledger.state(0)] == [ShardState.WAITING, ShardState.LEASED, ShardState.DONE]
    assert ledger.is_over


def test_a_shard_that_is_given_back_waits_behind_the_others() -> None:
    ledger = Ledger(2)
    lost = lease(ledger)
    ledger.give_back(lost, counts=True)
    again = [lease(ledger, "b"), lease(ledger, "b")]
    assert [(each.shard, each.attempt) for each in again] == [(1, 1), (0, 2)]


def test_an_interruption_is_no_attempt() -> None:
    ledger = Ledger(1)
    ledger.give_back(lease(ledger), counts=False)
    assert lease(ledger).attempt == 1


def test_an_idle_worker_takes_what_is_overdue_elsewhere_and_the_first_result_counts() -> None:
    ledger = Ledger(1)
    slow = lease(ledger, "slow")
    assert ledger.lease("quick", START, MINUTE) is None
    quick = lease(ledger, "quick", LATE)
    assert quick.shard == slow.shard
    assert ledger.finish(quick)
    assert not ledger.finish(slow)
    assert (ledger.done, ledger.leases) == (1, ())


def test_what_is_being_written_is_taken_over_by_nobody_and_not_written_twice() -> None:
    ledger = Ledger(1)
    slow, quick = lease(ledger, "slow"), lease(ledger, "quick", LATE)
    assert ledger.bring(quick)
    assert not ledger.bring(slow)
    assert ledger.lease("third", Span(9 * MINUTE), MINUTE) is None
    assert (ledger.finish(quick), ledger.is_over, ledger.leases) == (True, True, ())


def test_no_worker_is_given_the_shard_that_it_is_at() -> None:
    ledger = Ledger(1)
    lease(ledger, "slow")
    assert ledger.lease("slow", LATE, MINUTE) is None


def test_a_shard_that_another_still_computes_does_not_wait_again() -> None:
    ledger = Ledger(1)
    lease(ledger, "slow")
    quick = lease(ledger, "quick", LATE)
    ledger.give_back(quick, counts=True)
    assert ledger.state(0) is ShardState.LEASED


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["lease", "finish", "lose"]), st.sampled_from("ab"), st.integers(0, 9)
    ),
    max_size=60,
)


@settings(max_examples=60)
@given(st.integers(1, 6), STEPS)
def test_whatever_happens_each_shard_is_done_once(
    shards: int, steps: list[tuple[str, str, int]]
) -> None:
    ledger = Ledger(shards)
    given_out: list[Lease] = []
    counted: list[int] = []
    for turn, (step, worker, pick) in enumerate(steps):
        if step == "lease":
            found = ledger.lease(worker, Span(turn * MINUTE), MINUTE)
            given_out += [found] if found else []
        elif given_out:
            one = given_out.pop(pick % len(given_out))
            if step == "lose":
                ledger.give_back(one, counts=True)
            elif ledger.finish(one):
                counted.append(one.shard)
    while (found := ledger.lease("last", Span(99 * MINUTE), MINUTE)) is not None:
        counted += [found.shard] if ledger.finish(found) else []
    assert sorted(counted) == list(range(shards))
    assert ledger.is_over

"""What ends a pod by itself, as a table; and that the market and the agent each see to it alone."""

from dataclasses import replace
from datetime import timedelta

import pytest

from puna.market.db.pods import Pod
from puna.market.domain.limits import Deadlines, Verdict, is_last_day, verdict_on
from puna.market.domain.pods import Action, Desired, Observed, Status
from puna.market.domain.rules import Rules
from puna.wire.agent import PodReport
from tests.market.lots import NOON
from tests.market.stage import FakeHost, Stage

RULES = Rules(keep=timedelta(days=7))
RUNS = Deadlines(desired=Desired.RUN, observed=Observed.RUNNING)
STOPPED = Deadlines(desired=Desired.STOP, observed=Observed.EXITED)
SOON, BEFORE = NOON + timedelta(seconds=1), NOON - timedelta(seconds=1)
HALF_AN_HOUR = timedelta(minutes=30)
IDLE = replace(RUNS, idle_after=HALF_AN_HOUR, active=NOON - HALF_AN_HOUR)
UNPAID = replace(STOPPED, frozen=NOON - RULES.keep, has_volume=True)


@pytest.mark.parametrize(
    ("pod", "desired"),
    [
        (RUNS, None),
        (replace(RUNS, stop_at=SOON), None),
        (replace(RUNS, stop_at=NOON), Desired.STOP),
        (replace(RUNS, stop_at=BEFORE, observed=Observed.ABSENT), Desired.STOP),
        (replace(STOPPED, stop_at=BEFORE), None),
        (replace(RUNS, terminate_at=SOON), None),
        (replace(RUNS, terminate_at=NOON), Desired.TERMINATE),
        (replace(RUNS, terminate_at=NOON, stop_at=NOON), Desired.TERMINATE),
        (replace(STOPPED, terminate_at=BEFORE), Desired.TERMINATE),
        (replace(STOPPED, terminate_at=BEFORE, desired=Desired.TERMINATE), None),
        (IDLE, Desired.STOP),
        (replace(IDLE, active=SOON - HALF_AN_HOUR), None),
        (replace(IDLE, active=None), None),
        (replace(IDLE, observed=Observed.PULLING), None),
        (replace(IDLE, idle_after=None), None),
        (UNPAID, Desired.TERMINATE),
        (replace(UNPAID, frozen=SOON - RULES.keep), None),
        (replace(UNPAID, has_volume=False), None),
    ],
)
def test_a_limit_ends_a_pod_when_it_is_reached(pod: Deadlines, desired: Desired | None) -> None:
    verdict = verdict_on(pod, NOON, RULES)
    assert (verdict.desired if verdict else None) == desired


def test_a_verdict_says_why() -> None:
    assert verdict_on(IDLE, NOON, RULES) == Verdict(
        Desired.STOP, "nothing happened in it for 0:30:00"
    )


@pytest.mark.parametrize(("days", "is_last"), [(5, False), (6, True), (8, True)])
def test_the_last_day_is_told(days: int, *, is_last: bool) -> None:
    assert is_last_day(NOON - timedelta(days=days), NOON, RULES) is is_last


async def a_pod(market: Stage, **changes: object) -> tuple[FakeHost, Pod]:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann, **changes)
    await market.tick(times=2)
    return host, pod


class Heedless(FakeHost):
    """An agent that keeps no time of its own."""

    def obey(self, world: object) -> None:
        no_time = {"stop_at": None, "terminate_at": None, "idle_stop_s": None}
        each = [order.model_copy(update=no_time) for order in self.orders.pods]
        self.orders = self.orders.model_copy(update={"pods": each})
        super().obey(world)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limit", "status"),
    [
        ("stop_after", Status.EXITED),
        ("terminate_after", Status.TERMINATED),
        ("idle_stop", Status.EXITED),
    ],
)
async def test_the_market_ends_what_its_agent_lets_run(
    market: Stage, limit: str, status: Status
) -> None:
    host, pod = await a_pod(market, **{limit: timedelta(minutes=10)})
    host.__class__ = Heedless
    await market.tick(times=6)
    assert await market.status(pod) is Status.RUNNING
    await market.tick(times=5)
    assert await market.status(pod) is status
    assert host.orders.pods == [] or host.shown[pod.id].observed == "exited"


@pytest.mark.parametrize("limit", ["stop_at", "terminate_at"])
async def test_an_order_tells_the_agent_when_to_end_a_pod_by_itself(
    market: Stage, limit: str
) -> None:
    span = {f"{limit[:-3]}_after": timedelta(minutes=10)}
    host, pod = await a_pod(market, **span, idle_stop=timedelta(minutes=5))
    (order,) = host.orders.pods
    assert getattr(order, limit) == (await market.look(pod)).created + timedelta(minutes=10)
    assert order.idle_stop_s == 300


async def rested(market: Stage, host: FakeHost, pod: Pod) -> None:
    """Let a host say that it stopped a pod because nobody used it."""
    said = {"observed": "exited", "is_idle": True, "ended": market.world.now()}
    shown = host.shown[pod.id].model_copy(update=said)
    await market.report(host, pods=[shown])


async def test_an_agent_that_stopped_an_idle_pod_by_itself_is_believed(market: Stage) -> None:
    host, pod = await a_pod(market, idle_stop=timedelta(minutes=30))
    await rested(market, host, pod)
    found = await market.look(pod)
    assert (found.state.status, found.reason) == (
        Status.EXITED,
        "nothing happened in it for 0:30:00",
    )
    await market.tick(times=2)
    assert await market.status(pod) is Status.EXITED


async def test_a_pod_without_an_idle_stop_is_not_stopped_by_its_host(market: Stage) -> None:
    host, pod = await a_pod(market)
    await rested(market, host, pod)
    await market.tick()
    assert await market.status(pod) is Status.RUNNING


async def test_a_pod_whose_host_says_nothing_any_more_counts_as_idle(market: Stage) -> None:
    _, pod = await a_pod(market, idle_stop=timedelta(minutes=5), volume_gb=1)
    market.hosts.clear()
    await market.tick(times=3)
    assert await market.status(pod) is Status.RUNNING
    await market.tick(times=3)
    assert await market.status(pod) is Status.EXITED


async def test_activity_before_a_pod_began_shortens_nothing(market: Stage) -> None:
    host, pod = await a_pod(market, idle_stop=timedelta(minutes=5))
    early = market.world.now() - timedelta(days=9)
    await market.report(host, pods=[host.shown[pod.id].model_copy(update={"active": early})])
    await market.tick(times=2)
    assert await market.status(pod) is Status.RUNNING


async def test_what_a_container_said_at_its_end_is_not_why_it_was_stopped(market: Stage) -> None:
    host, pod = await a_pod(market, idle_stop=timedelta(minutes=5))
    await market.tick(times=5)
    said = {"observed": "exited", "reason": "the container ended with 143"}
    await market.report(host, pods=[host.shown[pod.id].model_copy(update=said)])
    assert (await market.look(pod)).reason == "nothing happened in it for 0:05:00"


async def test_what_happens_in_a_pod_keeps_it_running(market: Stage) -> None:
    host, pod = await a_pod(market, idle_stop=timedelta(minutes=5))
    for _ in range(4):
        shown = host.shown[pod.id].model_copy(update={"active": market.world.now()})
        await market.report(host, pods=[shown])
        await market.tick(times=3)
    assert await market.status(pod) is Status.RUNNING
    await market.tick(times=4)
    assert await market.status(pod) is Status.EXITED
    assert "stopped: nothing happened in it for 0:05:00" in await market.log(pod)


async def test_activity_in_the_future_keeps_nothing_running_for_ever(market: Stage) -> None:
    host, pod = await a_pod(market, idle_stop=timedelta(minutes=5))
    shown: PodReport = host.shown[pod.id]
    late = shown.model_copy(update={"active": market.world.now() + timedelta(days=9)})
    await market.report(host, pods=[late])
    await market.tick(times=6)
    assert await market.status(pod) is Status.EXITED


async def test_a_pod_that_starts_again_has_its_whole_time_again(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann, stop_after=timedelta(minutes=5), volume_gb=1)
    await market.tick(times=7)
    assert await market.status(pod) is Status.EXITED
    await market.act(ann, pod, Action.START)
    await market.tick(times=3)
    assert await market.status(pod) is Status.RUNNING
    await market.tick(times=4)
    assert await market.status(pod) is Status.EXITED


async def test_a_pod_that_waits_for_a_place_is_stopped_in_time_too(market: Stage) -> None:
    host, pod = await a_pod(market, stop_after=timedelta(minutes=9))
    market.hosts.clear()
    await market.tick(times=9)
    found = await market.look(pod)
    assert (found.host, found.state.status) == (None, Status.EXITED)
    assert host.sequence > 0

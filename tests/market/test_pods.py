"""What a pod's status is, and what may be done then: the tables of RunPod's reference."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from puna.market.domain.pods import (
    LEGAL_ACTIONS,
    Action,
    Desired,
    Locked,
    Observed,
    PodState,
    Status,
    WrongState,
    act,
)

RUN, STOP, END = Desired.RUN, Desired.STOP, Desired.TERMINATE


@pytest.mark.parametrize(
    ("state", "status"),
    [
        pytest.param(PodState(RUN), Status.PROVISIONING, id="no host yet"),
        pytest.param(PodState(RUN, has_host=True), Status.STARTING, id="the host knows nothing"),
        pytest.param(
            PodState(RUN, Observed.PULLING, has_host=True), Status.STARTING, id="image on its way"
        ),
        pytest.param(
            PodState(RUN, Observed.RUNNING, has_host=True, shown_run=1), Status.RUNNING, id="runs"
        ),
        pytest.param(
            PodState(RUN, Observed.RUNNING, has_host=True, run=2, shown_run=1),
            Status.STARTING,
            id="what runs is from before the restart",
        ),
        pytest.param(
            PodState(RUN, Observed.EXITED, has_host=True, shown_run=1),
            Status.STARTING,
            id="ended, and starts again",
        ),
        pytest.param(
            PodState(RUN, Observed.FAILED, has_host=True, shown_run=1), Status.ERROR, id="given up"
        ),
        pytest.param(
            PodState(RUN, Observed.FAILED, has_host=True, run=2, shown_run=1),
            Status.STARTING,
            id="given up, and started once more",
        ),
        pytest.param(
            PodState(STOP, Observed.RUNNING, has_host=True), Status.EXITED, id="is being stopped"
        ),
        pytest.param(
            PodState(END, Observed.RUNNING, has_host=True), Status.TERMINATED, id="is being removed"
        ),
    ],
)
def test_the_status_comes_from_intent_and_observation(state: PodState, status: Status) -> None:
    assert state.status is status


@pytest.mark.parametrize(
    ("action", "desired", "run"),
    [
        (Action.STOP, STOP, 1),
        (Action.RESTART, RUN, 2),
        (Action.TERMINATE, END, 1),
    ],
)
def test_an_action_changes_the_intent_of_a_running_pod(
    action: Action, desired: Desired, run: int
) -> None:
    intent = act(PodState(RUN, Observed.RUNNING, has_host=True, shown_run=1), action)
    assert (intent.desired, intent.run) == (desired, run)


EVERY_STATE = [
    PodState(desired, observed, has_host=has_host, run=2, shown_run=shown)
    for desired, observed, has_host, shown in itertools.product(
        Desired, Observed, (True, False), (1, 2)
    )
]


@pytest.mark.parametrize("action", Action)
def test_exactly_the_legal_actions_are_done(action: Action) -> None:
    done = {state for state in EVERY_STATE if _is_done(state, action)}
    assert done == {state for state in EVERY_STATE if action in LEGAL_ACTIONS[state.status]}


def _is_done(state: PodState, action: Action) -> bool:
    try:
        act(state, action)
    except WrongState:
        return False
    return True


def test_an_illegal_action_says_what_is_legal() -> None:
    with pytest.raises(WrongState, match="EXITED cannot restart; it can: start, terminate"):
        act(PodState(STOP, has_host=True), Action.RESTART)


@pytest.mark.parametrize("action", [Action.STOP, Action.TERMINATE])
def test_a_locked_pod_can_neither_stop_nor_end(action: Action) -> None:
    state = PodState(RUN, Observed.RUNNING, has_host=True, is_locked=True, shown_run=1)
    assert state.actions == (Action.RESTART,)
    with pytest.raises(Locked, match=f"locked and cannot {action}"):
        act(state, action)


@pytest.mark.parametrize(
    ("state", "is_gone"),
    [
        pytest.param(PodState(END), True, id="never had a host"),
        pytest.param(PodState(END, Observed.RUNNING, has_host=True), False, id="still shown"),
        pytest.param(PodState(END, Observed.ABSENT, has_host=True), True, id="shown as absent"),
        pytest.param(PodState(STOP, Observed.ABSENT, has_host=True), False, id="only stopped"),
    ],
)
def test_gone_means_that_its_host_shows_nothing_of_it(state: PodState, *, is_gone: bool) -> None:
    assert state.is_gone is is_gone


def shown_by_a_faithful_host(state: PodState) -> PodState:
    """What a host makes of an intent, once it has caught up."""
    observed = Observed.RUNNING if state.desired is RUN else Observed.EXITED
    gone = state.desired is END
    return replace(
        state,
        observed=Observed.ABSENT if gone else observed,
        has_host=not gone,
        shown_run=state.run,
    )


@pytest.mark.parametrize("catches_up", [True, False], ids=["caught up", "always behind"])
def test_every_order_of_actions_to_depth_eight_keeps_the_table(*, catches_up: bool) -> None:
    """Walk each legal sequence: intent follows the action, runs count up, an end stays the end."""
    frontier = {PodState(RUN, has_host=True)}
    seen = set(frontier)
    for _ in range(8):
        frontier = {
            shown_by_a_faithful_host(each) if catches_up else each
            for state in frontier
            for each in _after_each_action(state)
        }
        seen |= frontier
    assert all(state.actions == LEGAL_ACTIONS[state.status] for state in seen)
    assert max(state.run for state in seen) == (8 if catches_up else 5)
    assert all(not state.actions for state in seen if state.desired is END)


def _after_each_action(state: PodState) -> Iterator[PodState]:
    for action in state.actions:
        intent = act(state, action)
        yield replace(state, desired=intent.desired, run=intent.run)

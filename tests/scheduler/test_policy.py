"""The policy as a table: what had happened, what happens now, and the orders that follow."""

import pytest

from puna.node.engine.engine import LoadFailed
from puna.node.scheduler.effects import Grant, NoRoom, QueueFull, Refuse
from puna.node.scheduler.events import Event
from puna.node.scheduler.policy import decide, may_load, wake_at
from puna.node.scheduler.state import Limits
from puna.units import Size, Span
from tests.scheduler.words import (
    LIMITS,
    ask,
    busy,
    close,
    close_now,
    died,
    gone,
    in_words,
    leave,
    measured,
    ready,
    resident,
    state_after,
    stop,
    stop_file,
    tick,
)

Row = tuple[tuple[Event, ...], Event, list[str]]

LOADING: dict[str, Row] = {
    "a model that is not there is loaded": ((), ask(1, "a"), ["load 1: a"]),
    "its request is served when it is ready": ((ask(1, "a"),), ready(1), ["grant 1"]),
    "a model that is there is granted at once": (resident("a"), ask(2, "a"), ["grant 2"]),
    "two who want the same model share one load": ((ask(1, "a"),), ask(2, "a"), []),
    "everyone who waits for a load is served by it, in order": (
        (ask(1, "a"), ask(2, "a")),
        ready(1, slots=2),
        ["grant 1", "grant 2"],
    ),
    "two models load at once where both fit": ((ask(1, "a"),), ask(2, "b"), ["load 2: b"]),
    "a third that does not fit beside them waits": ((ask(1, "a"), ask(2, "b")), ask(3, "c"), []),
    "a model that can never fit is refused at once": (
        busy("a"),
        ask(2, "huge"),
        ["refuse 2: no_room"],
    ),
    "so is one that would fit if the memory had not shrunk": (
        (*busy("a"), measured(3)),
        ask(2, "b"),
        ["refuse 2: no_room"],
    ),
    "who waits for room is told when the memory has shrunk too far": (
        (*busy("a"), ask(2, "big")),
        measured(9),
        ["refuse 2: no_room"],
    ),
    "a loaded model serves though it could not be loaded any more": (
        (*resident("a"), measured(1)),
        ask(2, "a"),
        ["grant 2"],
    ),
    "a failed load is reported to everyone who waits for it": (
        (ask(1, "a"), ask(2, "a")),
        gone(1, error=LoadFailed("no")),
        ["refuse 1: load_failed", "refuse 2: load_failed"],
    ),
    "after a failed load the next request tries afresh": (
        (ask(1, "a"), gone(1, error=LoadFailed("no"))),
        ask(2, "a"),
        ["load 2: a"],
    ),
    "a failed load makes room for who waits": (
        (ask(1, "big"), ask(2, "a")),
        gone(1, error=LoadFailed("no")),
        ["refuse 1: load_failed", "load 2: a"],
    ),
    "a load that ends without a reason is a failure too": (
        (ask(1, "a"),),
        gone(1),
        ["refuse 1: load_failed"],
    ),
    "a load that takes too long is ended and reported": (
        (ask(1, "a"), ask(2, "a", at=20)),
        tick(50),
        ["refuse 1: load_failed", "refuse 2: load_failed", "end 1: too_slow"],
    ),
    "a load in time goes on": ((ask(1, "a"),), tick(49), []),
}

SLOTS: dict[str, Row] = {
    "a request beyond the slots waits": (busy("a"), ask(2, "a"), []),
    "the longest waiting one gets the free slot": (
        (*busy("a"), ask(2, "a"), ask(3, "a")),
        leave(1),
        ["grant 2"],
    ),
    "the queue is bounded for those who wait for a slot": (
        (*busy("a"), ask(2, "a"), ask(3, "a"), ask(4, "a")),
        ask(5, "a"),
        ["refuse 5: queue_full"],
    ),
    "the queue is bounded for those who wait for a load": (
        (ask(1, "a"), ask(2, "a"), ask(3, "a")),
        ask(4, "a"),
        ["refuse 4: queue_full"],
    ),
    "the queue is bounded for those who wait for room": (
        (*busy("big"), ask(2, "a"), ask(3, "b"), ask(4, "c")),
        ask(5, "a"),
        ["refuse 5: queue_full"],
    ),
    "a full queue begins no load": (
        (*busy("a"), ask(2, "a"), ask(3, "a"), ask(4, "a")),
        ask(5, "b"),
        ["refuse 5: queue_full"],
    ),
    "a full queue does not keep off who need not wait": (
        (*resident("b"), *busy("a", engine=2, request=2), ask(3, "a"), ask(4, "a"), ask(5, "a")),
        ask(6, "b"),
        ["grant 6"],
    ),
    "who vanishes frees a place in the queue": (
        (*busy("a"), ask(2, "a"), ask(3, "a"), ask(4, "a"), leave(3)),
        ask(5, "a"),
        [],
    ),
    "who vanishes while computing frees the slot": (
        (*busy("a"), ask(2, "a")),
        leave(1),
        ["grant 2"],
    ),
    "who vanishes while waiting is never served": (
        (*busy("a"), ask(2, "a"), ask(3, "a"), leave(2)),
        leave(1),
        ["grant 3"],
    ),
    "leaving twice changes nothing": ((*busy("a"), leave(1), ask(2, "a")), leave(1), []),
}

ROOM: dict[str, Row] = {
    "an idle model makes room": (resident("a"), ask(2, "big"), ["end 1: room"]),
    "the load begins when the room is free": (
        (*resident("a"), ask(2, "big")),
        gone(1),
        ["load 2: big"],
    ),
    "the longest idle one goes first": (
        (*resident("a", at=5), *resident("b", engine=2, request=2, at=3)),
        ask(3, "c", at=6),
        ["end 2: room"],
    ),
    "one in use never goes while it is in use": (busy("a"), ask(2, "big"), []),
    "it goes when its last lease ends": ((*busy("a"), ask(2, "big")), leave(1), ["end 1: room"]),
    "nothing goes before the whole room can be made": (
        (*busy("a"), *resident("b", engine=2, request=2)),
        ask(3, "big"),
        [],
    ),
    "a request for a loaded model passes those who wait for room": (
        (*busy("a"), *resident("b", engine=2, request=2), ask(3, "big")),
        ask(4, "b"),
        ["grant 4"],
    ),
    "out of patience, what falls idle goes at once": (
        (*busy("a"), *resident("b", engine=2, request=2), ask(3, "big")),
        tick(10),
        ["end 2: room"],
    ),
    "out of patience, one in use takes nobody new": (
        (*busy("a"), ask(2, "big"), tick(10), ask(3, "a", at=10)),
        leave(1, at=11),
        ["end 1: room"],
    ),
    "but it still serves who came before the one out of patience": (
        (*busy("a"), ask(2, "a"), ask(3, "big"), tick(10)),
        leave(1, at=11),
        ["grant 2"],
    ),
    "when the impatient one vanishes, it takes new ones again": (
        (*busy("a"), ask(2, "big"), tick(10), ask(3, "a", at=10), leave(2, at=11)),
        leave(1, at=12),
        ["grant 3"],
    ),
    "who was kept off is served afterwards": (
        (
            *busy("a"),
            ask(2, "big"),
            ask(3, "a", at=1),
            tick(10),
            leave(1, at=10),
            gone(1, at=10),
            ready(2, at=10),
            leave(2, at=11),
        ),
        gone(2, at=12),
        ["load 3: a"],
    ),
    "a small model does not take the room that an earlier one waits for": (
        (*busy("a"), ask(2, "big")),
        ask(3, "b"),
        [],
    ),
    "a small model loads at once where the earlier one loses nothing by it": (
        (measured(15), *busy("big"), ask(2, "huge")),
        ask(3, "a"),
        ["load 2: a"],
    ),
    "only so many models stay as the limit says": (
        (
            measured(100),
            *resident("a"),
            *resident("b", engine=2, request=2, at=1),
            *resident("c", engine=3, request=3, at=1),
        ),
        ask(4, "big", at=2),
        ["end 1: room"],
    ),
}

RELOADS: dict[str, Row] = {
    "other load options end the idle engine": (
        resident("a"),
        ask(2, "a", context=8192),
        ["end 1: reload"],
    ),
    "and load it again": ((*resident("a"), ask(2, "a", context=8192)), gone(1), ["load 2: a"]),
    "an option that nobody asked for takes what is there": (
        (ask(1, "a", context=8192), ready(1), leave(1)),
        ask(2, "a", context=None),
        ["grant 2"],
    ),
    "one in use is reloaded when its leases end": (
        (*busy("a"), ask(2, "a", context=8192)),
        leave(1),
        ["end 1: reload"],
    ),
    "until then it serves who takes it as it is": (
        (*busy("a"), ask(2, "a", context=8192), leave(1), gone(1), ready(2), ask(3, "a")),
        leave(2),
        ["end 2: reload"],
    ),
    "out of patience, it takes nobody new": (
        (*busy("a"), ask(2, "a", context=8192), ask(3, "a", at=1), tick(10)),
        leave(1, at=11),
        ["end 1: reload"],
    ),
    "a load with other options is not disturbed": (
        (ask(1, "a"),),
        ask(2, "a", context=8192),
        [],
    ),
    "a failed load is not reported to who wants other options": (
        (ask(1, "a"), ask(2, "a", context=8192)),
        gone(1, error=LoadFailed("no")),
        ["refuse 1: load_failed", "load 2: a"],
    ),
}

ENDINGS: dict[str, Row] = {
    "an idle model ends after its keep-alive": (resident("a"), tick(100), ["end 1: expired"]),
    "not before": (resident("a"), tick(99), []),
    "not while it is in use": (busy("a"), tick(1000), []),
    "the time starts when the last lease ends": (
        (*busy("a"), leave(1, at=60)),
        tick(159),
        [],
    ),
    "a request's keep-alive holds": (
        (ask(1, "a", keep=7), ready(1), leave(1)),
        tick(7),
        ["end 1: expired"],
    ),
    "and holds on for later requests that say nothing": (
        (ask(1, "a", keep=7), ready(1), leave(1), ask(2, "a"), leave(2, at=5)),
        tick(12),
        ["end 1: expired"],
    ),
    "keep-alive 0 ends it with the last lease": (
        (ask(1, "a", keep=0), ready(1)),
        leave(1),
        ["end 1: expired"],
    ),
    "but not while somebody waits for it": (
        (ask(1, "a", keep=0), ready(1), ask(2, "a")),
        leave(1),
        ["grant 2"],
    ),
    "a negative keep-alive never ends": (
        (ask(1, "a", keep=-1), ready(1), leave(1)),
        tick(10**18),
        [],
    ),
    "what has expired goes before what is idle longer": (
        (
            *resident("a"),
            ask(2, "b", keep=1),
            ready(2),
            leave(2, at=5),
        ),
        ask(3, "c", at=6),
        ["end 2: room"],
    ),
    "stop ends an idle model": (resident("a"), stop("a"), ["end 1: unloaded"]),
    "stop knows it by its file too": (resident("a"), stop_file("a"), ["end 1: unloaded"]),
    "stop of another does nothing": (resident("a"), stop("b"), []),
    "stop lets one in use finish": (busy("a"), stop("a"), []),
    "then it ends": ((*busy("a"), stop("a")), leave(1), ["end 1: unloaded"]),
    "who waited before the stop is still served": (
        (*busy("a"), ask(2, "a"), stop("a")),
        leave(1),
        ["grant 2"],
    ),
    "who came after the stop gets a new load": (
        (*busy("a"), stop("a"), ask(2, "a"), leave(1)),
        gone(1),
        ["load 2: a"],
    ),
    "and is told at once if there is no room for one": (
        (*busy("a"), stop("a"), measured(3)),
        ask(2, "a"),
        ["refuse 2: no_room"],
    ),
    "stop during a load ends it after those who wait": (
        (ask(1, "a"), stop("a"), ready(1)),
        leave(1),
        ["end 1: unloaded"],
    ),
    "a load that nobody waits for any more is called off": (
        (ask(1, "a"),),
        leave(1),
        ["end 1: unwanted"],
    ),
    "one that somebody else waits for goes on": ((ask(1, "a"), ask(2, "a")), leave(1), []),
    "ready all the same, it is not used": ((ask(1, "a"), leave(1), ask(2, "a")), ready(1), []),
    "it is loaded anew when it is gone": (
        (ask(1, "a"), leave(1), ask(2, "a")),
        gone(1),
        ["load 2: a"],
    ),
}

DEATHS: dict[str, Row] = {
    "a dead engine is not used": (resident("a"), died(1), []),
    "who wants it gets a new load when it is gone": (
        (*resident("a"), died(1), ask(2, "a")),
        gone(1),
        ["load 2: a"],
    ),
    "who waits for its slot gets a new load": (
        (*busy("a"), ask(2, "a"), died(1)),
        gone(1),
        ["load 2: a"],
    ),
    "its memory is free when it is gone": (
        (*busy("a"), ask(2, "big"), died(1)),
        gone(1),
        ["load 2: big"],
    ),
    "a death while it is ended changes nothing": ((*resident("a"), stop("a")), died(1), []),
    "its leases are void": ((*busy("a"), died(1), gone(1)), leave(1), []),
}

CLOSING: dict[str, Row] = {
    "whoever waits is refused, loads are called off": (
        (ask(1, "a"),),
        close(),
        ["refuse 1: shutting_down", "end 1: unwanted"],
    ),
    "idle models end": (resident("a"), close(), ["end 1: closing"]),
    "who computes may finish": (busy("a"), close(), []),
    "then its model ends": ((*busy("a"), close()), leave(1), ["end 1: closing"]),
    "nobody new is served": ((*busy("a"), close()), ask(2, "a"), ["refuse 2: shutting_down"]),
    "in the end even those in use end": ((*busy("a"), close()), close_now(), ["end 1: closing"]),
}


@pytest.mark.parametrize(
    ("before", "event", "orders"),
    [
        pytest.param(*row, id=name)
        for table in (LOADING, SLOTS, ROOM, RELOADS, ENDINGS, DEATHS, CLOSING)
        for name, row in table.items()
    ],
)
def test_orders(before: tuple[Event, ...], event: Event, orders: list[str]) -> None:
    _, effects = decide(state_after(*before), event)
    assert in_words(effects) == orders


def test_the_refusal_of_a_full_queue_is_the_text_that_clients_know() -> None:
    before = (*busy("a"), ask(2, "a"), ask(3, "a"), ask(4, "a"))
    _, effects = decide(state_after(*before), ask(5, "a"))
    [refusal] = [each.error for each in effects if isinstance(each, Refuse)]
    assert isinstance(refusal, QueueFull)
    assert str(refusal) == "server busy, please try again.  maximum pending requests exceeded"
    assert (refusal.status, refusal.retry_after_s) == (503, 1)


def test_a_model_without_room_is_refused_with_the_numbers() -> None:
    _, effects = decide(state_after(), ask(1, "huge"))
    [refusal] = [each.error for each in effects if isinstance(each, Refuse)]
    assert isinstance(refusal, NoRoom)
    assert (refusal.needed, refusal.limit) == (11, 10)
    assert str(refusal).endswith("needs 11 B of memory and 10 B can be used: 1 bytes too few")


@pytest.mark.parametrize(
    ("asked", "loaded", "granted", "load_span"),
    [
        pytest.param(0, 30, 30, 30, id="who started the load waited for all of it"),
        pytest.param(20, 30, 30, 10, id="who joined waited for the rest"),
        pytest.param(40, 30, 40, 0, id="who came later did not wait"),
    ],
)
def test_load_span(asked: int, loaded: int, granted: int, load_span: int) -> None:
    events: list[Event] = [ask(1, "a"), ask(2, "a", at=asked), ready(1, at=loaded)]
    events += [leave(1, at=granted)]
    grants: list[Grant] = []
    state = state_after()
    for event in sorted(events, key=lambda each: each.at):
        state, effects = decide(state, event)
        grants += [each for each in effects if isinstance(each, Grant) and each.request == 2]
    assert [each.load_span for each in grants] == [load_span]


@pytest.mark.parametrize(
    ("before", "at", "due"),
    [
        pytest.param((), 0, None, id="nothing there, nothing to wake for"),
        pytest.param(busy("a"), 0, None, id="nor for one in use"),
        pytest.param(resident("a"), 0, 100, id="an idle one expires"),
        pytest.param((ask(1, "a", keep=-1), ready(1), leave(1)), 0, None, id="unless for ever"),
        pytest.param((ask(1, "a"),), 20, 50, id="a load has its time"),
        pytest.param((ask(1, "a", at=3),), 3, 13, id="a waiting request loses its patience"),
        pytest.param((ask(1, "a"), ask(2, "a", at=4)), 11, 14, id="each at its own time"),
    ],
)
def test_wake_at(before: tuple[Event, ...], at: int, due: int | None) -> None:
    assert wake_at(state_after(*before), Span(at)) == due


def test_without_a_load_timeout_a_load_never_ends_by_itself() -> None:
    limits = Limits(Size(10), load_timeout=Span(0), patience=Span(1))
    assert wake_at(state_after(ask(1, "a"), limits=limits), Span(1)) is None


@pytest.mark.parametrize(
    ("before", "event", "answer"),
    [
        pytest.param((), ask(1, "a"), True, id="a model that is not there"),
        pytest.param(resident("a"), ask(2, "a"), False, id="one that is there"),
        pytest.param(resident("a"), ask(2, "a", context=8192), True, id="one to reload"),
        pytest.param(busy("a"), leave(1), False, id="a lease that ends"),
        pytest.param((*busy("a"), ask(2, "a")), leave(1), False, id="with somebody behind"),
        pytest.param((*busy("a"), ask(2, "big")), leave(1), True, id="who needs room"),
        pytest.param((ask(1, "a"),), ask(2, "b"), False, id="not while another loads"),
        pytest.param((*busy("a"), died(1)), ask(2, "b"), False, id="not while another ends"),
    ],
)
def test_memory_is_measured_only_before_a_decision_about_a_load(
    before: tuple[Event, ...], event: Event, answer: bool
) -> None:
    assert may_load(state_after(*before), event) is answer


def test_no_limit_on_loaded_models_means_three() -> None:
    assert (LIMITS.places, Limits(Size(1), max_loaded=7).places) == (3, 7)

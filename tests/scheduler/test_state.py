"""What counts as the same engine, and what `puna ps` is told."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from puna.node.engine.request import CacheType, LoadSpec
from puna.node.scheduler.events import Event
from puna.node.scheduler.policy import decide
from puna.node.scheduler.state import EngineState, Running, Wanted, after, running_in
from puna.units import FOREVER, Size, Span
from tests.scheduler.stage import a_spec, a_wanted
from tests.scheduler.words import ask, busy, leave, ready, resident, state_after, stop
from tests.worlds import NOON

LOADED = LoadSpec(Path("/models/a"), context=4096, slots=4, memory=Size(100))


@pytest.mark.parametrize(
    ("wanted", "auto", "accepts"),
    [
        pytest.param({}, (), True, id="the same"),
        pytest.param({"weights": Path("/models/b")}, (), False, id="other weights"),
        pytest.param({"context": 8192}, (), False, id="another context"),
        pytest.param({"context": 2048}, (), False, id="even a smaller one"),
        pytest.param({"context": 8192}, ("context",), True, id="another that nobody asked for"),
        pytest.param({"context": 8192}, ("batch",), False, id="one asked for, another not"),
        pytest.param({"batch": 64}, (), False, id="another batch"),
        pytest.param({"threads": 2}, (), False, id="threads"),
        pytest.param({"gpu_layers": 9}, (), False, id="layers on a card"),
        pytest.param({"main_gpu": 1}, (), False, id="another card"),
        pytest.param({"use_mmap": False}, (), False, id="no mapped file"),
        pytest.param({"cache_type": CacheType.Q8_0}, (), False, id="another cache"),
        pytest.param({"memory": Size(90)}, (), True, id="another forecast is the same engine"),
        pytest.param({"adapters": (Path("/lora"),)}, (), False, id="an adapter changes answers"),
        pytest.param({"slots": 1}, (), True, id="the number of slots is the server's choice"),
    ],
)
def test_a_loaded_engine_serves_a_request(
    wanted: dict[str, object], auto: tuple[str, ...], accepts: bool
) -> None:
    fields = {name: getattr(LOADED, name) for name in LOADED.__slots__}
    assert a_wanted(LoadSpec(**fields | wanted), auto=auto).accepts(LOADED) is accepts


def test_a_misspelt_automatic_field_is_noticed() -> None:
    with pytest.raises(ValueError, match="LoadSpec has no field num_ctx"):
        Wanted("a", LOADED, frozenset({"num_ctx"}))


@given(st.sampled_from(EngineState), st.sampled_from(EngineState))
def test_an_engine_goes_only_forward_through_its_life(was: EngineState, to: EngineState) -> None:
    order = list(EngineState)
    [engine] = state_after(ask(1, "a")).residents
    for step in order[1 : order.index(was) + 1]:
        engine = engine.moved(step)
    if order.index(to) > order.index(was):
        assert engine.moved(to).state is to
        return
    with pytest.raises(ValueError, match=f"from {was} to {to}"):
        engine.moved(to)


@pytest.mark.parametrize(
    ("moment", "span", "then"),
    [(5, 7, 12), (5, 0, 5), (5, -1, FOREVER), (5, FOREVER, FOREVER), (5, FOREVER - 5, FOREVER)],
)
def test_after(moment: int, span: int, then: int) -> None:
    assert after(Span(moment), Span(span)) == then


def shown(*events: Event, elapsed: int = 0) -> tuple[Running, ...]:
    state = state_after()
    for event in events:
        state, _ = decide(state, event)
    return running_in(state, elapsed=Span(elapsed), now=NOON)


def test_an_idle_model_shows_when_it_ends() -> None:
    [running] = shown(*resident("a"), elapsed=60_000)
    assert running.expires_at == NOON  # 100 ns of keep-alive are long over
    [running] = shown(ask(1, "a", keep=10**9), ready(1), leave(1), elapsed=400_000_000)
    assert running.expires_at == NOON + timedelta(milliseconds=600)


def test_one_in_use_shows_when_it_would_end_if_left_now() -> None:
    [running] = shown(ask(1, "a", keep=10**9), ready(1), elapsed=10**12)
    assert (running.expires_at, running.in_use) == (NOON + timedelta(seconds=1), 1)


def test_one_that_loads_is_shown_too() -> None:
    [running] = shown(ask(1, "a"))
    assert (running.state, running.facts, running.label) == (EngineState.LOADING, None, "a")


def test_one_told_to_stop_shows_that_it_is_stopping_and_over() -> None:
    [running] = shown(*busy("a"), stop("a"))
    assert (running.state, running.expires_at, running.in_use) == (EngineState.STOPPING, NOON, 1)


def test_the_longest_expiry_comes_first_and_never_is_longest() -> None:
    events = (
        *(ask(1, "a", keep=50), ready(1), leave(1)),
        *(ask(2, "b", keep=-1), ready(2), leave(2)),
    )
    assert [each.label for each in shown(*events)] == ["b", "a"]
    assert [each.expires_at is None for each in shown(*events)] == [True, False]


def test_all_names_of_one_engine_are_shown_the_loader_first() -> None:
    spec = a_spec()
    state = state_after(*resident("a"))
    again = ask(2, "a")
    renamed = type(again)(again.at, again.request, a_wanted(spec, label="copy"))
    state, _ = decide(state, renamed)
    [running] = running_in(state, elapsed=Span(0), now=NOON)
    assert (running.label, running.labels) == ("a", ("a", "copy"))

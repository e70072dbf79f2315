"""How many requests an endpoint gets at once: the rules as tables, and where they lead."""

import pytest
from hypothesis import given, settings, strategies as st

from puna.batch.workers.pace import Pace, Round, next_pace, pause_s, shards_wanted
from puna.units import Span

SECOND = Span.of(seconds=1)
SETTLED = Pace(8, 8, 10.0, is_doubling=False)
ROWS: dict[str, tuple[Pace, Round, Pace]] = {
    "the first round doubles": (Pace(), Round(4, SECOND), Pace(8, 4, 4.0)),
    "a better one doubles again": (Pace(2, 1, 4.0), Round(8, SECOND), Pace(4, 2, 8.0)),
    "all at once, as if each were alone, and it leaps": (
        Pace(),
        Round(4, SECOND, least=Span.of(seconds=0.9)),
        Pace(16, 4, 4.0),
    ),
    "one after the other, and it does not": (
        Pace(),
        Round(4, SECOND, least=Span.of(seconds=0.25)),
        Pace(8, 4, 4.0),
    ),
    "a leap too far becomes a double": (Pace(16, 4, 4.0), Round(8, SECOND), Pace(8, 4, 4.0)),
    "no better, and it goes back to rest": (
        Pace(16, 8, 10.0),
        Round(10, SECOND),
        Pace(8, 8, 10.0, is_doubling=False, calm=8),
    ),
    "at rest nothing is tried": (
        Pace(8, 8, 10.0, is_doubling=False, calm=3),
        Round(10, SECOND),
        Pace(8, 8, 10.0, is_doubling=False, calm=2),
    ),
    "then it goes up by one": (
        SETTLED,
        Round(10, SECOND),
        Pace(9, 8, 10.0, is_doubling=False),
    ),
    "which stays where it helps": (
        Pace(9, 8, 10.0, is_doubling=False),
        Round(12, SECOND),
        Pace(10, 9, 12.0, is_doubling=False),
    ),
    "a failure halves": (
        Pace(9, 8, 10.0),
        Round(3, SECOND, failures=1),
        Pace(4, 4, 0.0, is_doubling=False, calm=4),
    ),
    "and never below one": (
        Pace(1, 1),
        Round(0, SECOND, failures=1),
        Pace(1, 1, 0.0, is_doubling=False, calm=4),
    ),
    "where we were too slow ourselves nothing is learnt": (
        SETTLED,
        Round(2, SECOND, was_full=False),
        SETTLED,
    ),
    "a server that became slower is known anew": (
        SETTLED,
        Round(5, SECOND),
        Pace(8, 8, 5.0, is_doubling=False, calm=4),
    ),
}


@pytest.mark.parametrize(("pace", "shown", "after"), ROWS.values(), ids=ROWS)
def test_a_round_leads_to_the_next_pace(pace: Pace, shown: Round, after: Pace) -> None:
    assert next_pace(pace, shown) == after


def test_there_is_a_most() -> None:
    assert next_pace(Pace(6, 3, 1.0), Round(12, SECOND), most=8).window == 8


@given(slots=st.integers(1, 64))
@settings(max_examples=30)
def test_a_server_gets_about_as_much_as_it_computes_together(slots: int) -> None:
    """A server that answers `slots` requests in the time of one."""
    pace = Pace()
    for _ in range(60):
        rate = min(pace.window, slots)
        span = Span.of(seconds=pace.round_size / rate)
        pace = next_pace(pace, Round(pace.round_size, span, least=SECOND))
    assert slots * 0.6 <= pace.window <= max(5, slots * 2 + 1)


@pytest.mark.parametrize(
    ("tries", "dice", "asked_for", "seconds"),
    [(0, 0, 0, 0.5), (0, 999, 0, 0.9995), (3, 0, 0, 4), (50, 0, 0, 30), (0, 0, 17, 17)],
)
def test_pauses_double_and_are_spread(
    tries: int, dice: int, asked_for: int, seconds: float
) -> None:
    assert pause_s(tries, dice, asked_for=asked_for) == pytest.approx(seconds)


@pytest.mark.parametrize(("window", "width"), [(1, 1), (7, 7), (8, 9), (32, 36)])
def test_a_few_wait_at_the_server_so_that_it_is_never_idle(window: int, width: int) -> None:
    assert Pace(window).width == width


@pytest.mark.parametrize(("window", "pieces", "shards"), [(1, 16, 2), (16, 16, 2), (17, 16, 3)])
def test_shards_keep_a_window_full(window: int, pieces: int, shards: int) -> None:
    assert shards_wanted(window, pieces) == shards

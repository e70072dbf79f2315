"""How many requests an endpoint gets at once: more while that makes it faster, half when it chokes.

Pure: from what one round of requests showed to the window of the next. A server that computes
requests together answers each of them later and all of them sooner, so it is the rate that counts,
not the time of one answer. The window doubles until the rate no longer grows, and grows by four
where all requests of a round were answered as if each were alone; then it goes up by one now and
then; whatever fails halves it.
"""

from dataclasses import dataclass, replace

from puna.units import Span

MOST = 256
FIRST = 4
"""Where it begins: as many as most servers compute together at least."""
_GAIN = 1.08
_LEAP = 4
_LEAP_GAIN = 2.5
"""A leap that makes it no faster than this was too far: doubling is tried in its place."""
_ALONE = 0.75
_SPARE = 8
"""One request of so many waits at the server, so that none of its places stands idle meanwhile."""
_LOSS = 0.7
_CALM_AFTER_FAILURE = 4
_CALM_AFTER_NO_GAIN = 8
_LEAST_ROUND = 4
_LONGEST_PAUSE_S = 60
_SPREAD = 1000


@dataclass(frozen=True, slots=True)
class Pace:
    """The window of one endpoint, and what led to it."""

    window: int = FIRST
    good: int = FIRST
    """The window of the best rate so far."""
    rate: float = 0.0
    """Answers a second in that window."""
    is_doubling: bool = True
    calm: int = 0
    """Rounds in which nothing is tried."""

    @property
    def width(self) -> int:
        """How many requests are under way or wait at the server."""
        return self.window + self.window // _SPARE

    @property
    def round_size(self) -> int:
        """How many answers a round has, so that its rate says something."""
        return max(_LEAST_ROUND, self.window if self.is_doubling else 2 * self.window)


@dataclass(frozen=True, slots=True)
class Round:
    """What some requests showed."""

    answers: int
    span: Span
    failures: int = 0
    least: Span = Span(0)  # noqa: RUF009 - a value
    """The time of the fastest answer; zero where nobody measured it."""
    was_full: bool = True
    """Whether there was always a request that waited; else the rate is ours, not the server's."""


def next_pace(pace: Pace, shown: Round, *, most: int = MOST) -> Pace:
    """Return the pace after a round."""
    if shown.failures:
        half = max(1, pace.window // 2)
        return Pace(half, half, 0.0, is_doubling=False, calm=_CALM_AFTER_FAILURE)
    if not shown.was_full or shown.span <= 0:
        return pace
    at_once = shown.answers * shown.least / shown.span
    return _by_rate(
        pace, shown.answers / shown.span.seconds, most, leaps=at_once >= _ALONE * pace.window
    )


def _by_rate(pace: Pace, rate: float, most: int, *, leaps: bool) -> Pace:
    if rate < _LOSS * pace.rate:  # the server has become another: what is known of it is old
        return replace(pace, rate=rate, good=pace.window, calm=_CALM_AFTER_FAILURE)
    if pace.calm:
        return replace(pace, calm=pace.calm - 1)
    if pace.window > 2 * pace.good and rate < _LEAP_GAIN * pace.rate:
        return replace(pace, window=2 * pace.good)
    if rate >= _GAIN * pace.rate:
        larger = pace.window * (_LEAP if leaps else 2) if pace.is_doubling else pace.window + 1
        return replace(pace, window=min(most, larger), good=pace.window, rate=rate)
    if pace.window == pace.good:  # settled: try one more
        return replace(pace, window=min(most, pace.window + 1))
    return replace(pace, window=pace.good, is_doubling=False, calm=_CALM_AFTER_NO_GAIN)


def pause_s(tries: int, dice: int, *, asked_for: int = 0) -> float:
    """Return how long to leave an endpoint alone after so many failures in a row.

    It doubles, up to a minute, and is spread by `dice`, so that many clients do not come back at
    the same moment; what the server asked for is the least.
    """
    longest = float(min(_LONGEST_PAUSE_S, 2 ** min(tries, 10)))
    spread = (dice % _SPREAD) / _SPREAD
    return max(float(asked_for), longest * (0.5 + spread / 2))


def shards_wanted(window: int, pieces: int) -> int:
    """Return how many shards keep a window full: one more than fit, so that none runs dry."""
    return -(-window // max(1, pieces)) + 1

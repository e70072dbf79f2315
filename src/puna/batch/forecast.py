"""How long a job will take, from a sample of it: pure arithmetic over what was measured.

Rows are computed in batches of neighbours, and neighbours share beginnings, the more the longer the
list. So whole batches are sampled, each as it stands in the whole list, and never single rows: rows
picked here and there share nothing and are slower than the job. Batches differ, so what each has to
compute is counted as well: a row, and those of its bytes that the row before it does not have. That
is cheap to count for the whole list, and time goes with it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from puna.units import Span

LEAST_STRETCHES = 4
"""Fewer tell nothing about how stretches differ."""
_ROW_BYTES = 8
"""A row costs, besides its own letters, about as much as so many bytes: what follows it."""
_MACHINE = 0.05
"""A machine is never as fast twice: so much is added to the range either way."""
_DOUBT = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83)
"""Student's factor for a range that holds nine times of ten: for two stretches, three, ..."""
_MUCH = 1.7
_PATIENCE = Span.of(seconds=60)
_TRUSTED = Span.of(seconds=5)
"""A shorter measurement is at the mercy of whatever else the machine does."""
_MOST_STRETCHES = 16
_SLOW_STRETCHES = 12
"""Of a slow model so many beginnings are computed, so that it is seen how they differ."""
_LEAST_ROWS = 2
_LEAST_SHARE = 0.1
"""Of a machine on which others do all they can."""
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some whole batches of neighbours."""

    first: int
    rows: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A stretch that was computed: what it weighed, and how long that took."""

    rows: int
    weight: int
    span: Span


@dataclass(frozen=True, slots=True)
class Forecast:
    """The time of the whole list, and the range in which nine of ten such jobs end."""

    span: Span
    low: Span
    high: Span
    rows_per_s: float

    def on_a_busy_machine(self, busy: float) -> "Forecast":
        """Return it for a machine of which others use a share now, and later nobody knows.

        Without them the job is faster by as much; with as many again it is slower. Where others use
        all of it, the sample had a share of its own still, and nobody knows how small a one.
        """
        alone = max(1 - busy, _LEAST_SHARE)
        return replace(
            self, low=Span(round(self.low * alone)), high=Span(round(self.high * (1 + busy)))
        )


def stretch_rows(batch: int, wanted: int, row: Span) -> int:
    """Return how many neighbours to compute together: a batch, if there is time for some of them.

    `row` is what a row took in a first trial. Of batches that take too long, beginnings must do.
    """
    if LEAST_STRETCHES * batch * row <= _PATIENCE:
        return batch
    in_time = _PATIENCE // (_SLOW_STRETCHES * row)
    return max(_LEAST_ROWS, min(batch, -(-wanted // LEAST_STRETCHES), in_time))


def spread(distinct: int, batch: int, rows: int) -> Iterator[Stretch]:
    """Yield the beginning of each batch, in an order whose first few lie all over the list."""
    batches = -(-distinct // batch)
    seen: set[int] = set()
    place = 0.0
    while len(seen) < batches:
        place = (place + _GOLDEN) % 1
        number = int(place * batches)
        if number in seen:  # late in a short list the places repeat
            number = next(each for each in range(batches) if each not in seen)
        seen.add(number)
        yield Stretch(number * batch, min(rows, distinct - number * batch))


def is_enough(measured: Sequence[Measured], wanted: int) -> bool:
    """Whether a sample will do: enough rows, of enough places, and seconds enough to trust."""
    if len(measured) < LEAST_STRETCHES:
        return False
    spent = sum(each.span for each in measured)
    rows = sum(each.rows for each in measured)
    if spent >= _PATIENCE:
        return True
    return rows >= wanted and (spent >= _TRUSTED or len(measured) >= _MOST_STRETCHES)


def weigh_rows(texts: Sequence[bytes]) -> int:
    """Return what a batch has to compute: a bit for each row, and what its neighbour has not."""
    weight, before = 0, b""
    for text in texts:
        weight += _ROW_BYTES + len(text) - _shared(text, before)
        before = text
    return weight


def _shared(one: bytes, other: bytes) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def whole_weight(weights: Iterable[int], rows: int, of: int) -> int:
    """Return the weight of a list of `of` rows, of which batches with `rows` rows were weighed."""
    return round(sum(weights) * of / rows) if rows else 0


def predict(measured: Sequence[Measured], weight: int, distinct: int) -> Forecast:
    """Return how long a list of this weight takes, at the measured speed."""
    spent = sum(each.span for each in measured)
    seen = sum(each.weight for each in measured)
    rows = sum(each.rows for each in measured)
    pace = spent / seen
    span = pace * weight
    doubt = _MACHINE * span + _factor(len(measured)) * _error(measured, pace, distinct / rows)
    return Forecast(
        Span(round(span)),
        Span(round(max(0.0, span - doubt))),
        Span(round(span + doubt)),
        distinct / (span / 1e9) if span else 0.0,
    )


def together(forecasts: Sequence[Forecast]) -> Forecast:
    """Return how long those take together of which each alone would take so long."""
    if len(forecasts) == 1:
        return forecasts[0]
    return Forecast(
        shared_span([each.span for each in forecasts]),
        shared_span([each.low for each in forecasts]),
        shared_span([each.high for each in forecasts]),
        sum(each.rows_per_s for each in forecasts),
    )


def shared_span(alone: Sequence[Span]) -> Span:
    """Return how long a job takes those of whom each alone would take so long: speeds add up."""
    if not all(alone):
        return Span(0)
    return Span(round(1 / sum(1 / each for each in alone)))


def _error(measured: Sequence[Measured], pace: float, times: float) -> float:
    """Return the standard error of the whole time, a list being so many times the sample."""
    count = len(measured)
    if count < 2 or times <= 1:  # noqa: PLR2004 - one says nothing of differences
        return 0.0
    squares = math.fsum((each.span - pace * each.weight) ** 2 for each in measured)
    unseen = 1 - 1 / times
    return times * math.sqrt(count * unseen * squares / (count - 1))


def _factor(count: int) -> float:
    place = count - 2
    return _DOUBT[place] if 0 <= place < len(_DOUBT) else _MUCH

"""What `puna batch plan` says: a table for people, and the same for programs."""

import textwrap
from collections.abc import Iterator
from datetime import date

from puna.batch.costs import (
    MOST_ROWS,
    Bids,
    CardCost,
    HostedCost,
    RentedCost,
    advice,
    rough_money,
    rough_span,
)
from puna.batch.plan import Survey
from puna.batch.prices import PriceSource
from puna.batch.spared import CascadeGuess, words_of_guess
from puna.batch.spec import LabelTask
from puna.text import one_line
from puna.units import Money, Span

_COLUMNS = 80
_NAME, _TIME, _PRICE = 30, 11, 12
_MONEY = 9
_BUSY = 0.15
_MEASURED, _ESTIMATED = ", measured", ", estimated"


def as_lines(found: Survey, bids: Bids, today: date) -> Iterator[tuple[str, bool]]:
    """Yield the lines that a person reads, and whether each is of prices that are old."""
    for line in _found_lines(found):
        yield line, False
    yield "", False
    head = f"{'':{_NAME}}{'TIME':>{_TIME}}{'PRICE':>{_PRICE}}   PRICE OF"
    yield head, False
    name = one_line(bids.where, _NAME - len(_MEASURED)) + _MEASURED
    yield _row(name, rough_span(bids.span), _money(bids.here), ""), False
    if bids.rented:
        yield _rented_row(bids.rented), False
    for card in bids.cards:
        yield _card_row(card), card.card.source.is_stale(today)
    if bids.hosted:
        yield "", False
        money = "".join(f"{name:>{_MONEY}}" for name in ("PLAIN", "CACHED", "BATCH", "BOTH"))
        yield f"{'HOSTED MODEL, by the token':{_NAME}}{money}   PRICE OF", False
        for hosted in bids.hosted:
            yield _hosted_row(hosted), hosted.model.source.is_stale(today)
    yield "", False
    for line in textwrap.wrap(advice(bids), _COLUMNS):
        yield line, False
    for line in _caveats(found, bids, today):
        yield from ((each, False) for each in textwrap.wrap(line, _COLUMNS))


def _found_lines(found: Survey) -> Iterator[str]:
    intake, tokens, total = found.intake, found.tokens, found.total
    repeats = 1 - intake.distinct / max(1, intake.rows - intake.bad)
    bad = f", {intake.bad:,} bad" if intake.bad else ""
    differ = f"{intake.distinct:,} differ ({repeats:.1%} repeat)"
    yield f"{'Rows':14}{intake.rows:,}, of which {differ}{bad}"
    about = "" if tokens.is_counted else "about "
    words = f"{about}{tokens.own:.1f} a row after {tokens.shared:.0f} that all share"
    if isinstance(found.order.spec.task, LabelTask):
        words += f"; {tokens.computed:.2f} computed"
    else:
        words += f"; {tokens.written:.1f} written" if tokens.written else ""
    yield f"{'Tokens':14}{words}"
    pace = f"{found.forecast.rows_per_s:,.1f} rows/s"
    where = "" if found.is_here else f" in {', '.join(found.where)}"
    measured = f"{'Measured':14}{pace}, by a sample of {found.sampled:,} rows{where}"
    yield from textwrap.wrap(measured, _COLUMNS, subsequent_indent=" " * 14)
    if found.identity.path:
        why = f", since {found.identity.reason}" if found.identity.reason else ""
        yield from textwrap.wrap(
            f"{'Computed by':14}{found.identity.path}{why}", _COLUMNS, subsequent_indent=" " * 14
        )
    low, high = rough_span(total.low), rough_span(total.high)
    span = rough_span(total.span)
    here = "here" if found.is_here else "there"
    if found.cascade is not None and found.cascade.lessons and not found.cascade.before:
        yield f"{'Forecast':14}{low} to {high} {here}: nobody knows what the cascade will spare"
        return
    yield f"{'Forecast':14}{span} {here}; nine of ten such jobs take {low} to {high}"


def _row(name: str, span: str, price: str, day: str) -> str:
    return f"{name:{_NAME}}{span:>{_TIME}}{price:>{_PRICE}}   {day}".rstrip()


def _money(money: Money | None) -> str:
    return "-" if money is None else rough_money(money)


def _rented_row(cost: RentedCost) -> str:
    if cost.reason:
        return f"{one_line(cost.name, _NAME):{_NAME}}   {cost.reason}"
    kind = _MEASURED if cost.is_measured else _ESTIMATED
    name = one_line(cost.name, _NAME - len(_ESTIMATED)) + kind
    return _row(name, rough_span(cost.span), rough_money(cost.price), "now, --rent")


def _card_row(cost: CardCost) -> str:
    name = cost.card.name if cost.card.source.is_live else f"{cost.card.name}, estimated"
    if cost.reason:
        return f"{cost.card.name:{_NAME}}   {cost.reason}"
    return _row(name, rough_span(cost.span), rough_money(cost.price), _day(cost.card.source))


def _hosted_row(cost: HostedCost) -> str:
    ways = (cost.plain, cost.cached, cost.batch, cost.both)
    money = "".join(f"{'-' if way is None else rough_money(way):>{_MONEY}}" for way in ways)
    return f"{cost.model.name:{_NAME}}{money}   {_day(cost.model.source)}"


def _day(source: PriceSource) -> str:
    if source.is_live:
        return "now"
    return source.day.isoformat() if source.day else "no day"


def _caveats(found: Survey, bids: Bids, today: date) -> Iterator[str]:
    if bids.cards:
        yield (
            "Cards are estimated from tables of an 8B model's speed, with the time to start one: "
            f"they may be off by half or double. At most {MOST_ROWS:,} rows/s a card are reckoned."
        )
    elif not bids.hosted:
        yield "Cards are left out: the size of the model is not known here."
    if bids.rented:
        yield from bids.rented.notes
    if bids.hosted:
        yield (
            "Hosted models are other models, with other answers and tokenizers: rows that differ "
            "are asked once each, counted in this model's tokens."
        )
    lives = sorted({source.about for source in bids.sources if source.is_live})
    if lives:
        where = ", ".join(lives)
        yield f"What is on offer now is that of {where}; rent it: puna batch run --rent 1"
    days = [source.day for source in bids.sources if source.day]
    if any(source.is_stale(today) for source in bids.sources) and days:
        age = (today - min(days)).days
        yield f"Prices are up to {age} days old, some of no known day: look before you pay."
    if found.busy > _BUSY:
        yield (
            f"Other programs used {found.busy:.0%} of this machine just before the sample: the "
            "forecast is for a machine that is as busy, and its range says what else may be."
        )
    if found.cascade is not None:
        yield words_of_guess(found.cascade)
    if found.refused:
        yield f"{found.refused} of {found.sampled} rows of the sample got no answer."


def as_data(found: Survey, bids: Bids) -> dict[str, object]:
    """Return the same for programs: money in micro-dollars, time in seconds."""
    intake, tokens, total = found.intake, found.tokens, found.total
    return {
        "rows": intake.rows,
        "distinct": intake.distinct,
        "bad": intake.bad,
        "sampled": found.sampled,
        "refused": found.refused,
        "busy": round(found.busy, 3),
        "rows_per_s": round(found.forecast.rows_per_s, 3),
        "path": found.identity.path,
        "tokens": {
            "shared": round(tokens.shared, 3),
            "own": round(tokens.own, 3),
            "computed": round(tokens.computed, 3),
            "answer": round(tokens.answer, 3),
            "written": round(tokens.written, 3),
            "is_counted": tokens.is_counted,
        },
        "seconds": _seconds(total.span),
        "seconds_low": _seconds(total.low),
        "seconds_high": _seconds(total.high),
        "cascade": _cascade_data(found.cascade) if found.cascade else None,
        "here": {
            "where": bids.where,
            "seconds": _seconds(bids.span),
            "price": bids.here,
            "kind": "measured",
        },
        "rented": _rented_data(bids.rented) if bids.rented else None,
        "cards": [_card_data(card) for card in bids.cards],
        "hosted": [_hosted_data(hosted) for hosted in bids.hosted],
        "advice": advice(bids),
    }


def _card_data(cost: CardCost) -> dict[str, object]:
    found: dict[str, object] = {"name": cost.card.name, "kind": "estimated"}
    if cost.reason:
        return found | {"reason": cost.reason}
    found |= {"seconds": _seconds(cost.span), "price": cost.price}
    speed = {f"speed_{name}": value for name, value in _source_data(cost.card.speed.source).items()}
    return found | _source_data(cost.card.source) | speed


def _cascade_data(guess: CascadeGuess) -> dict[str, object]:
    before = [{"job": each.job, "share": round(each.share, 4)} for each in guess.before]
    least, most = guess.shares
    return {"lessons": guess.lessons, "before": before, "share_low": least, "share_high": most}


def _rented_data(cost: RentedCost) -> dict[str, object]:
    kind = "measured" if cost.is_measured else "estimated"
    found: dict[str, object] = {"name": cost.name, "an_hour": cost.an_hour, "kind": kind}
    found["notes"] = list(cost.notes)
    if cost.reason:
        return found | {"reason": cost.reason}
    return found | {"seconds": _seconds(cost.span), "price": cost.price}


def _hosted_data(cost: HostedCost) -> dict[str, object]:
    found: dict[str, object] = {"name": cost.model.name, "plain": cost.plain, "cached": cost.cached}
    return found | {"batch": cost.batch, "both": cost.both} | _source_data(cost.model.source)


def _source_data(source: PriceSource) -> dict[str, object]:
    day = source.day.isoformat() if source.day else None
    return {"source": source.about, "day": day, "live": source.is_live}


def _seconds(span: Span) -> float:
    return round(span.seconds, 3)

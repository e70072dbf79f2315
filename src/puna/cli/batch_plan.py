"""`puna batch plan`: how long a job will take here, and what it costs here and elsewhere."""

import asyncio
import json
import textwrap
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import date
from pathlib import Path

import click

from puna.batch.costs import MOST_ROWS, Bids, CardCost, HostedCost, advice, rough_money, rough_span
from puna.batch.events import Preparing, Reading
from puna.batch.manifest import Order
from puna.batch.plan import ModelSize, Sampling, Survey, bids_of, survey
from puna.batch.prices import Electricity, PriceList, PriceSource, load_prices
from puna.batch.spec import LabelTask, Spec
from puna.batch.taskfile import spec_of
from puna.batch.workers.worker import Worker
from puna.cli.batch_offers import with_offers
from puna.cli.batch_run import (
    PIPED,
    READ_OPTIONS,
    TASK_OPTIONS,
    reading_of,
    with_options,
    words_of,
)
from puna.cli.batch_workers import worker_here
from puna.cli.reach import is_local, open_store
from puna.cli.session import Session, pass_session
from puna.errors import Invalid, PunaError
from puna.units import Money, Span

_COLUMNS = 80
_OWN_PRICES = "prices.toml"
_NAME, _TIME, _PRICE = 30, 11, 12
_MONEY = 9
_BUSY = 0.15


class NotPiped(Invalid):
    """A plan reads its input again; what is piped in can be read once."""

    code = "not_piped"


@click.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@with_options(TASK_OPTIONS)
@with_options(READ_OPTIONS)
@click.option("--threads", type=click.IntRange(1), help="Threads that compute labels.")
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    metavar="ROWS",
    help="Compute at least so many rows; more where that takes seconds, fewer after a minute.",
)
@click.option(
    "--prices",
    type=click.Path(path_type=Path),
    help="A price file over puna's own; prices.toml in the home folder by default.",
)
@click.option("--watts", type=click.IntRange(1), help="What this machine draws.")
@click.option("--kwh", metavar="DOLLARS", help="What a kilowatt-hour costs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: micro-dollars and seconds.")
@pass_session
def plan(session: Session, /, inputs: tuple[str, ...], **flags: object) -> None:
    """Tell what a job over INPUT would take: rows, hours, and its price here and elsewhere.

    INPUT and the task are those of `puna batch run`. The input is read, and a sample of it is
    computed on this machine; nothing is kept and nothing is rented. Prices come from a dated list,
    and from the cloud that you are logged in to.
    """
    if PIPED in inputs:
        raise NotPiped("a plan cannot read what is piped in", hint="name a file")
    prices = _prices(session, flags)
    order = Order(
        inputs=tuple(str(Path(each).absolute()) for each in inputs),
        output="",
        spec=spec_of(words_of(flags)),
        reading=reading_of(flags, is_piped=False),
    )
    threads, sample = flags["threads"], flags["sample"]
    worker = worker_here(session, order.spec, threads if isinstance(threads, int) else None)
    wanted = sample if isinstance(sample, int) else 0
    found = asyncio.run(_survey(session, order, worker, wanted))
    today = session.world.now().date()
    prices = with_offers(session, prices, today)
    bids = bids_of(found, _model_size(session, order.spec), prices)
    if flags["as_json"]:
        session.terminal.line(json.dumps(as_data(found, bids), indent=2, ensure_ascii=False))
        return
    for line, is_stale in as_lines(found, bids, today):
        if is_stale:
            session.terminal.grey(on=True)
        session.terminal.line(line)
        if is_stale:
            session.terminal.grey(on=False)


async def _survey(session: Session, order: Order, worker: Worker, wanted: int) -> Survey:
    say = session.terminal.say
    found: Survey | None = None
    try:
        async with aclosing(survey(order, worker, session.world, wanted)) as events:
            async for event in events:
                match event:
                    case Preparing(name):
                        say(f"preparing the model on {name}, then computing a sample")
                    case Survey():
                        found = event
                    case Reading() | Sampling():
                        pass
    finally:
        await worker.close()
    assert found is not None  # noqa: S101 - it is what the survey ends with
    return found


def _prices(session: Session, flags: dict[str, object]) -> PriceList:
    named = flags["prices"]
    own = session.settings.home / _OWN_PRICES
    file = named if isinstance(named, Path) else own if own.exists() else None
    prices = load_prices(file)
    watts, kwh = flags["watts"], flags["kwh"]
    power = Electricity(
        watts if isinstance(watts, int) else prices.here.watts,
        Money.parse(kwh) if isinstance(kwh, str) else prices.here.kwh,
    )
    return replace(prices, here=power)


def _model_size(session: Session, spec: Spec) -> ModelSize:
    """Return what the model's file says, where it is here; cards need it, and nothing else does."""
    if not is_local(session):
        return ModelSize()
    try:
        model = open_store(session).open(spec.model)
        return ModelSize(int(model.details.parameter_count), model.size)
    except PunaError:
        return ModelSize()


def as_lines(found: Survey, bids: Bids, today: date) -> Iterator[tuple[str, bool]]:
    """Yield the lines that a person reads, and whether each is of prices that are old."""
    for line in _found_lines(found):
        yield line, False
    yield "", False
    head = f"{'':{_NAME}}{'TIME':>{_TIME}}{'PRICE':>{_PRICE}}   PRICE OF"
    yield head, False
    yield _row("this machine, measured", rough_span(bids.span), rough_money(bids.here), ""), False
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
    yield f"{'Measured':14}{pace}, by a sample of {found.sampled:,} rows"
    if found.identity.path:
        why = f", since {found.identity.reason}" if found.identity.reason else ""
        yield from textwrap.wrap(
            f"{'Computed by':14}{found.identity.path}{why}", _COLUMNS, subsequent_indent=" " * 14
        )
    low, high = rough_span(total.low), rough_span(total.high)
    span = rough_span(total.span)
    yield f"{'Forecast':14}{span} here; nine of ten such jobs take {low} to {high}"


def _row(name: str, span: str, price: str, day: str) -> str:
    return f"{name:{_NAME}}{span:>{_TIME}}{price:>{_PRICE}}   {day}".rstrip()


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
    task = found.order.spec.task
    if isinstance(task, LabelTask) and task.cascade is not None:
        yield "The cascade is not in the forecast: what it takes from the model comes off."
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
        "here": {"seconds": _seconds(bids.span), "price": bids.here, "kind": "measured"},
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


def _hosted_data(cost: HostedCost) -> dict[str, object]:
    found: dict[str, object] = {"name": cost.model.name, "plain": cost.plain, "cached": cost.cached}
    return found | {"batch": cost.batch, "both": cost.both} | _source_data(cost.model.source)


def _source_data(source: PriceSource) -> dict[str, object]:
    day = source.day.isoformat() if source.day else None
    return {"source": source.about, "day": day, "live": source.is_live}


def _seconds(span: Span) -> float:
    return round(span.seconds, 3)

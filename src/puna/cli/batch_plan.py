"""`puna batch plan`: how long a job will take here, and what it costs here and elsewhere."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import click

from puna.batch.events import Preparing, Reading, Remark
from puna.batch.jobs import Jobs
from puna.batch.manifest import Order
from puna.batch.plan import ModelSize, Sampling, Survey, bids_of, survey
from puna.batch.prices import Electricity, PriceList, load_prices
from puna.batch.spared import spared_before
from puna.batch.spec import Spec
from puna.batch.taskfile import spec_of
from puna.batch.workers.worker import Worker
from puna.cli.batch_offers import with_offers
from puna.cli.batch_plan_view import as_data, as_lines
from puna.cli.batch_quote import own_of, site_of
from puna.cli.batch_run import (
    CREW_OPTIONS,
    PIPED,
    READ_OPTIONS,
    TASK_OPTIONS,
    checked_output,
    crew_of,
    reading_of,
    with_options,
    words_of,
)
from puna.cli.batch_workers import workers_for
from puna.cli.reach import is_local, open_store
from puna.cli.session import Session, pass_session
from puna.errors import Invalid, PunaError
from puna.hardware.processor import busy_share
from puna.units import Money

_OWN_PRICES = "prices.toml"


class NotPiped(Invalid):
    """A plan reads its input again; what is piped in can be read once."""

    code = "not_piped"


@click.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="What `run` would write; it is looked at, and nothing is written.",
)
@with_options(TASK_OPTIONS)
@with_options(READ_OPTIONS)
@with_options(CREW_OPTIONS)
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

    INPUT, the task and who computes are those of `puna batch run`: what is planned is run by the
    same words. The input is read, and a sample of it is computed where the job would be: on this
    machine, or at the endpoints and in the pods that are named. Nothing is kept and nothing is
    rented: of machines that would be, the price is asked for and the time is estimated.

    Prices come from a dated list, and from the cloud that you are logged in to.
    """
    if PIPED in inputs:
        raise NotPiped("a plan cannot read what is piped in", hint="name a file")
    if isinstance(output := flags["output"], Path):
        checked_output(output)
    prices = _prices(session, flags)
    order = Order(
        inputs=tuple(str(Path(each).absolute()) for each in inputs),
        output="",
        spec=spec_of(words_of(flags)),
        reading=reading_of(flags, is_piped=False),
    )
    crew = crew_of(flags)
    site = site_of(session, crew)
    threads = flags["threads"] if isinstance(flags["threads"], int) else None
    workers = workers_for(session, order.spec, replace(crew, rents=None), threads)
    look = busy_share if site.uses_here else _nobody
    found = asyncio.run(_survey(session, order, workers, flags["sample"], look))
    found = replace(found, is_here=site.is_here)
    today = session.world.now().date()
    size = _model_size(session, order.spec)
    hour = Money.parse(str(flags["price_text"])) if flags["price_text"] else None
    own = own_of(site, found, size, prices, hour)
    bids = bids_of(found, size, with_offers(session, prices, today), own)
    if flags["as_json"]:
        session.terminal.line(json.dumps(as_data(found, bids), indent=2, ensure_ascii=False))
        return
    for line, is_stale in as_lines(found, bids, today):
        if is_stale:
            session.terminal.grey(on=True)
        session.terminal.line(line)
        if is_stale:
            session.terminal.grey(on=False)


def _nobody() -> float:
    """What others use of this machine is no matter where it does not compute."""
    return 0.0


async def _survey(
    session: Session,
    order: Order,
    workers: Sequence[Worker],
    sample: object,
    look: Callable[[], float],
) -> Survey:
    say = session.terminal.say
    found: Survey | None = None
    rows = sample if isinstance(sample, int) else 0
    before = spared_before(Jobs(session.settings.home), order.spec)
    try:
        async with aclosing(
            survey(order, workers, session.world, rows, look=look, before=before)
        ) as events:
            async for event in events:
                match event:
                    case Preparing(name):
                        say(f"preparing the model on {name}, then computing a sample")
                    case Remark(text):
                        say(f"Note: {text}")
                    case Survey():
                        found = event
                    case Reading() | Sampling():
                        pass
    finally:
        for worker in workers:
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

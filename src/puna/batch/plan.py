"""What a job will take, before it is begun: its rows are counted, and a sample is computed.

The input is read as the job would read it, into a folder that is thrown away, so rows, repeats and
bad rows are facts. The model is loaded, and whole batches of neighbours are computed as the job
would compute them, as many at a time. What is left is arithmetic: see `forecast` and `costs`. Where
several workers would share the job, all of them compute parts of the sample at the same time, since
they may share a machine or a line, and their speeds add up.
"""

import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from puna.batch.costs import Bids, RentedCost, Work, cost_hosted, cost_of_own, cost_on_card
from puna.batch.events import Preparing, Reading, Remark
from puna.batch.forecast import (
    Forecast,
    predict,
    together,
)
from puna.batch.intake import Intake, IntakeStep, take_in
from puna.batch.job import NothingToDo, in_steps, sizes_of
from puna.batch.manifest import Order
from puna.batch.prices import Electricity, PriceList
from puna.batch.reading import Files, digest_of_inputs, find_files
from puna.batch.run import check_same_model
from puna.batch.sampling import Parts, Surveyor, TokenCounts, side_by_side
from puna.batch.spared import CascadeGuess, Spared, Weights, guess_cascade, with_cascade
from puna.batch.spec import EmbedTask
from puna.batch.strings import Strings
from puna.batch.texts import Texts
from puna.batch.workers.local import HERE
from puna.batch.workers.worker import (
    Identity,
    Refused,
    Worker,
)
from puna.hardware.processor import busy_share
from puna.library.threads import in_thread
from puna.models.regular_file import shown_path
from puna.units import Money, Size, Span
from puna.world import World

_ANSWER_BYTES = 40


@dataclass(frozen=True, slots=True)
class Sampling:
    """So many rows of the sample have been computed."""

    rows: int


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What a model's file says; zeros where nobody knows."""

    parameters: int = 0
    weights: Size = Size(0)  # noqa: RUF009 - a value


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found and measured."""

    order: Order
    intake: Intake
    identity: Identity
    sampled: int
    refused: int
    """Rows of the sample without an answer."""
    forecast: Forecast
    """Of the computing alone."""
    around: Span
    """Reading, loading and writing."""
    tokens: TokenCounts
    letters: int
    """Bytes of all distinct texts."""
    where: tuple[str, ...] = (HERE,)
    """Who computed the sample, and would compute the job."""
    busy: float = 0.0
    """The share of this machine's processors that others used before the sample."""
    cascade: CascadeGuess | None = None
    """What is known of the job's cascade; it is in the forecast."""
    is_here: bool = True
    """Whether this machine alone computed it."""

    @property
    def total(self) -> Forecast:
        """The time from the command to the output."""
        known = self.forecast
        return replace(
            known,
            span=Span(known.span + self.around),
            low=Span(known.low + self.around),
            high=Span(known.high + self.around),
        )


PlanEvent = Reading | Preparing | Remark | Sampling | Survey


async def survey(  # noqa: PLR0913 - the last two are for cascades, and for who looks otherwise
    order: Order,
    workers: Sequence[Worker],
    world: World,
    wanted: int,
    *,
    look: Callable[[], float] = busy_share,
    before: Sequence[Spared] = (),
) -> AsyncGenerator[PlanEvent]:
    """Read the input, compute a sample of at least `wanted` rows, and yield what was found, last.

    `look` tells what share of the machine others use; it blocks for a moment. `before` is what
    classifiers took in earlier jobs like this one.
    Raises `NothingToDo`, and what reading and the workers raise.
    """
    with tempfile.TemporaryDirectory(prefix="puna-plan-") as name:
        folder = Path(name)
        begun = world.elapsed()
        files = find_files(order.inputs)
        await in_thread(digest_of_inputs, files)
        intake: Intake | None = None
        async for step in in_steps(_take_in(order, files, folder)):
            if isinstance(step, Intake):
                intake = step
            else:
                yield Reading(step.rows)
        if intake is None or not intake.distinct:
            raise NothingToDo("the input has no row that could be computed")
        read = Span(world.elapsed() - begun)
        busy = await in_thread(look)
        yield Preparing(", ".join(each.name for each in workers))
        with Strings(folder / "texts") as texts:
            parts = Parts(texts.count, sizes_of(order.spec.task).batch)
            surveyors = [Surveyor(order, each, texts, world, parts) for each in workers]
            for surveyor in surveyors:
                async for remark in surveyor.prepare():
                    yield remark
            for other in surveyors[1:]:
                check_same_model(surveyors[0].identity, other.identity, other.name)
            async for rows in side_by_side([each.sample(wanted) for each in surveyors]):
                yield Sampling(rows)
            # The output is written by reading the input once more.
            around = Span(2 * read + max(each.loading for each in surveyors))
            found = await in_thread(surveyed, surveyors, intake, around, before)
            yield replace(found, busy=busy, forecast=found.forecast.on_a_busy_machine(busy))


def _take_in(order: Order, files: Sequence[Path], folder: Path) -> Generator[IntakeStep | Intake]:
    source = Files(files, order.reading)
    if not source.columns:
        raise NothingToDo(f"{shown_path(files[0])} has no rows", hint="name a file with rows")
    texts = Texts(order.spec, source.columns)
    yield from take_in(source, texts, folder, merges=not order.spec.samples)


def surveyed(
    surveyors: Sequence[Surveyor], intake: Intake, around: Span, before: Sequence[Spared] = ()
) -> Survey:
    """Return what was found by all who sampled. Blocks: the whole list is weighed."""
    sampled = [each for each in surveyors if each.measured]
    first = next((each for each in sampled if each.spent.computed), sampled[0])
    distinct = intake.distinct
    weight, letters = first.whole(distinct)
    answers = [answer for each in sampled for answer in each.answers]
    whole = together([predict(each.measured, weight, distinct) for each in sampled])
    guess = guess_cascade(first.order.spec, distinct, before)
    forecast, tokens = whole, first.tokens(weight / distinct)
    if guess is not None and guess.lessons:
        lessons = first.weigh_lessons(guess)
        forecast = with_cascade(whole, guess, Weights(distinct, weight, lessons))
        spared = forecast.span / whole.span if whole.span else 1.0
        tokens = replace(tokens, computed=tokens.computed * spared)
    return Survey(
        order=first.order,
        intake=intake,
        identity=first.identity,
        sampled=len(answers),
        refused=sum(isinstance(each, Refused) for each in answers),
        forecast=forecast,
        around=around,
        tokens=tokens,
        letters=letters,
        cascade=guess,
        where=tuple(each.name for each in sampled),
    )


def work_of(found: Survey, size: ModelSize) -> Work:
    """Return what the whole job asks for."""
    tokens, rows = found.tokens, found.intake.distinct
    return Work(
        requests=rows,
        shared=round(tokens.shared),
        own=round(tokens.own * rows),
        answers=round(tokens.answer * rows),
        computed=round(tokens.shared + tokens.computed * rows),
        written=round(tokens.written * rows),
        parameters=size.parameters,
        weights=size.weights,
        result=Size(found.letters + _ANSWER_BYTES * found.intake.rows),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """Where the sample was computed, and what the job costs there by itself."""

    name: str = HERE
    an_hour: Money | None = Money(0)  # noqa: RUF009 - a value
    """None where nobody said it."""
    power: Electricity = Electricity()  # noqa: RUF009 - a value
    rented: RentedCost | None = None
    """What would be rented beside it, or in its place."""


def bids_of(found: Survey, size: ModelSize, prices: PriceList, own: Own | None = None) -> Bids:
    """Price the job everywhere. Cards need the model's size, hosted models a task of words."""
    own = own or Own(power=prices.here)
    work = work_of(found, size)
    span = found.total.span
    is_worded = not isinstance(found.order.spec.task, EmbedTask)
    return Bids(
        span,
        None if own.an_hour is None else cost_of_own(span, own.an_hour, own.power),
        tuple(cost_on_card(work, card) for card in prices.cards) if size.parameters else (),
        tuple(cost_hosted(work, model) for model in prices.hosted) if is_worded else (),
        where=own.name,
        rented=own.rented,
        is_electricity=not own.an_hour,
    )

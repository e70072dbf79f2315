"""`puna batch run` and `resume`: compute every row of a file, or go on where it stopped."""

import asyncio
import io
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import click

from puna.batch.checkpoint import Checkpoint
from puna.batch.events import Event, Writing
from puna.batch.formats import Format, shape_of_output
from puna.batch.job import Job
from puna.batch.jobs import Jobs, is_finished, read_job
from puna.batch.manifest import Order
from puna.batch.reading import Reading
from puna.batch.story import write_report
from puna.batch.taskfile import (
    TaskWords,
    read_labels,
    read_prompt,
    read_schema,
    read_task_file,
    spec_of,
)
from puna.batch.workers.worker import Worker
from puna.cli.batch_rent import RENT_OPTIONS, hired, rent_wish
from puna.cli.batch_view import BatchView, JsonView
from puna.cli.batch_workers import Crew, note_crew, noted_crew, workers_for
from puna.cli.session import Session, pass_session
from puna.errors import Invalid
from puna.library.threads import in_thread
from puna.units import Money

PIPED = "-"
_PIPED_NAME = "piped"


class NoOutput(Invalid):
    """A job cannot write where it is told to."""

    code = "no_output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a job is to be run and shown; nothing in it changes a result."""

    anew: bool
    as_json: bool
    price: Money
    threads: int | None = None
    reports: bool = True
    crew: Crew | None = None
    """Who computes; none is whoever did before."""
    yes: bool = False
    """Whether machines are rented without a question."""


TASK_OPTIONS = (
    click.option("-m", "--model", help="The model."),
    click.option("--column", help="The column that holds the text."),
    click.option("--labels", metavar="FILE|a,b,c", help="Give each row the label that fits best."),
    click.option("--multi", is_flag=True, default=None, help="Every label that fits, not one."),
    click.option(
        "--abstain-below",
        type=click.FloatRange(0, 1),
        metavar="P",
        help="No label where its probability is below P.",
    ),
    click.option(
        "--calibrate",
        is_flag=True,
        default=None,
        help="Take off what the model thinks of each label anyway.",
    ),
    click.option(
        "--cascade",
        type=float,
        metavar="AGREEMENT",
        help="A small classifier answers where it is proved to agree so far, such as 0.98.",
    ),
    click.option("--instruction", help="What stands before every row when labels are asked for."),
    click.option(
        "--prompt", metavar="TEMPLATE", help="Ask this: Jinja over the columns; or @FILE."
    ),
    click.option("--schema", metavar="FILE", help="Answer with JSON that fits this JSON schema."),
    click.option("--embed", is_flag=True, default=None, help="Turn each row into a vector."),
    click.option("--dimensions", type=click.IntRange(1), help="Numbers of a vector to keep."),
    click.option("--system", help="The system message."),
    click.option(
        "--temperature", type=click.FloatRange(0), help="0, the default, does not sample."
    ),
    click.option("--max-tokens", type=click.IntRange(1), help="The most tokens of an answer."),
    click.option("--seed", type=int, help="For sampling."),
    click.option("--context", type=click.IntRange(1), help="Tokens of prompt and answer together."),
    click.option(
        "--task", "task_file", type=click.Path(path_type=Path), help="A task file (TOML)."
    ),
)
READ_OPTIONS = (
    click.option(
        "--format",
        "format_name",
        type=click.Choice([each.value for each in Format]),
        help="How the input is written, where its name does not say it.",
    ),
    click.option("--delimiter", help="What separates the columns of the input."),
    click.option("--no-header", is_flag=True, help="The first line is a row already."),
    click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N rows."),
)
CREW_OPTIONS = (
    click.option(
        "--price", "price_text", metavar="DOLLARS", help="What an hour of this machine costs."
    ),
    click.option("--threads", type=click.IntRange(1), help="Threads that compute labels."),
    click.option(
        "--endpoint",
        "endpoints",
        multiple=True,
        metavar="URL[,model=NAME][,key=env:NAME]",
        help="Compute there; give it once for each endpoint, `here` for this machine too.",
    ),
    click.option(
        "--ray", metavar="ADDRESS", help="Compute on this Ray cluster; `local` starts one."
    ),
    *RENT_OPTIONS,
)
_RUN_OPTIONS = (
    click.option("--anew", is_flag=True, help="Drop what this job computed and begin again."),
    click.option(
        "--no-report",
        is_flag=True,
        help="Write no OUTPUT.report.md and OUTPUT.report.html at the end.",
    ),
    *CREW_OPTIONS,
    click.option("--json", "as_json", is_flag=True, help="Print what happens as JSON lines."),
)


def with_options(
    options: Sequence[Callable[[Callable[..., None]], Callable[..., None]]],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what gives a command these options, in their order."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The result.")
@with_options(TASK_OPTIONS)
@with_options(READ_OPTIONS)
@with_options(_RUN_OPTIONS)
@pass_session
def run(session: Session, /, inputs: tuple[str, ...], *, output: Path, **flags: object) -> None:
    """Compute every row of INPUT and write them with the answers to OUTPUT.

    INPUT is a file of CSV, TSV, JSON Lines, Parquet or plain lines (.gz, .zst and .bz2 too), a
    folder or a pattern of them, or - for what is piped in. The output has the same rows in the same
    order; rows without an answer stand in OUTPUT.bad.jsonl too, with the reason.

    Give the same command again to go on where it stopped. Ctrl-C pauses.
    """
    spec = spec_of(words_of(flags))
    output = checked_output(output)
    checkpoint = Jobs(session.settings.home).checkpoint(output)
    is_piped = inputs == (PIPED,)
    found = (checkpoint.folder / _PIPED_NAME,) if is_piped else [Path(each) for each in inputs]
    if output in {each.absolute() for each in found}:
        raise NoOutput("the output is the input itself", hint="name another output")
    order = Order(
        inputs=tuple(str(each.absolute()) for each in found),
        output=str(output),
        spec=spec,
        reading=reading_of(flags, is_piped=is_piped),
    )
    piped = _piped(session) if is_piped else None
    _run(session, checkpoint, order, _wish(flags), piped)


@click.command()
@click.argument("job")
@with_options(_RUN_OPTIONS[1:])
@pass_session
def resume(session: Session, /, job: str, **flags: object) -> None:
    """Go on with JOB, an id that `puna batch list` shows, or an output."""
    card = Jobs(session.settings.home).find(job)
    order = card.manifest.order if card.manifest else card.order
    if order is None:
        raise NoOutput(f"the job {card.id} is damaged", hint="run it again with --anew")
    wish = _wish({"anew": False, **flags})
    if wish.crew is not None and wish.crew.is_usual:
        wish = replace(wish, crew=None)
    _run(session, Checkpoint(card.folder), order, wish, None)


def _run(
    session: Session, checkpoint: Checkpoint, order: Order, wish: Wish, piped: BinaryIO | None
) -> None:
    with checkpoint.lock():
        crew = wish.crew or noted_crew(checkpoint)
        is_done = not wish.anew and is_finished(checkpoint, order.output)
        with hired(session, checkpoint, None if is_done else crew.rents, yes=wish.yes) as found:
            wish = replace(wish, price=wish.price or found.an_hour)
            workers = workers_for(session, order.spec, crew, wish.threads, found.workers)
            note_crew(checkpoint, crew)
            job = Job(checkpoint, order, session.world, piped)
            _compute(session, job, workers, wish, found.let_go)
        if wish.reports:
            _report(session, checkpoint, wish)


def _compute(
    session: Session,
    job: Job,
    workers: Sequence[Worker],
    wish: Wish,
    let_go: Callable[[], None],
) -> None:
    """Run a job and show it; `let_go` is called when all is computed. Ctrl-C pauses it."""
    view: BatchView | JsonView = (
        JsonView(session.terminal.line)
        if wish.as_json
        else BatchView(session.terminal, session.world, price=wish.price)
    )
    try:
        asyncio.run(_follow(job.run(workers, anew=wish.anew), workers, view, let_go))
    except KeyboardInterrupt:
        view.finish()
        session.terminal.say("Paused. Give the same command again to go on.")
        raise
    finally:
        view.finish()


def _report(session: Session, checkpoint: Checkpoint, wish: Wish) -> None:
    """Write the report beside the output; without room for it, the output is there all the same."""
    _, manifest = read_job(checkpoint)
    if manifest is None:
        return
    try:
        page = write_report(checkpoint, manifest, wish.price)
    except OSError as error:
        session.terminal.say(f"Note: the report could not be written: {error.strerror}")
        return
    session.terminal.say(f"report: {page}")


async def _follow(
    running: AsyncGenerator[Event],
    workers: Sequence[Worker],
    view: BatchView | JsonView,
    let_go: Callable[[], None],
) -> None:
    is_let_go = False
    try:
        async with aclosing(running) as events:
            async for event in events:
                if isinstance(event, Writing) and not is_let_go:
                    is_let_go = True
                    await in_thread(let_go)
                view.take(event)
    finally:
        for worker in workers:
            await worker.close()


def words_of(flags: dict[str, object]) -> TaskWords:
    """Return what the flags, and a task file under them, say of the task."""
    here = Path()
    said: dict[str, object] = {
        name: flags[name] for name in TaskWords.__dataclass_fields__ if name in flags
    }
    if isinstance(labels := flags["labels"], str):
        said["labels"] = read_labels(labels)
    if isinstance(prompt := flags["prompt"], str):
        said["prompt"] = read_prompt(prompt, here)
    if isinstance(schema := flags["schema"], str):
        said["schema"] = read_schema(schema, here)
    words = TaskWords(**said)  # type: ignore[arg-type]
    task_file = flags["task_file"]
    return words.over(read_task_file(task_file)) if isinstance(task_file, Path) else words


def reading_of(flags: dict[str, object], *, is_piped: bool) -> Reading:
    """Return what the flags say of how the input is written. Raises `NoOutput`."""
    name, delimiter, limit = flags["format_name"], flags["delimiter"], flags["limit"]
    if is_piped and name is None:
        raise NoOutput(
            "how the piped rows are written is not known",
            hint="say it with --format csv, tsv, jsonl, parquet or lines",
        )
    text = str(delimiter or "").replace("\\t", "\t")
    if len(text) > 1:
        raise NoOutput(f'"{text}" is no delimiter: it must be one character')
    return Reading(
        format=Format(str(name)) if name else None,
        delimiter=text,
        has_header=not flags["no_header"],
        limit=limit if isinstance(limit, int) else None,
    )


def _wish(flags: dict[str, object]) -> Wish:
    threads = flags["threads"]
    return Wish(
        anew=bool(flags["anew"]),
        as_json=bool(flags["as_json"]),
        price=Money.parse(str(flags["price_text"] or "0")),
        threads=threads if isinstance(threads, int) else None,
        reports=not flags["no_report"],
        crew=crew_of(flags),
        yes=bool(flags["yes"]),
    )


def crew_of(flags: dict[str, object]) -> Crew:
    """Return what the flags say of who computes. Raises `Invalid`."""
    return Crew(
        _texts(flags["endpoints"]),
        str(flags["ray"] or ""),
        _texts(flags["pods"]),
        rent_wish(flags),
    )


def _texts(given: object) -> tuple[str, ...]:
    return tuple(map(str, given)) if isinstance(given, tuple) else ()


def checked_output(output: Path) -> Path:
    """Return the output's absolute path. Raises `NoOutput`, `UnknownFormat`."""
    shape_of_output(output)
    path = output.absolute()
    if path.is_dir():
        raise NoOutput(f'the output "{output}" is a folder', hint="name a file in it")
    if not path.parent.is_dir():
        raise NoOutput(f'the folder of the output "{output}" does not exist')
    draft = path.with_name(f".{path.name}.puna-try")
    try:  # now, and not after hours of computing
        draft.write_bytes(b"")
        draft.unlink()
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        raise NoOutput(f'the folder of "{output}" cannot be written: {words}') from error
    return path.resolve()


def _piped(session: Session) -> BinaryIO:
    keys = session.terminal.keys
    if isinstance(keys, io.TextIOWrapper):
        piped: BinaryIO = keys.buffer
        return piped
    return io.BytesIO(keys.read().encode())

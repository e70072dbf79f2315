"""What a job did, for people: one page of Markdown and one of HTML, each complete in itself.

Both say the same from one value, the `Story`. Texts in it come from files and models, so whatever
is written is first made safe: no control characters, no mark-up, nothing that a page would run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from puna.batch.costs import rough_money, rough_span
from puna.text import one_line
from puna.units import Money, Span

BINS = 20
"""Bars of the histogram of confidence."""
MOST_LABELS = 30
"""Labels that are shown one by one; the rest is one line."""
_MARKS = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>#|~&!"})


@dataclass(frozen=True, slots=True)
class PacePoint:
    """How many rows were answered after so much work; pauses do not count."""

    span: Span
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts:
    """What became of the rows of the input."""

    total: int
    distinct: int
    done: int
    failed: int = 0
    abstained: int = 0
    """Done, and no label was sure enough."""
    by_classifier: int = 0
    """Done, and by the cascade's classifier."""
    cut: int = 0
    """Done, and the answer ended at the most tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What computed the job."""

    model: str
    digest: str
    engine: str
    path: str = ""
    workers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything that a report says."""

    job: str
    task: str
    input: str
    output: str
    started: datetime
    ended: datetime | None
    """None while rows are left."""
    worked: Span
    machine: Machine
    rows: RowCounts
    pace: tuple[PacePoint, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)
    """Rows of each label, in the task's order."""
    confidence: tuple[int, ...] = ()
    """Rows by the probability of their label, in `BINS` equal steps from 0 to 1."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Rows by the reason why they have no answer."""
    failures_file: str = ""
    tokens: int = 0
    """Tokens of all prompts and answers, as if each row were asked alone."""
    computed: int = 0
    """Tokens that were really computed."""
    price: Money | None = None
    """What it cost; None where nobody said what the machine costs."""
    notes: tuple[str, ...] = ()
    """What else should be known: the cascade's claim, workers lost, a forecast and how it held."""


@dataclass(frozen=True, slots=True)
class Share:
    """A line of a distribution."""

    name: str
    rows: int
    share: float


def shares(story: Story) -> tuple[Share, ...]:
    """Return the labels by their rows, most first; beyond thirty, the rest is one line."""
    total = sum(story.labels.values()) or 1
    ordered = sorted(story.labels.items(), key=lambda pair: -pair[1])
    shown = [Share(name, count, count / total) for name, count in ordered[:MOST_LABELS]]
    rest = ordered[MOST_LABELS:]
    if rest:
        count = sum(each for _, each in rest)
        shown.append(Share(f"{len(rest)} more labels", count, count / total))
    return tuple(shown)


def facts(story: Story) -> Iterator[tuple[str, str]]:
    """Yield what stands in the table at the top: a name and a value, both plain text."""
    rows, machine = story.rows, story.machine
    yield "Task", story.task
    yield "Input", story.input
    yield "Output", story.output
    yield "Rows", f"{rows.total:,}, of which {rows.distinct:,} differ"
    yield "Answered", f"{rows.done:,}"
    if rows.failed:
        beside = f", listed in {story.failures_file}" if story.failures_file else ""
        yield "Without an answer", f"{rows.failed:,}{beside}"
    if rows.abstained:
        yield "Not sure enough for a label", f"{rows.abstained:,}"
    if rows.by_classifier:
        yield "Answered by the classifier", f"{rows.by_classifier:,}"
    if rows.cut:
        yield "Cut at the most tokens", f"{rows.cut:,}"
    yield "Time", f"{rough_span(story.worked)} of work, {rate_words(story)}"
    yield "From, to", f"{_moment(story.started)} to {_end(story)}"
    if story.tokens:
        yield "Tokens", _token_words(story)
    yield "Price", "no charge named" if story.price is None else rough_money(story.price)
    yield "Model", " ".join(filter(None, (machine.model, machine.digest[:12])))
    yield "Engine", machine.engine
    if machine.path:
        yield "Computed by", machine.path
    if machine.workers:
        yield "Workers", ", ".join(machine.workers)


def rate_words(story: Story) -> str:
    """Say how fast it went."""
    answered = story.rows.done + story.rows.failed
    if not story.worked or not answered:
        return "no rows yet"
    rate = answered / story.worked.seconds
    return f"{rate:,.0f} rows/s" if rate >= 100 else f"{rate:.1f} rows/s"  # noqa: PLR2004 - figures


def _token_words(story: Story) -> str:
    if not story.computed or story.computed >= story.tokens:
        return f"{story.tokens:,}"
    saved = 1 - story.computed / story.tokens
    return f"{story.computed:,} computed of {story.tokens:,} asked: {saved:.1%} were shared"


def _end(story: Story) -> str:
    return _moment(story.ended) if story.ended else "not finished"


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def as_markdown(story: Story) -> str:
    """Return the report as Markdown."""
    lines = [f"# Batch job {_md(story.job)}", ""]
    lines += _md_table(("what", "value"), [(name, value) for name, value in facts(story)])
    if story.labels:
        lines += ["", "## Labels", ""]
        rows = [(each.name, f"{each.rows:,}", f"{each.share:.1%}") for each in shares(story)]
        lines += _md_table(("label", "rows", "share"), rows)
    if any(story.confidence):
        lines += ["", "## Confidence", ""]
        lines += _md_table(("probability of the label", "rows"), list(_confidence_rows(story)))
    if story.failures:
        lines += ["", "## Rows without an answer", ""]
        rows = [(reason, f"{count:,}", "") for reason, count in _worst(story)]
        lines += _md_table(("reason", "rows"), [row[:2] for row in rows])
    if story.notes:
        lines += ["", "## Notes", "", *(f"- {_md(note)}" for note in story.notes)]
    return "\n".join(lines) + "\n"


def _confidence_rows(story: Story) -> Iterator[tuple[str, str]]:
    step = 1 / len(story.confidence)
    for place, count in enumerate(story.confidence):
        if count:
            yield f"{place * step:.2f} to {(place + 1) * step:.2f}", f"{count:,}"


def _worst(story: Story) -> list[tuple[str, int]]:
    return sorted(story.failures.items(), key=lambda pair: -pair[1])


def _md_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return lines + [f"| {' | '.join(_md(cell) for cell in row)} |" for row in rows]


def _md(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return one_line(text, 300).translate(_MARKS)

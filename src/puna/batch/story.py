"""The story of a job, from what lies in its folder, and its two pages beside the output."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from puna.batch.census import CENSUS, Counted
from puna.batch.checkpoint import Checkpoint
from puna.batch.jobs import earlier_span
from puna.batch.lessons import lessons_span, read_verdict
from puna.batch.manifest import Manifest
from puna.batch.report import Machine, PacePoint, RowCounts, Story, as_markdown
from puna.batch.report_page import as_page
from puna.batch.spec import EmbedTask, LabelTask, SchemaTask, Spec
from puna.batch.workers.worker import Spent
from puna.library.disk import write_whole
from puna.models.regular_file import shown_path
from puna.units import Money, Span

_HOUR = Span.of(hours=1)
_TIMELINE = "timeline.jsonl"
_SPENT = "spent.jsonl"


def report_files(output: Path) -> tuple[Path, Path]:
    """Return where the report of an output goes: Markdown, and the page."""
    return (
        output.with_name(f"{output.name}.report.md"),
        output.with_name(f"{output.name}.report.html"),
    )


def write_report(checkpoint: Checkpoint, manifest: Manifest, price: Money) -> Path:
    """Write the report beside the output, and return the page. `price` is for an hour. Blocks."""
    story = story_of(checkpoint, manifest, price)
    plain, page = report_files(Path(manifest.order.output))
    for path, text in ((plain, as_markdown(story)), (page, as_page(story))):
        temporary = path.with_name(f".{path.name}")
        temporary.unlink(missing_ok=True)  # of a run that was killed
        write_whole(path, text.encode(errors="replace"), temporary=temporary)
    return page


def story_of(checkpoint: Checkpoint, manifest: Manifest, price: Money) -> Story:
    """Return all that is known of a job; what was not written down stays out."""
    order, intake, identity = manifest.order, manifest.intake, manifest.identity
    counted = Counted.from_json(checkpoint.read(CENSUS))
    finished = _object(checkpoint.read("finished.json"))
    spent = _spent(checkpoint, manifest)
    worked = Span(earlier_span(checkpoint) + lessons_span(checkpoint))
    lines = list(_lines(checkpoint.read(_TIMELINE)))
    why = f": {identity.reason}" if identity.reason else ""
    verdict = read_verdict(checkpoint)
    return Story(
        job=checkpoint.folder.name,
        task=task_words(order.spec),
        input=_named(manifest.files),
        output=order.output,
        started=datetime.fromisoformat(manifest.begun),
        ended=_ended(checkpoint),
        worked=worked,
        machine=Machine(
            model=order.spec.model,
            digest=identity.model_digest,
            engine=identity.engine,
            path=f"{identity.path}{why}",
            workers=tuple(dict.fromkeys(str(line.get("worker", "")) for line in lines)),
        ),
        rows=RowCounts(
            total=intake.rows,
            distinct=intake.distinct,
            done=counted.done,
            failed=sum(counted.failures.values()),
            abstained=counted.abstained,
            by_classifier=counted.by_classifier,
            cut=counted.cut,
        ),
        pace=tuple(_pace(lines)),
        labels=counted.labels,
        confidence=counted.confidence,
        failures=counted.failures,
        failures_file=str(finished.get("bad_file", "")),
        tokens=spent.asked,
        computed=spent.computed,
        price=Money(worked * price // _HOUR) if price else None,
        notes=(f"{verdict.words}.",) if verdict else (),
    )


def task_words(spec: Spec) -> str:
    """Say in a few words what was asked for."""
    match spec.task:
        case LabelTask(labels=labels, multi=multi):
            some = "every label that fits" if multi else "the label that fits best"
            return f"{some}, of {len(labels)}"
        case SchemaTask():
            return "JSON by a schema"
        case EmbedTask():
            return "a vector for each row"
    return "free text"


def note_spent(checkpoint: Checkpoint, rows: int, spent: Spent) -> None:
    """Note the tokens of one run, and of how many rows they were."""
    if rows and spent.asked:
        line = {"rows": rows, "asked": spent.asked, "computed": spent.computed}
        checkpoint.append(_SPENT, json.dumps(line).encode())


def _spent(checkpoint: Checkpoint, manifest: Manifest) -> Spent:
    """Return the tokens of all runs, if each of them could write its count down."""
    lines = list(_lines(checkpoint.read(_SPENT)))
    if sum(_whole(line, "rows") for line in lines) != manifest.intake.distinct:
        return Spent()
    return Spent(
        sum(_whole(line, "asked") for line in lines),
        sum(_whole(line, "computed") for line in lines),
    )


def _pace(lines: list[dict[str, object]]) -> Iterator[PacePoint]:
    """Yield how many rows were done after how much work, shard after shard."""
    rows = 0
    for line in lines:
        worked = line.get("worked")
        rows += _whole(line, "rows")
        if isinstance(worked, int | float):
            yield PacePoint(Span.of(seconds=worked), rows)


def _ended(checkpoint: Checkpoint) -> datetime | None:
    try:
        moment = (checkpoint.folder / "finished.json").stat().st_mtime
    except FileNotFoundError:
        return None
    return datetime.fromtimestamp(moment, UTC)


def _named(files: tuple[str, ...]) -> str:
    first = shown_path(Path(files[0])) if files else ""
    return first if len(files) < 2 else f"{first} and {len(files) - 1} more files"  # noqa: PLR2004 - one


def _lines(content: bytes | None) -> Iterator[dict[str, object]]:
    for line in (content or b"").splitlines():
        found = _object(line)
        if found:
            yield found


def _object(content: bytes | None) -> dict[str, object]:
    try:
        value = json.loads(content or b"{}")
    except ValueError:  # the last line of a run that was killed
        return {}
    return value if isinstance(value, dict) else {}


def _whole(line: dict[str, object], name: str) -> int:
    value = line.get(name)
    return value if isinstance(value, int) else 0

"""The jobs of this machine: a folder each, known by the output that they write.

The folder is named after the output's path, so the same command finds the same job, from whatever
directory it is given, and goes on where it was.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from puna.batch.checkpoint import Checkpoint, JobRuns
from puna.batch.manifest import DamagedJob, Manifest, Order, plain_order, read_manifest, read_order
from puna.errors import NotFound
from puna.library.disk import remove_tree
from puna.units import Size, Span
from puna.world import wait_until

_ID = 8
_STOP_LIMIT = Span.of(seconds=30)


class NoSuchJob(NotFound):
    """No job has this id or output."""

    code = "no_such_job"


class JobState(StrEnum):
    """Where a job stands."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCard:
    """What is known of a job without touching it."""

    id: str
    state: JobState
    output: str
    folder: Path
    order: Order | None = None
    manifest: Manifest | None = None
    done: int = 0
    failed: int = 0
    span: Span = Span(0)  # noqa: RUF009 - a value
    """How long was computed, in all runs together."""
    touched: datetime | None = None

    @property
    def size(self) -> Size:
        """What the folder takes on the disk."""
        return Size(sum(each.stat().st_size for each in self.folder.rglob("*") if each.is_file()))


class Jobs:
    """All jobs below one home."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "batch"

    def checkpoint(self, output: Path) -> Checkpoint:
        """Return the folder of the job that writes `output`, which may not exist yet."""
        name = hashlib.sha256(str(output).encode(errors="surrogateescape")).hexdigest()[:_ID]
        return Checkpoint(self._folder / name)

    def cards(self) -> tuple[JobCard, ...]:
        """Return all jobs, the one that was touched last first."""
        folders = self._folder.iterdir() if self._folder.is_dir() else ()
        found = [self.card(each.name) for each in folders if each.is_dir()]
        return tuple(sorted(found, key=_touched, reverse=True))

    def find(self, word: str) -> JobCard:
        """Return the job of an id, or the beginning of one, or of an output. Raises `NoSuchJob`."""
        by_output = self.checkpoint(Path(word).absolute()).folder.name
        names = [each.name for each in self._folder.iterdir()] if self._folder.is_dir() else []
        found = [each for each in names if each == by_output or (word and each.startswith(word))]
        if len(found) != 1:
            words = "no job" if not found else f"{len(found)} jobs"
            raise NoSuchJob(
                f'{words} for "{word}"', hint="`puna batch list` shows the jobs and their ids"
            )
        return self.card(found[0])

    def card(self, name: str) -> JobCard:
        """Return what is known of a job by its whole id."""
        checkpoint = Checkpoint(self._folder / name)
        try:
            order, manifest = read_job(checkpoint)
        except DamagedJob:
            return JobCard(id=name, state=JobState.DAMAGED, output="", folder=checkpoint.folder)
        progress = _progress(checkpoint)
        return JobCard(
            id=name,
            state=_state(checkpoint),
            output=order.output if order else "",
            folder=checkpoint.folder,
            order=order,
            manifest=manifest,
            done=_whole(progress, "done"),
            failed=_whole(progress, "failed"),
            span=earlier_span(checkpoint),
            touched=_last_touch(checkpoint),
        )

    def pause(self, card: JobCard) -> bool:
        """Stop a job that runs; it goes on when it is run again. False if it did not run."""
        checkpoint = Checkpoint(card.folder)
        if not checkpoint.runs:
            return False
        checkpoint.note("pause", b"")
        if not wait_until(lambda: not checkpoint.runs, limit=_STOP_LIMIT):
            raise JobRuns(
                f"the job {card.id} does not stop", hint="end its process; nothing will be lost"
            )
        return True

    def cancel(self, card: JobCard) -> None:
        """Stop a job and forget it, with all that it computed; its output stays as it is."""
        self.pause(card)
        checkpoint = Checkpoint(card.folder)
        with checkpoint.lock():
            checkpoint.clear()
            remove_tree(card.folder)


def write_order(checkpoint: Checkpoint, order: Order) -> None:
    """Write down what was ordered, so that `puna batch resume` needs no arguments."""
    content = json.dumps(plain_order(order), indent=1, ensure_ascii=False)
    checkpoint.write("order.json", content.encode(errors="surrogateescape"))


def read_job(checkpoint: Checkpoint) -> tuple[Order | None, Manifest | None]:
    """Return what was ordered and what was found; raises `DamagedJob`."""
    order, manifest = checkpoint.read("order.json"), checkpoint.read("manifest.json")
    try:
        ordered = read_order(json.loads(order)) if order else None
    except (ValueError, KeyError, TypeError) as error:
        path = checkpoint.folder / "order.json"
        raise DamagedJob(f"{path} is damaged: {error}", hint="begin anew with --anew") from error
    path = checkpoint.folder / "manifest.json"
    return ordered, read_manifest(manifest, path) if manifest else None


def is_finished(checkpoint: Checkpoint, output: str) -> bool:
    """Whether a job has nothing left to do: its output is written, and still there."""
    return checkpoint.read("finished.json") is not None and Path(output).exists()


def earlier_span(checkpoint: Checkpoint) -> Span:
    """Return how long all runs of a job have computed."""
    seconds = _progress(checkpoint).get("seconds")
    return Span.of(seconds=float(seconds) if isinstance(seconds, int | float) else 0)


def _progress(checkpoint: Checkpoint) -> Mapping[str, object]:
    try:
        value = json.loads(checkpoint.read("progress.json") or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _whole(values: Mapping[str, object], name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) else 0


def _state(checkpoint: Checkpoint) -> JobState:
    if checkpoint.runs:
        return JobState.RUNNING
    return JobState.DONE if checkpoint.read("finished.json") else JobState.PAUSED


def _last_touch(checkpoint: Checkpoint) -> datetime | None:
    times = [
        (checkpoint.folder / name).stat().st_mtime
        for name in ("order.json", "progress.json", "finished.json")
        if (checkpoint.folder / name).exists()
    ]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def _touched(card: JobCard) -> float:
    return card.touched.timestamp() if card.touched else 0.0

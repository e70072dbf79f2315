"""Write the output of a job: every row of the input, in order, with its answer.

The parts become one file of outcomes; then the input is read once more, and each row gets the
outcome of its text by number. A bad row stays in its place with what could be read of it and
without an answer, and stands in the side file with the reason, so that row n of the output is
always row n of the input.
"""

import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from puna.batch.census import CENSUS, Census
from puna.batch.checkpoint import Checkpoint
from puna.batch.columns import Answers, answer_columns
from puna.batch.events import Writing
from puna.batch.formats import shape_of_output
from puna.batch.intake import read_bad, read_numbers
from puna.batch.manifest import DamagedJob, Manifest
from puna.batch.outcome import labelled_rows, unpack
from puna.batch.reading import Files
from puna.batch.records import BadRow, Chunk, excerpt
from puna.batch.strings import Strings, StringsWriter
from puna.batch.writing import RowsWriter, open_writer, schema_of_output, whole_file

_OUTCOMES = "outcomes"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    rows: int
    bad: int
    bad_file: str


def bad_file_of(output: Path) -> Path:
    """Return where the bad rows of an output go."""
    return output.with_name(f"{output.name}.bad.jsonl")


def write_output(checkpoint: Checkpoint, manifest: Manifest) -> Generator[Writing | Written]:
    """Write the output and the side file; the last thing yielded says what was written. Blocks."""
    width = gather_outcomes(checkpoint, manifest)
    order, output = manifest.order, Path(manifest.order.output)
    source = Files([Path(each) for each in manifest.files], order.reading)
    added = answer_columns(order.spec.task, manifest.intake.columns)
    schema = schema_of_output(source.schema, manifest.intake.kinds, added)
    shape = shape_of_output(output)
    bad_path = bad_file_of(output)
    rows = bad = 0
    with Strings(checkpoint.folder / _OUTCOMES, width) as outcomes:
        census = Census(order.spec.task)
        filler = _Filler(checkpoint, outcomes, Answers(order.spec.task, added), census)
        with (
            whole_file(bad_path) as bad_file,
            whole_file(output, shape) as file,
            open_writer(file, shape, schema, manifest.intake.columns) as writer,
        ):
            for chunk in source.chunks():
                bad_rows = filler.fill(chunk, writer)
                bad_file.write("".join(_line(each) for each in bad_rows).encode())
                rows += len(chunk)
                bad += len(bad_rows)
                yield Writing(rows, manifest.intake.rows)
    if not bad:
        bad_path.unlink()
    checkpoint.write(CENSUS, census.counted().to_json())
    _remove(checkpoint.folder / _OUTCOMES)
    yield Written(rows, bad, str(bad_path) if bad else "")


def gather_outcomes(checkpoint: Checkpoint, manifest: Manifest) -> int | None:
    """Put all parts into one file, and return how long all outcomes are, if they are of one length.

    Raises `DamagedJob` if a part is missing.
    """
    job = manifest.digest
    writer = StringsWriter(checkpoint.folder / _OUTCOMES)
    for number in range(manifest.shards):
        outcomes = checkpoint.part(number, job)
        if outcomes is None:
            raise DamagedJob(
                f"part {number} of the job {checkpoint.folder.name} is damaged or missing",
                hint="run the job again: it computes that part anew",
            )
        writer.extend(outcomes)
    writer.finish(lasts=False)
    return writer.width


class _Filler:
    """Gives rows their answers, and collects those that have none."""

    def __init__(
        self, checkpoint: Checkpoint, outcomes: Strings, answers: Answers, census: Census
    ) -> None:
        self._folder = checkpoint.folder
        self._outcomes, self._answers, self._census = outcomes, answers, census
        self._bad = read_bad(self._folder)
        self._next = next(self._bad, None)

    def fill(self, chunk: Chunk, writer: RowsWriter) -> list[BadRow]:
        """Write a chunk with its answers, and return its bad rows."""
        numbers = read_numbers(self._folder, chunk.first - 1, len(chunk))
        if len(numbers) < len(chunk):
            raise DamagedJob("the input has more rows than it had", hint="begin anew with --anew")
        outcomes = self._outcomes.gather(numbers)
        rows = labelled_rows(outcomes)
        if rows is not None:
            self._census.take_all(rows)
            writer.write(chunk, self._answers.of_all(rows))
            return []
        values: list[tuple[object, ...]] = []
        bad: list[BadRow] = []
        for row, packed in enumerate(outcomes, chunk.first):
            if not packed:
                values.append(self._answers.nothing.values)
                bad += self._known(row)
                continue
            outcome = unpack(packed)
            found = self._answers.of(outcome)
            values.append(found.values)
            if not found.reason:
                self._census.take(outcome)
            else:
                text = self._text(int(numbers[row - chunk.first]))
                bad.append(BadRow(row, found.reason, text=text))
        writer.write(chunk, list(zip(*values, strict=True)))
        for each in bad:
            self._census.fail(each.reason)
        return bad

    def _known(self, row: int) -> list[BadRow]:
        """Return what the intake said of a bad row; it said so in the order of rows."""
        found = self._next
        if found is None or found.row != row:
            return [BadRow(row, "it could not be read")]
        self._next = next(self._bad, None)
        return [found]

    def _text(self, number: int) -> str:
        with Strings(self._folder / "texts") as texts:
            return excerpt(texts.stretch(number, 1)[0].decode())


def _line(bad: BadRow) -> str:
    return json.dumps(bad.to_record(), ensure_ascii=False) + "\n"


def _remove(path: Path) -> None:
    for each in (path, path.with_name(path.name + ".offsets")):
        each.unlink(missing_ok=True)

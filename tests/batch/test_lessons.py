"""A job with a cascade: who answers which row, and that no interruption changes a byte."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import pytest

from puna.batch.cascade import NoCascade
from puna.batch.events import Event, Remark
from puna.batch.lessons import lessons_span, read_verdict
from puna.batch.shards import Shard
from puna.batch.spec import Label, LabelTask
from puna.batch.taskfile import BadTask, TaskWords, spec_of
from puna.batch.workers.worker import Answer, Scored
from tests.batch.stage import EchoWorker, an_order, folder_of, run, write_csv

WORDS = [f"{a}{b}" for a in ("ka", "mo", "ri", "tu", "se", "lo") for b in ("na", "to", "vi", "da")]
NAMES = ("red", "green", "blue")
TASK = LabelTask(labels=tuple(Label(name) for name in NAMES), cascade=0.9)
ROWS = 6000


def texts() -> list[str]:
    dice = random.Random(2)  # noqa: S311 - chance that repeats
    groups = [WORDS[place :: len(NAMES)] for place in range(len(NAMES))]
    return [
        " ".join(dice.choices(dice.choice([*groups, WORDS]), k=dice.randint(3, 5)))
        for _ in range(ROWS)
    ]


def label_of(text: str) -> int:
    """Words of one group decide; what mixes them is labelled as nobody can learn."""
    groups = {WORDS.index(word) % len(NAMES) for word in text.split()}
    return groups.pop() if len(groups) == 1 else crc32(text.encode()) % len(NAMES)


def answer(text: str) -> Answer:
    return Scored(tuple(0.0 if place == label_of(text) else -3.0 for place in range(len(NAMES))))


class Painter(EchoWorker):
    """Labels by a rule that a classifier can learn."""

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        self.asked.append(shard)
        return [answer(text) for text in shard.texts]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "in.csv", texts())


def remarks(events: Sequence[Event]) -> str:
    return "\n".join(event.text for event in events if isinstance(event, Remark))


async def test_the_classifier_answers_what_it_is_proved_to_know(
    source: Path, tmp_path: Path
) -> None:
    order = an_order(source, tmp_path / "out.csv", task=TASK, column="text")
    worker = Painter()
    events = await run(order, worker, home=tmp_path)
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    guessed = [row for row in rows if row["by"] == "classifier"]
    right = sum(row["label"] == NAMES[label_of(row["text"])] for row in guessed)
    assert len(guessed) > ROWS / 10
    assert right / len(guessed) >= 0.9
    said = remarks(events)
    assert "with 95 % confidence" in said
    assert "lessons: 1500 of 1500 rows are labelled" in said
    assert lessons_span(folder_of(order, tmp_path)) > 0
    assert len(worker.rows) == len(set(worker.rows)) < len(set(texts()))


async def test_what_the_model_says_of_a_lesson_stands(source: Path, tmp_path: Path) -> None:
    order = an_order(source, tmp_path / "out.csv", task=TASK, column="text")
    worker = Painter()
    await run(order, worker, home=tmp_path)
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    by_model = [row for row in rows if row["by"] == "model"]
    assert {row["text"] for row in by_model} == set(worker.rows)
    assert all(row["label"] == NAMES[label_of(row["text"])] for row in by_model)


@pytest.mark.parametrize("shards", [1, 4, 7, 8])
async def test_a_job_that_was_interrupted_gives_the_same_bytes(
    source: Path, tmp_path: Path, shards: int
) -> None:
    unbroken = an_order(source, tmp_path / "one.csv", task=TASK, column="text")
    await run(unbroken, Painter(), home=tmp_path)
    order = an_order(source, tmp_path / "two.csv", task=TASK, column="text")
    broken = _Breaking(shards)
    with pytest.raises(ZeroDivisionError):
        await run(order, broken, home=tmp_path)
    rest = Painter()
    await run(order, rest, home=tmp_path)
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert not set(rest.rows) & set(broken.kept)


class _Breaking(Painter):
    """Breaks the job at a shard; what it answered before is kept."""

    def __init__(self, shards: int) -> None:
        super().__init__()
        self._shards = shards
        self.kept: list[str] = []

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        if len(self.asked) >= self._shards:
            raise ZeroDivisionError
        self.kept = self.rows
        return await super().compute(shard)


async def test_a_damaged_classifier_is_learnt_again(source: Path, tmp_path: Path) -> None:
    order = an_order(source, tmp_path / "out.csv", task=TASK, column="text")
    with pytest.raises(ZeroDivisionError):
        await run(order, _Breaking(8), home=tmp_path)
    file = folder_of(order, tmp_path).folder / "cascade"
    learnt = file.read_bytes()
    file.write_bytes(b"{")
    await run(order, Painter(), home=tmp_path)
    assert file.read_bytes() == learnt


async def test_too_few_rows_are_all_for_the_model(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", sorted(set(texts()))[:300])
    order = an_order(source, tmp_path / "out.csv", task=TASK, column="text")
    events = await run(order, worker := Painter(), home=tmp_path)
    assert "answers no rows: there are too few rows" in remarks(events)
    assert len(worker.rows) == 300


async def test_labels_without_a_rule_are_all_for_the_model(source: Path, tmp_path: Path) -> None:
    order = an_order(source, tmp_path / "out.csv", task=TASK, column="text")
    events = await run(order, worker := EchoWorker(), home=tmp_path)
    verdict = read_verdict(folder_of(order, tmp_path))
    assert verdict is not None
    assert verdict.margin is None
    assert "answers no rows" in remarks(events)
    assert set(worker.rows) == set(texts())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"cascade": 2.0}, "an agreement of 2 makes no cascade"),
        ({"cascade": 0.9, "multi": True}, "no meaning with --multi"),
        ({"cascade": 0.9, "labels": None, "prompt": "{{ x }}"}, "--cascade has no meaning"),
    ],
)
def test_a_cascade_that_makes_no_sense_is_refused(words: dict[str, object], why: str) -> None:
    said: dict[str, object] = {"model": "m", "labels": (Label("a"), Label("b")), **words}
    with pytest.raises((BadTask, NoCascade), match=why):
        spec_of(TaskWords(**said))  # type: ignore[arg-type]

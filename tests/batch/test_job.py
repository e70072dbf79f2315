"""One job from its input to its output, interrupted anywhere and gone on with."""

import io
import random
from contextlib import aclosing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from puna.batch.events import Begun, Finished, Remark, Tally
from puna.batch.job import Job, OutputThere, batches_of, sizes_of
from puna.batch.jobs import Jobs, JobState, NoSuchJob
from puna.batch.manifest import ChangedJob, DamagedJob, Order
from puna.batch.reading import Reading
from puna.batch.spec import EmbedTask, Label, LabelTask, PromptTask, SchemaTask, Task
from puna.batch.workers.worker import Identity
from puna.world import RealWorld
from tests.batch.stage import (
    EchoWorker,
    a_spec,
    an_order,
    folder_of,
    following,
    records,
    run,
    write_csv,
)

PROMPT = PromptTask()
LABELS = LabelTask(labels=(Label("x"), Label("y")))
WORDS = ["b", "a", " a", "", "refuse me", "b", "\u00e9", "e\u0301"]
MULTI = LabelTask(labels=(Label("x"), Label("y")), multi=True)
SCHEMA = SchemaTask(schema='{"properties": {"n": {"type": "integer"}, "word": {"type": "string"}}}')


def many(count: int = 100) -> list[str]:
    return [f"word {n * 7 % count}" for n in range(count)]


async def test_every_row_has_its_place_and_bad_ones_a_reason(tmp_path: Path) -> None:
    order = an_order(write_csv(tmp_path / "rows.csv", WORDS), tmp_path / "out.jsonl")
    worker = EchoWorker()
    (*_, end) = await run(order, worker, home=tmp_path)
    found = records(tmp_path / "out.jsonl")
    assert [row["text"] for row in found] == WORDS
    assert [row["id"] for row in found] == [str(n) for n in range(8)]
    assert found[1]["label"] == found[2]["label"] is not None
    assert sorted(worker.rows) == ["a", "b", "refuse me", "\u00e9"]
    assert end == Finished(order.output, 8, 2, f"{order.output}.bad.jsonl")
    bad = records(tmp_path / "out.jsonl.bad.jsonl")
    assert [(row["row"], row["reason"]) for row in bad] == [
        (4, "it is empty"),
        (5, "it is not answered"),
    ]
    assert [row["label"] for row in found[3:5]] == [None, None]


@pytest.mark.parametrize("task", [PROMPT, SCHEMA, EmbedTask(), MULTI], ids=lambda each: each.kind)
@pytest.mark.parametrize("ending", [".csv", ".tsv.gz", ".jsonl", ".parquet", ".jsonl.zst"])
async def test_every_task_writes_every_format(tmp_path: Path, task: Task, ending: str) -> None:
    source = write_csv(tmp_path / "rows.csv", ["a", "b", "", "a"])
    order = an_order(source, tmp_path / f"out{ending}", task=task)
    (*_, end) = await run(order, home=tmp_path)
    assert isinstance(end, Finished)
    assert (end.rows, end.bad) == (4, 1)
    again = an_order(tmp_path / f"out{ending}", tmp_path / "again.csv", task=task, column="text")
    (*_, end) = await run(again, home=tmp_path)
    assert isinstance(end, Finished)
    assert end.rows == 4


async def test_running_again_does_nothing_and_says_so(tmp_path: Path) -> None:
    order = an_order(write_csv(tmp_path / "rows.csv", WORDS), tmp_path / "out.csv")
    await run(order, home=tmp_path)
    worker = EchoWorker()
    (end,) = await run(order, worker, home=tmp_path)
    assert isinstance(end, Finished)
    assert end.was_done
    assert worker.specs == []


async def test_an_output_that_was_removed_is_written_again_without_computing(
    tmp_path: Path,
) -> None:
    order = an_order(write_csv(tmp_path / "rows.csv", many()), tmp_path / "out.csv")
    await run(order, home=tmp_path)
    before = (tmp_path / "out.csv").read_bytes()
    (tmp_path / "out.csv").unlink()
    worker = EchoWorker()
    await run(order, worker, home=tmp_path)
    assert (tmp_path / "out.csv").read_bytes() == before
    assert worker.asked == []


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_interrupts_a_job_the_bytes_are_those_of_an_unbroken_run(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - chance that repeats
    source = write_csv(tmp_path / "rows.csv", many())
    order = an_order(source, tmp_path / "out.parquet", task=PROMPT)
    await run(order, home=tmp_path / "unbroken")
    unbroken = (tmp_path / "out.parquet").read_bytes()
    (tmp_path / "out.parquet").unlink()
    workers = []
    while not (tmp_path / "out.parquet").exists():
        left = dice.randrange(1, 12)
        workers.append(EchoWorker(places=2))
        async with aclosing(following(order, workers[-1], home=tmp_path)) as events:
            async for _ in events:
                left -= 1
                if left < 0:
                    break
    assert (tmp_path / "out.parquet").read_bytes() == unbroken
    asked = [row for worker in workers for row in worker.rows]
    in_flight = 2 * 16 * (len(workers) - 1)
    assert len(asked) <= 100 + in_flight
    assert set(asked) == set(many())


async def test_a_job_that_is_paused_from_elsewhere_goes_on(tmp_path: Path) -> None:
    order = an_order(write_csv(tmp_path / "rows.csv", many()), tmp_path / "out.csv", task=PROMPT)
    checkpoint = folder_of(order, tmp_path)
    async with aclosing(following(order, home=tmp_path)) as events:
        async for event in events:
            if isinstance(event, Begun):
                break
    worker = EchoWorker()
    begun = [each for each in await run(order, worker, home=tmp_path) if isinstance(each, Begun)]
    assert begun[0].tally.rows == 100
    assert checkpoint.read("pause") is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "other"}, "model (was m, is other)"),
        ({"task": EmbedTask()}, "task (was prompt, is embed)"),
        ({"task": PromptTask(max_tokens=9)}, "max tokens (was 256, is 9)"),
        ({"task": PromptTask(system="x")}, "system (was not set, is x)"),
        ({"seed": 5}, "seed (was 0, is 5)"),
        ({"column": "id"}, "column (was not set, is id)"),
        ({"reading": Reading(limit=5)}, "limit (was not set, is 5)"),
    ],
    ids=str,
)
async def test_a_changed_job_is_refused_by_what_changed(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    source = write_csv(tmp_path / "rows.csv", many())
    await run(an_order(source, tmp_path / "out.csv", task=PROMPT), home=tmp_path)
    with pytest.raises(ChangedJob) as caught:
        await run(
            an_order(source, tmp_path / "out.csv", **{"task": PROMPT, **changes}), home=tmp_path
        )
    assert caught.value.message.endswith(f"was begun with something else: {words}")
    assert "--anew" in caught.value.hint


async def test_a_changed_input_is_refused_and_begun_anew_on_demand(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "rows.csv", many())
    order = an_order(source, tmp_path / "out.csv")
    await run(order, home=tmp_path)
    write_csv(source, ["other"])
    with pytest.raises(ChangedJob, match="something else: the input"):
        await run(order, home=tmp_path)
    (*_, end) = await run(order, home=tmp_path, anew=True)
    assert isinstance(end, Finished)
    assert end.rows == 1


async def interrupted(order: Order, home: Path) -> None:
    async with aclosing(following(order, home=home)) as events:
        async for event in events:
            if isinstance(event, Tally) and event.done:
                return


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        (Identity("1" * 64, "test 1", "float"), "the model (was 000000000000, is 111111111111)"),
        (Identity("0" * 64, "test 2", "float"), "the engine (was test 1, is test 2)"),
        (Identity("0" * 64, "test 1", "kernels"), "the way of computing (was float, is kernels)"),
    ],
    ids=["model", "engine", "path"],
)
async def test_a_model_that_is_another_now_is_refused(
    tmp_path: Path, identity: Identity, words: str
) -> None:
    order = an_order(write_csv(tmp_path / "rows.csv", many()), tmp_path / "out.csv", task=PROMPT)
    await interrupted(order, tmp_path)
    with pytest.raises(ChangedJob) as caught:
        await run(order, EchoWorker(identity=identity), home=tmp_path)
    assert words in caught.value.message


async def test_going_on_names_the_way_of_computing_that_was_begun(tmp_path: Path) -> None:
    order = an_order(write_csv(tmp_path / "rows.csv", many()), tmp_path / "out.csv", task=PROMPT)
    await interrupted(order, tmp_path)
    worker = EchoWorker()
    await run(order, worker, home=tmp_path)
    assert [each.path for each in worker.specs] == ["float"]


async def test_a_part_that_the_disk_damaged_is_computed_again(tmp_path: Path) -> None:
    order = an_order(write_csv(tmp_path / "rows.csv", many()), tmp_path / "out.csv", task=PROMPT)
    await run(order, home=tmp_path)
    before = (tmp_path / "out.csv").read_bytes()
    (tmp_path / "out.csv").unlink()
    part = folder_of(order, tmp_path).folder / "parts/00000002"
    part.write_bytes(part.read_bytes()[:-1])
    worker = EchoWorker()
    await run(order, worker, home=tmp_path)
    assert [each.number for each in worker.asked] == [2]
    assert (tmp_path / "out.csv").read_bytes() == before


async def test_a_damaged_manifest_is_said(tmp_path: Path) -> None:
    order = an_order(write_csv(tmp_path / "rows.csv", WORDS), tmp_path / "out.csv")
    await run(order, home=tmp_path)
    (folder_of(order, tmp_path).folder / "manifest.json").write_text("{")
    with pytest.raises(DamagedJob, match="is damaged"):
        await run(order, home=tmp_path)


async def test_a_column_that_gives_way_is_said(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "rows.csv", WORDS, column="label")
    events = await run(an_order(source, tmp_path / "out.jsonl", column="label"), home=tmp_path)
    assert Remark('the input has a column "label"; the answer is in "puna_label"') in events
    assert records(tmp_path / "out.jsonl")[0]["label"] == "b"


async def test_an_input_without_a_good_row_gives_an_output(tmp_path: Path) -> None:
    order = an_order(write_csv(tmp_path / "rows.csv", ["", " "]), tmp_path / "out.csv")
    (*_, end) = await run(order, home=tmp_path)
    assert isinstance(end, Finished)
    assert (end.rows, end.bad) == (2, 2)


async def test_a_file_that_no_job_wrote_is_not_replaced_unasked(tmp_path: Path) -> None:
    order = an_order(write_csv(tmp_path / "rows.csv", WORDS), tmp_path / "out.csv")
    (tmp_path / "out.csv").write_text("precious")
    with pytest.raises(OutputThere, match="is there already, and is not of this job"):
        await run(order, home=tmp_path)
    assert (tmp_path / "out.csv").read_text() == "precious"
    await run(order, home=tmp_path, anew=True)
    assert (tmp_path / "out.csv").read_text() != "precious"


async def test_a_side_file_of_an_earlier_run_does_not_stay(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "rows.csv", ["a", ""])
    order = an_order(source, tmp_path / "out.csv")
    await run(order, home=tmp_path)
    assert (tmp_path / "out.csv.bad.jsonl").exists()
    write_csv(source, ["a"])
    await run(order, home=tmp_path, anew=True)
    assert not (tmp_path / "out.csv.bad.jsonl").exists()


async def test_types_of_parquet_travel_through_a_job(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "rows.csv", ["a", "b"])
    await run(an_order(source, tmp_path / "one.parquet"), home=tmp_path)
    order = an_order(tmp_path / "one.parquet", tmp_path / "two.parquet", column="text")
    await run(order, home=tmp_path)
    one, two = pq.read_table(tmp_path / "one.parquet"), pq.read_table(tmp_path / "two.parquet")
    assert two.select(one.column_names).equals(one)
    assert two.column_names[-3:] == ["puna_label", "puna_probability", "puna_margin"]


async def piped(folder: Path, content: bytes) -> Finished:
    source = Jobs(folder).checkpoint(folder / "out.csv").folder / "piped"
    reading = Reading(format=None) if content.startswith(b"PAR1") else Reading(format="csv")  # type: ignore[arg-type]
    order = Order(
        inputs=(str(source),), output=str(folder / "out.csv"), spec=a_spec(), reading=reading
    )
    checkpoint = folder_of(order, folder)
    with checkpoint.lock():
        job = Job(checkpoint, order, RealWorld(), io.BytesIO(content))
        (*_, end) = [event async for event in job.run([EchoWorker()], anew=False)]
    assert isinstance(end, Finished)
    return end


async def test_rows_that_are_piped_in_are_copied_and_must_stay_the_same(tmp_path: Path) -> None:
    assert (await piped(tmp_path, b"text\na\nb\n")).rows == 2
    assert (await piped(tmp_path, b"text\na\nb\n")).was_done
    with pytest.raises(ChangedJob, match="the input"):
        await piped(tmp_path, b"text\nc\n")


async def test_jobs_are_listed_found_and_cancelled(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "rows.csv", many())
    await run(an_order(source, tmp_path / "one.csv"), home=tmp_path)
    await interrupted(an_order(source, tmp_path / "two.csv", task=PROMPT), tmp_path)
    jobs = Jobs(tmp_path)
    states = {Path(each.output).name: each.state for each in jobs.cards()}
    assert states == {"one.csv": JobState.DONE, "two.csv": JobState.PAUSED}
    card = jobs.find(str(tmp_path / "two.csv"))
    assert jobs.find(card.id[:6]).output == card.output
    assert card.done in range(16, 100)
    assert not jobs.pause(card)
    jobs.cancel(card)
    assert len(jobs.cards()) == 1
    with pytest.raises(NoSuchJob, match=f'no job for "{card.id}"'):
        jobs.find(card.id)


@pytest.mark.parametrize(
    ("task", "distinct", "batches"),
    [
        (LABELS, 1, 1),
        (LABELS, 4_079, 1),
        (LABELS, 4_080, 2),
        (LABELS, 10_000, 4),
        (LABELS, 1_000_000, 4),
        (LABELS, 100_000_000, 8),
        (PROMPT, 100, 1),
        (PROMPT, 100_000, 4),
        (PROMPT, 50_000_000, 63),
    ],
    ids=str,
)
def test_shards_grow_with_the_job(task: Task, distinct: int, batches: int) -> None:
    assert batches_of(sizes_of(task), distinct) == batches

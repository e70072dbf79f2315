"""The report of a real job: its pages beside the output, and what they say of its rows."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from puna.batch.census import Census, Counted
from puna.batch.jobs import read_job
from puna.batch.outcome import ABSTAINED, Fitting, Labelled
from puna.batch.report import Story
from puna.batch.spec import EmbedTask, PromptTask, SchemaTask, Task
from puna.batch.story import note_spent, report_files, story_of, task_words, write_report
from puna.batch.workers.worker import Spent, Written
from puna.units import Money, Span
from tests.batch.stage import ANIMAL_OR_PLANT, a_spec, an_order, folder_of, run, write_csv

TEXTS = [*(f"word {n % 300}" for n in range(700)), "", "refuse 1", "refuse 2"]


async def story(tmp_path: Path, task: Task = ANIMAL_OR_PLANT, price: str = "0") -> Story:
    order = an_order(write_csv(tmp_path / "in.csv", TEXTS), tmp_path / "out.csv", task=task)
    order = replace(order, spec=replace(order.spec, column="text"))
    await run(order, home=tmp_path)
    checkpoint = folder_of(order, tmp_path)
    _, manifest = read_job(checkpoint)
    assert manifest is not None
    return story_of(checkpoint, manifest, Money.parse(price))


async def test_the_labels_of_the_report_are_those_of_the_output(tmp_path: Path) -> None:
    told = await story(tmp_path)
    with (tmp_path / "out.csv").open() as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert told.labels == {name: labels.count(name) for name in ("animal", "plant", "thing")}
    assert sum(told.confidence) == told.rows.done == 700


async def test_rows_without_an_answer_are_told_by_their_reason(tmp_path: Path) -> None:
    told = await story(tmp_path)
    assert told.failures == {"it is empty": 1, "it is not answered": 2}
    assert (told.rows.total, told.rows.failed) == (703, 3)
    assert told.failures_file.endswith("out.csv.bad.jsonl")


async def test_the_pace_goes_up_to_all_rows_that_differ(tmp_path: Path) -> None:
    told = await story(tmp_path)
    assert told.pace[-1].rows == told.rows.distinct == 302
    assert [point.span for point in told.pace] == sorted(point.span for point in told.pace)
    assert told.machine.workers == ("echo",)
    assert told.ended is not None


async def test_an_hour_has_the_price_that_was_named(tmp_path: Path) -> None:
    assert (await story(tmp_path)).price is None
    told = await story(tmp_path, price="3600")
    assert told.price == Money(told.worked * 3600 * 10**6 // Span.of(hours=1))


async def test_free_text_has_a_report_without_labels(tmp_path: Path) -> None:
    told = await story(tmp_path, PromptTask())
    assert (told.labels, told.confidence, told.rows.done) == ({}, (), 700)


async def test_both_pages_lie_beside_the_output(tmp_path: Path) -> None:
    await story(tmp_path)
    checkpoint = folder_of(an_order(tmp_path, tmp_path / "out.csv"), tmp_path)
    _, manifest = read_job(checkpoint)
    assert manifest is not None
    page = write_report(checkpoint, manifest, Money(0))
    plain, html = report_files(tmp_path / "out.csv")
    assert page == html
    assert plain.read_text().startswith("# Batch job")
    assert html.read_text().startswith("<!doctype html>")


async def test_tokens_are_told_if_every_run_could_count_them(tmp_path: Path) -> None:
    told = await story(tmp_path)
    checkpoint = folder_of(an_order(tmp_path, tmp_path / "out.csv"), tmp_path)
    _, manifest = read_job(checkpoint)
    assert manifest is not None
    assert told.tokens == 0
    note_spent(checkpoint, 200, Spent(4000, 300))
    assert story_of(checkpoint, manifest, Money(0)).tokens == 0
    note_spent(checkpoint, 102, Spent(2000, 100))
    whole = story_of(checkpoint, manifest, Money(0))
    assert (whole.tokens, whole.computed) == (6000, 400)


def test_each_row_is_counted_for_what_it_came_to() -> None:
    census = Census(ANIMAL_OR_PLANT)
    census.take(Labelled(1, 0.97, 0.9))
    census.take(Labelled(1, 1.0, 1.0, is_guess=True))
    census.take(Labelled(ABSTAINED, 0.34, 0.1))
    census.fail("it has 2,000 tokens, 10 have room")
    census.fail("it has 31 tokens, 10 have room")
    counted = census.counted()
    assert counted.labels == {"animal": 0, "plant": 2, "thing": 0}
    assert (counted.done, counted.abstained, counted.by_classifier) == (3, 1, 1)
    assert (counted.confidence[-1], counted.confidence[6]) == (2, 1)
    assert counted.failures == {"it has N tokens, N have room": 2}


def test_several_labels_a_row_are_counted_each() -> None:
    census = Census(replace(ANIMAL_OR_PLANT, multi=True))
    census.take(Fitting(((0, 0.9), (2, 0.6))))
    census.take(Fitting(()))
    counted = census.counted()
    assert (counted.labels["animal"], counted.labels["thing"]) == (1, 1)
    assert (counted.done, counted.abstained) == (2, 1)


def test_an_answer_that_was_cut_is_counted() -> None:
    census = Census(PromptTask())
    census.take(Written("so", "length"))
    assert census.counted().cut == 1


def test_counts_come_back_from_their_file() -> None:
    counted = Counted(labels={"ż": 3}, confidence=(0, 3), failures={"so": 1}, done=3)
    assert Counted.from_json(counted.to_json()) == counted


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"x": 1}'])
def test_counts_that_cannot_be_read_count_nothing(content: bytes | None) -> None:
    assert Counted.from_json(content) == Counted()


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (ANIMAL_OR_PLANT, "the label that fits best, of 3"),
        (replace(ANIMAL_OR_PLANT, multi=True), "every label that fits, of 3"),
        (SchemaTask(schema=json.dumps({})), "JSON by a schema"),
        (EmbedTask(), "a vector for each row"),
        (PromptTask(), "free text"),
    ],
)
def test_a_task_is_said_in_a_few_words(task: Task, words: str) -> None:
    assert task_words(a_spec(task=task)) == words

"""`puna batch run` with a report and with a cascade, as processes with a scripted node."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Serving

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("serving"), PUNA_ENGINE="scripted") as found:
        yield found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("text\n" + "".join(f"row {n}\n" for n in range(20)) + '""\n')
    return path


def batch(folder: Path, serving: Serving, *words: str) -> "subprocess.CompletedProcess[str]":
    environ = os.environ | {
        "PUNA_HOME": str(folder / "home"),
        "PUNA_HOST": serving.url,
        "PUNA_ENGINE": "scripted",
    }
    return subprocess.run(
        [sys.executable, "-m", "puna", "batch", *words],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_report_is_written_and_named(source: Path, tmp_path: Path, serving: Serving) -> None:
    output = tmp_path / "out.csv"
    words = ("run", str(source), "-o", str(output), "-m", "smollm2", "--prompt", "{{ text }}")
    ran = batch(tmp_path, serving, *words, "--price", "1")
    assert f"report: {output}.report.html" in ran.stderr
    plain = (tmp_path / "out.csv.report.md").read_text()
    assert "| Rows | 21, of which 20 differ |" in plain
    assert "| it is empty | 1 |" in plain
    assert "| Price | $0" in plain
    assert "free text" in (tmp_path / "out.csv.report.html").read_text()


def test_a_report_can_be_left_out(source: Path, tmp_path: Path, serving: Serving) -> None:
    words = ("run", str(source), "-o", str(tmp_path / "out.csv"), "-m", "smollm2")
    ran = batch(tmp_path, serving, *words, "--prompt", "{{ text }}", "--no-report")
    assert ran.returncode == 0
    assert not list(tmp_path.glob("*.report.*"))


def test_a_cascade_over_few_rows_says_that_the_model_does_it_all(
    source: Path, tmp_path: Path, serving: Serving
) -> None:
    output = tmp_path / "out.csv"
    words = ("run", str(source), "-o", str(output), "-m", "smollm2", "--labels", "a,b")
    ran = batch(tmp_path, serving, *words, "--cascade", "0.95")
    assert "The classifier answers no rows: there are too few rows" in ran.stderr
    with output.open() as file:
        assert {row["by"] for row in csv.DictReader(file) if row["label"]} == {"model"}


def test_a_cascade_that_proves_nothing_is_refused(
    source: Path, tmp_path: Path, serving: Serving
) -> None:
    words = ("run", str(source), "-o", str(tmp_path / "out.csv"), "-m", "smollm2")
    ran = batch(tmp_path, serving, *words, "--labels", "a,b", "--cascade", "1.0")
    assert ran.returncode == 1
    assert "an agreement of 1 makes no cascade" in ran.stderr


def test_another_cascade_is_another_job(source: Path, tmp_path: Path, serving: Serving) -> None:
    words = ("run", str(source), "-o", str(tmp_path / "out.csv"), "-m", "smollm2")
    labels = (*words, "--labels", "a,b")
    assert batch(tmp_path, serving, *labels).returncode == 0
    ran = batch(tmp_path, serving, *labels, "--cascade", "0.95")
    assert ran.returncode == 1
    assert "cascade" in ran.stderr


def test_a_plan_through_a_node_reckons_its_tokens(
    source: Path, tmp_path: Path, serving: Serving
) -> None:
    words = ("plan", str(source), "-m", "smollm2", "--labels", "a,b", "--json")
    ran = batch(tmp_path, serving, *words)
    value = json.loads(ran.stdout)
    assert (value["distinct"], value["bad"], value["sampled"]) == (20, 1, 20)
    assert not value["tokens"]["is_counted"]
    assert value["tokens"]["shared"] > 10


def test_a_plan_of_free_text_counts_what_was_written(
    source: Path, tmp_path: Path, serving: Serving
) -> None:
    words = ("plan", str(source), "-m", "smollm2", "--prompt", "{{ text }}", "--json")
    tokens = json.loads(batch(tmp_path, serving, *words).stdout)["tokens"]
    assert tokens["is_counted"]
    assert tokens["written"] == tokens["answer"] > 0

"""`puna batch plan` of a small file, with the real model: what a person and a program read."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from puna.batch.costs import Bids
from puna.batch.forecast import Forecast
from puna.batch.intake import Intake
from puna.batch.manifest import Order
from puna.batch.plan import ModelSize, Survey, bids_of
from puna.batch.prices import shipped_prices
from puna.batch.sampling import TokenCounts
from puna.batch.spec import Label, LabelTask, Spec
from puna.batch.workers.worker import Identity
from puna.cli.batch_plan_view import as_data, as_lines
from puna.units import Size, Span
from tests.fakes.console import Ran, puna

TASK = ("-m", "smollm2", "--labels", "animal,plant,thing")
FOUND = Survey(
    order=Order(
        inputs=("in.csv",),
        output="",
        spec=Spec(model="m", task=LabelTask(labels=(Label("a"), Label("b")))),
    ),
    intake=Intake(100_000_000, 63_000_000, 12, ("keyword",)),
    identity=Identity("0" * 64, "puna", "float", "llama.cpp has no fast kernel for Q4_1 here"),
    sampled=1020,
    refused=2,
    forecast=Forecast(Span.of(hours=88), Span.of(hours=84), Span.of(hours=92), 199.2),
    around=Span.of(minutes=20),
    tokens=TokenCounts(shared=1300, own=5.1, computed=1.71, answer=2.2, written=0, is_counted=True),
    letters=10**9,
)
SIZE = ModelSize(135_000_000, Size(98_000_000))
TODAY = date(2026, 11, 24)


def bids() -> Bids:
    return bids_of(FOUND, SIZE, shipped_prices())


def lines() -> list[str]:
    return [line for line, _ in as_lines(FOUND, bids(), TODAY)]


def test_the_table_fits_a_terminal() -> None:
    assert max(map(len, lines())) <= 80


@pytest.mark.parametrize(
    "start",
    [
        "Rows          100,000,000, of which 63,000,000 differ (37.0% repeat), 12 bad",
        "Tokens        5.1 a row after 1300 that all share; 1.71 computed",
        "Measured      199.2 rows/s, by a sample of 1,020 rows",
        "Forecast      3.7 days here; nine of ten such jobs take 3.5 days to 3.8 days",
        "this machine, measured",
        "RTX 4090 at RunPod, estimated",
        "DeepSeek V4-Flash",
        "Cheapest: this machine (3.7 days, no charge). If that is too long: RTX 3090",
        "2 of 1020 rows of the sample got no answer.",
    ],
)
def test_a_person_reads(start: str) -> None:
    assert any(line.startswith(start) for line in lines())


def test_a_machine_that_is_busy_is_said_to_be() -> None:
    busy = replace(FOUND, busy=0.83)
    text = " ".join(line for line, _ in as_lines(busy, bids(), TODAY))
    assert "Other programs used 83% of this machine" in text
    assert "Other programs" not in " ".join(lines())


def test_no_price_stands_without_its_day() -> None:
    priced = [line for line in lines() if "$" in line and "measured" not in line]
    table = [line for line in priced if not line.startswith(("Cheapest", "(about"))]
    assert len(table) >= len(shipped_prices().cards)
    assert all(line.endswith("no day") or line[-10:-6].isdigit() for line in table[:-2])


def test_old_prices_are_marked_to_be_grey() -> None:
    stale = [line for line, is_stale in as_lines(FOUND, bids(), TODAY) if is_stale]
    assert len(stale) == len(shipped_prices().cards) + len(shipped_prices().hosted)
    fresh = date(2026, 9, 2)
    assert any(
        line.startswith("RTX 5090 at Vast") and not is_stale
        for line, is_stale in as_lines(FOUND, bids(), fresh)
    )


def test_json_holds_micro_dollars_seconds_and_sources() -> None:
    value = as_data(FOUND, bids())
    assert json.loads(json.dumps(value)) == value
    card = next(each for each in value["cards"] if each["name"].startswith("RTX 4090"))  # type: ignore[attr-defined]
    assert isinstance(card["price"], int)
    assert card["kind"] == "estimated"
    assert (card["day"], card["speed_day"]) == ("2026-03-10", "2024-05-01")


def plan(file: Path, *words: str) -> Ran:
    return puna("batch", "plan", str(file), *words, environ={"PUNA_HOME": str(file.parent)})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("keyword\n" + "".join(f"green llama {n % 20}\n" for n in range(40)))
    return path


@pytest.mark.model
@pytest.mark.journey
def test_a_plan_of_a_real_job(file: Path) -> None:
    command = [sys.executable, "-m", "puna", "batch", "plan", str(file), *TASK]
    power = ["--watts", "100", "--kwh", "0.30", "--json"]
    environ = os.environ | {"PUNA_HOME": str(file.parent)}
    ran = subprocess.run(
        [*command, *power], env=environ, capture_output=True, text=True, check=True, timeout=120
    )
    value = json.loads(ran.stdout)
    assert (value["rows"], value["distinct"], value["sampled"]) == (40, 20, 20)
    assert value["rows_per_s"] > 1
    assert 0 < value["here"]["price"] < 10_000
    assert value["seconds_low"] <= value["seconds"] <= value["seconds_high"]


@pytest.mark.model
def test_the_users_price_file_lies_in_the_home_folder(file: Path) -> None:
    hosted = '[[hosted]]\nname = "mine"\ninput = "1"\noutput = "2"\n'
    (file.parent / "prices.toml").write_text(hosted)
    ran = plan(file, *TASK, "--limit", "5")
    assert ran.code == 0
    assert any(line.startswith("mine  ") for line in ran.lines)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("-",), "a plan cannot read what is piped in"),
        (("in.csv", "--prices", "none.toml"), "price file none.toml cannot be read"),
    ],
)
def test_what_cannot_be_planned_is_said(words: tuple[str, ...], why: str, tmp_path: Path) -> None:
    ran = puna("batch", "plan", *words, *TASK, environ={"PUNA_HOME": str(tmp_path)})
    assert ran.code == 1
    assert why in ran.err

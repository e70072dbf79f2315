"""Jobs that are killed: batch_kills.py and batch_crashes.py play a thousand kills each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = pytest.mark.journey


def played(script: str, *words: str) -> dict[str, object]:
    """Play a script to its end, and return its counts."""
    command = [sys.executable, str(HERE / script), *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    counts = json.loads(ran.stdout)
    assert isinstance(counts, dict)
    assert (ran.returncode, ran.stderr) == (0, ""), counts
    return counts


def test_jobs_that_crash_anywhere_lose_nothing_when_the_power_goes_too() -> None:
    counts = played("batch_crashes.py", "--kills", "12", "--seed", "1")
    assert (counts["failed"], counts["lost_rows"]) == ([], 0)
    assert counts["same_bytes"] == counts["same_side_file"] == counts["jobs"]
    assert counts["power_cuts"]


def test_killed_jobs_lose_nothing_and_give_the_same_bytes() -> None:
    counts = played("batch_kills.py", "--kills", "30")
    assert counts["same_bytes"] == counts["jobs"]
    assert counts["lost_rows"] == 0
    assert int(str(counts["kills"])) >= 30

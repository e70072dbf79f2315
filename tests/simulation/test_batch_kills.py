"""Jobs that are killed at random moments; see batch_kills.py, which plays a thousand kills."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("batch_kills.py")


@pytest.mark.journey
def test_killed_jobs_lose_nothing_and_give_the_same_bytes() -> None:
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "30"], capture_output=True, text=True, check=False
    )
    counts = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert counts["same_bytes"] == counts["jobs"]
    assert counts["lost_rows"] == 0
    assert counts["computed_again"] <= counts["most_allowed"]
    assert counts["kills"] >= 30

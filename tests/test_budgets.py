"""Files and functions stay small, typed and documented; the bounds are in tools/budgets.py."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_project_is_within_its_budgets() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/budgets.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

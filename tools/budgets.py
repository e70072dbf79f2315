"""Hold the project to its budgets: sizes of files and functions, types, docs, cycles, tests.

The bounds are tightened, never loosened. Prints the measured line; exit status 1 where one is out
of bounds.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST = {
    "file_p95": 400,
    "file_max": 600,
    "func_p95": 35,
    "func_max": 80,
    "args_p95": 6,
    "branch_p95": 7,
    "broad_excepts_per_kloc": 0.7,
    "late_imports_per_kloc": 2.0,
    "in_cycles_pct": 0,
    "two_way": 0,
    "import_own_root": 0,
    "test_ratio": 1.7,
    "test_med": 12,
    "mocks_per_100_tests": 3,
}
LEAST = {"typed_pct": 100, "moddoc_pct": 95, "test_ratio": 0.9}


def main() -> int:
    """Measure and compare."""
    command = [sys.executable, str(ROOT / "tools/style_stats.py"), str(ROOT), "--package", "puna"]
    for option, bounds in (("--max", MOST), ("--min", LEAST)):
        for metric, bound in bounds.items():
            command += [option, f"{metric}={bound}"]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

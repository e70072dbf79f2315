"""How far `puna batch plan` is off: jobs are planned, then run, by the commands that users give.

Labels over lists of keywords and of longer rows, several labels, calibrated labels, prompts, JSON
and vectors, all with SmolLM2 on this machine. Error is forecast ÷ the time that the command took,
less 1; the aim is 10 % for nine of ten. Load counts: what else the machine does while a job runs
cannot be foretold. Run: python bench/forecast.py [--rows 1.0] [--only labels]
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from batch import CATEGORIES, INSTRUCTION, WORDS, keywords
from tests.serving import Serving

AIM = 0.10
LABELS = ("--labels", ",".join(CATEGORIES), "--instruction", INSTRUCTION)
SCHEMA = {
    "type": "object",
    "properties": {"category": {"enum": list(CATEGORIES)}, "adult": {"type": "boolean"}},
    "required": ["category", "adult"],
}


@dataclass(frozen=True)
class Case:
    """A job: what is asked of how many rows of how many words."""

    name: str
    rows: int
    words: tuple[int, int]
    task: tuple[str, ...]


def cases(schema: Path) -> list[Case]:
    """Return the ten jobs."""
    prompt = ("--prompt", "Name a shop that sells {{ text }}.", "--max-tokens", "24")
    json_task = ("--prompt", "Sort this: {{ text }}", "--schema", str(schema))
    return [
        Case("labels, 3,000 keywords", 3000, (2, 5), LABELS),
        Case("labels, 10,000 keywords", 10_000, (2, 5), LABELS),
        Case("labels, 20,000 keywords", 20_000, (2, 5), LABELS),
        Case("labels, 2,000 longer rows", 2000, (4, 14), LABELS),
        Case("labels, 1,000 texts", 1000, (20, 60), LABELS),
        Case("several labels, 400 rows", 400, (2, 5), (*LABELS, "--multi")),
        Case("calibrated labels, 4,000", 4000, (2, 5), (*LABELS, "--calibrate")),
        Case("prompts, 300 rows", 300, (2, 5), prompt),
        Case("JSON, 300 rows", 300, (2, 5), json_task),
        Case("vectors, 3,000 rows", 3000, (4, 14), ("--embed",)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=float, default=1.0, help="this times as many rows")
    parser.add_argument("--only", default="", help="jobs whose name has this")
    asked = parser.parse_args()
    errors: list[float] = []
    print(f"{'job':28}{'forecast':>10}{'range':>16}{'took':>9}{'error':>8}{'load':>6}")
    with tempfile.TemporaryDirectory() as folder:
        schema = Path(folder) / "schema.json"
        schema.write_text(json.dumps(SCHEMA))
        with Serving(Path(folder) / "home") as serving:
            for number, case in enumerate(cases(schema)):
                if asked.only in case.name:
                    errors.append(one(serving, Path(folder), case, number, asked.rows))
    good = sum(abs(error) <= AIM for error in errors)
    print(f"{good} of {len(errors)} within {AIM:.0%}")


def one(serving: Serving, folder: Path, case: Case, seed: int, scale: float) -> float:
    """Plan and run a job, print a line, and return the error of the forecast."""
    source = folder / f"in{seed}.csv"
    texts = rows_of(case, seed, round(case.rows * scale))
    source.write_text("text\n" + "".join(f"{text}\n" for text in texts))
    words = (str(source), "--model", "smollm2", *case.task)
    plan = json.loads(run(serving, "plan", *words, "--json"))
    begun = time.monotonic()
    run(serving, "run", *words, "-o", str(folder / f"out{seed}.jsonl"), "--json")
    took = time.monotonic() - begun
    error = plan["seconds"] / took - 1
    between = f"{plan['seconds_low']:.0f} to {plan['seconds_high']:.0f}"
    print(
        f"{case.name:28}{plan['seconds']:10.1f}{between:>16}{took:9.1f}{error:+8.1%}"
        f"{os.getloadavg()[0]:6.1f}",
        flush=True,
    )
    return float(error)


def rows_of(case: Case, seed: int, count: int) -> list[str]:
    """Return the rows: of a few words as shops see them, or of many in any order."""
    if case.words == (2, 5):
        return keywords(count, seed)
    dice = random.Random(seed)  # noqa: S311 - chance that repeats
    return [" ".join(dice.choices(WORDS, k=dice.randint(*case.words))) for _ in range(count)]


def run(serving: Serving, *words: str) -> str:
    """Run a command of `puna batch`. Exits where it fails."""
    done = serving.run("batch", *words, timeout_s=3600)
    if done.returncode:
        sys.exit(f"puna batch {words[0]}: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()

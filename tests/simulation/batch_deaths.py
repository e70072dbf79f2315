"""Kill what computes under `puna batch run`, with the real model: engine, node, job, or several.

Labels of SmolLM2 are scored by a child of the job; its prompts are answered by a node that the job
starts, which has a child too. Each seed is one job that loses one or more of these processes to
SIGKILL, as often as it takes, at a random moment while it computes; it is run again until it ends.
Its output and side file must have the bytes of a run that nobody disturbed, and no shard that was
on the disk may have been computed again. `python tests/simulation/batch_deaths.py --kills 60`
prints the counts as JSON.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import psutil

from tests.ports import free_port

_LIMIT_S = 300
_MOST_RUNS = 12
CASES: dict[str, tuple[int, Sequence[str]]] = {
    "labels": (700, ("--labels", "food,furniture,footwear", "--column", "text")),
    "prompts": (80, ("--prompt", "Name a colour. {{ text }}", "--max-tokens", "4")),
}
VICTIMS = {
    "labels": ("engine", "job", "job and engine"),
    "prompts": ("engine", "job", "node", "node and engine", "job and node", "all"),
}


@dataclass
class Counts:
    """What came of all jobs."""

    jobs: int = 0
    kills: int = 0
    same_bytes: int = 0
    same_side_file: int = 0
    computed_twice: int = 0
    """Shards that were computed again though they were on the disk."""
    runs: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)


class Place:
    """One job: its files and its processes."""

    def __init__(self, folder: Path, case: str, address: str, home: Path) -> None:
        folder.mkdir()
        rows, self._words = CASES[case]
        self.case, self.home = case, home
        self.output = folder / "out.jsonl"
        self._said = folder / "said.log"
        texts = [f"{'oak' if n % 3 else 'green'} thing {n * 7 % rows}" for n in range(rows)]
        texts[7] = " "
        lines = [json.dumps({"id": n, "text": text}) for n, text in enumerate(texts)]
        self._source = folder.parent / f"{case}.jsonl"
        self._source.write_text("\n".join([*lines, "{bad", ""]))
        self._environ = os.environ | {"PUNA_HOME": str(home), "PUNA_HOST": address}

    def begin(self) -> psutil.Popen:
        """Run the job, or what is left of it."""
        words = ["batch", "run", str(self._source), "-o", str(self.output), "-m", "smollm2"]
        with self._said.open("ab") as said:
            return psutil.Popen(
                [sys.executable, "-m", "puna", *words, *self._words],
                env=self._environ,
                stdout=said,
                stderr=said,
            )

    def stop_node(self) -> None:
        """End the node that the job started, if it did."""
        command = [sys.executable, "-m", "puna", "stop", "--server"]
        subprocess.run(command, env=self._environ, capture_output=True, check=False)

    def victims(self, job: psutil.Process, word: str) -> list[psutil.Process]:
        """Return the processes that a word names, as far as they are there now."""
        node = self._node()
        children = {"job": job.children(), "node": node.children() if node else []}
        engine = children["job" if self.case == "labels" else "node"]
        found = {
            "engine": engine,
            "job": [job],
            "job and engine": [job, *engine],
            "node": [node] if node else [],
            "node and engine": [*([node] if node else []), *engine],
            "job and node": [job, *([node] if node else [])],
            "all": [job, *([node] if node else []), *engine],
        }
        return found[word]

    def _node(self) -> psutil.Process | None:
        for one in psutil.process_iter(["cmdline", "environ"]):
            words, environ = one.info["cmdline"] or [], one.info["environ"] or {}
            if words[-1:] == ["serve"] and environ.get("PUNA_HOME") == str(self.home):
                return one
        return None

    @property
    def parts(self) -> int:
        """How many shards are on the disk."""
        return sum(each.name.isdigit() for each in self.home.glob("batch/*/parts/*"))

    @property
    def computed_twice(self) -> int:
        """How many shards the timeline names again."""
        lines = next(self.home.glob("batch/*/timeline.jsonl")).read_text().splitlines()
        shards = [json.loads(line)["shard"] for line in lines]
        return len(shards) - len(set(shards))

    @property
    def words(self) -> str:
        """What the job said last."""
        return " | ".join(self._said.read_text().splitlines()[-3:])

    @property
    def side_file(self) -> bytes:
        """The rows without an answer."""
        return self.output.with_name("out.jsonl.bad.jsonl").read_bytes()


def play(folder: Path, *, kills: int, first_seed: int, only: str) -> Counts:
    """Run jobs until so many kills have hit."""
    counts = Counts()
    whole: dict[str, Place] = {}
    seed = first_seed
    while counts.kills < kills:
        case = only or sorted(CASES)[seed % len(CASES)]
        if case not in whole:
            whole[case] = _place(folder, f"whole-{case}", case)
            whole[case].begin().wait(_LIMIT_S)
            whole[case].stop_node()
        place = _place(folder, f"job{seed}", case)
        try:
            _disturb(place, random.Random(seed), counts)  # noqa: S311 - chance that repeats
            _compare(place, whole[case], counts, seed)
        finally:
            place.stop_node()
        seed += 1
    return counts


def _place(folder: Path, name: str, case: str) -> Place:
    return Place(folder / name, case, f"127.0.0.1:{free_port()}", folder / f"{name}-home")


def _disturb(place: Place, dice: random.Random, counts: Counts) -> None:
    """Run a job to its end; kill what it is made of in all runs but the last."""
    most = dice.randint(1, 3)
    hit = 0
    for turn in range(_MOST_RUNS):
        job = place.begin()
        counts.runs += 1
        while hit < most and turn < _MOST_RUNS - 1 and (word := _kill(place, job, dice)):
            hit += 1
            counts.kills += 1
            counts.killed[f"{place.case}: {word}"] += 1
        if job.wait(_LIMIT_S) == 0:
            return


def _kill(place: Place, job: psutil.Process, dice: random.Random) -> str:
    """Kill something once a few more shards are done; return what, or nothing if it is over."""
    parts = place.parts + dice.randint(0, 2)
    end = time.monotonic() + _LIMIT_S
    while job.is_running() and job.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
        word = dice.choice(VICTIMS[place.case])
        if place.parts >= parts and (victims := place.victims(job, word)):
            time.sleep(dice.uniform(0, 0.2))
            for each in victims:
                with suppress(psutil.NoSuchProcess):
                    each.send_signal(signal.SIGKILL)
            return word
        time.sleep(0.01)
    return ""


def _compare(place: Place, whole: Place, counts: Counts, seed: int) -> None:
    counts.jobs += 1
    same = place.output.exists() and place.output.read_bytes() == whole.output.read_bytes()
    same_side = same and place.side_file == whole.side_file
    counts.same_bytes += same
    counts.same_side_file += same_side
    counts.computed_twice += place.computed_twice
    if not same_side:
        counts.failed.append(f"seed {seed}: {place.words}")


def main() -> int:
    """Play and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", choices=("", *CASES))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        counts = play(Path(name), kills=asked.kills, first_seed=asked.seed, only=asked.only)
    print(json.dumps(vars(counts)))  # noqa: T201
    return 0 if not counts.failed and not counts.computed_twice else 1


if __name__ == "__main__":
    sys.exit(main())

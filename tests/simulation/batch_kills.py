"""Kill a job at random moments until it ends, again and again: what comes out, and what it cost.

Each seed is one job of 300 rows, killed by SIGKILL after a random time as often as it takes. Its
output must have the bytes of a run that nobody killed, and no more rows may have been computed
twice than were in flight at the kills. `python tests/simulation/batch_kills.py --kills 1000` prints
the counts as JSON; the processes are forks, so that a kill costs milliseconds and not a start of
Python.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from puna.batch.checkpoint import Checkpoint
from puna.batch.job import Job
from puna.batch.jobs import Jobs
from puna.batch.manifest import Order
from puna.batch.shards import Shard
from puna.batch.spec import PromptTask, Spec
from puna.batch.workers.worker import Answer, Identity, Written
from puna.world import RealWorld

ROWS = 300
SHARD = 16
PLACES = 2
_LONGEST_S = 0.4
_ROW_S = 0.0004


@dataclass
class Counts:
    """What came of all jobs."""

    jobs: int = 0
    kills: int = 0
    same_bytes: int = 0
    lost_rows: int = 0
    computed_again: int = 0
    most_allowed: int = 0
    """Rows that were in flight at the kills, at most."""
    killed_while: Counter[str] = field(default_factory=Counter)


class LoggingWorker:
    """Echoes each row after a moment, and writes down that it was asked."""

    name = "logging"
    places = PLACES

    def __init__(self, log: Path) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def prepare(self, spec: Spec) -> Identity:
        del spec
        return Identity("0" * 64, "kills")

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        answers = []
        for text in shard.texts:
            os.write(self._log, f"{text}\n".encode())
            await asyncio.sleep(_ROW_S)
            answers.append(Written(f"you said {text}", "stop", 3, 4))
        return answers

    async def close(self) -> None:
        os.close(self._log)


class Place:
    """One job's files."""

    def __init__(self, folder: Path, ending: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.output = folder / f"out{ending}"
        self.log = folder / "asked.log"
        self.source = folder.parent / "rows.jsonl"
        if not self.source.exists():
            lines = [json.dumps({"id": n, "text": f"row {n:03}"}) for n in range(ROWS)]
            self.source.write_text("\n".join(lines) + "\n{bad\n")

    def run(self) -> None:
        """Do the job, or what is left of it."""
        order = Order(
            inputs=(str(self.source),),
            output=str(self.output),
            spec=Spec(model="m", task=PromptTask(), column="text"),
        )
        checkpoint = Jobs(self.folder).checkpoint(self.output)
        with checkpoint.lock():
            asyncio.run(_follow(checkpoint, order, LoggingWorker(self.log)))

    @property
    def asked(self) -> list[str]:
        """Every row that a worker was asked, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def step(self) -> str:
        """How far the job is on the disk."""
        folder = Jobs(self.folder).checkpoint(self.output).folder
        parts = [each for each in folder.glob("parts/0*") if each.name.isdigit()]
        if not (folder / "manifest.json").exists():
            return "reading"
        return "writing" if len(parts) == -(-ROWS // SHARD) else "computing"


async def _follow(checkpoint: Checkpoint, order: Order, worker: LoggingWorker) -> None:
    async for _ in Job(checkpoint, order, RealWorld()).run([worker], anew=False):
        pass


def forked(work: Callable[[], None], *, killed_after_s: float | None = None) -> bool:
    """Do work in a fork; tell whether it came to its end. Raises `RuntimeError` if it failed."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the fork must end here, whatever happens
            print(repr(error), file=sys.stderr, flush=True)  # noqa: T201
            os._exit(1)
        os._exit(0)
    if killed_after_s is not None:
        time.sleep(killed_after_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    if os.WEXITSTATUS(status):
        raise RuntimeError("a job failed by itself")
    return True


def play(folder: Path, *, kills: int, first_seed: int = 0) -> Counts:
    """Run jobs until so many kills have hit."""
    counts = Counts()
    unbroken: dict[str, bytes] = {}
    seed = first_seed
    while counts.kills < kills:
        ending = (".jsonl", ".csv", ".parquet", ".csv.gz")[seed % 4]
        if ending not in unbroken:
            whole = Place(folder / f"unbroken{ending}", ending)
            forked(whole.run)
            unbroken[ending] = whole.output.read_bytes()
        _play_one(Place(folder / f"job{seed}", ending), seed, counts, unbroken[ending])
        seed += 1
    return counts


def _play_one(place: Place, seed: int, counts: Counts, unbroken: bytes) -> None:
    dice = random.Random(seed)  # noqa: S311 - chance that repeats
    kills = 0
    while not forked(place.run, killed_after_s=dice.uniform(0.005, _LONGEST_S)):
        kills += 1
        counts.killed_while[place.step] += 1
    asked = place.asked
    counts.jobs += 1
    counts.kills += kills
    counts.same_bytes += place.output.read_bytes() == unbroken
    counts.lost_rows += ROWS - len(set(asked))
    counts.computed_again += len(asked) - len(set(asked))
    counts.most_allowed += kills * PLACES * SHARD


def main() -> int:
    """Play and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = play(Path(folder), kills=asked.kills, first_seed=asked.seed)
    print(json.dumps(vars(counts)))  # noqa: T201
    good = counts.same_bytes == counts.jobs and not counts.lost_rows
    return 0 if good and counts.computed_again <= counts.most_allowed else 1


if __name__ == "__main__":
    sys.exit(main())

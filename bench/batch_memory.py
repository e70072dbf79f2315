"""How much memory a job takes at ten thousand, a million and ten million rows.

Each size is a job of its own process with a worker that answers at once, so that only puna's own
work is measured: reading, merging, shards, writing. Prints the most memory that the process held,
when each step began (seconds that passed, and of processors), and rows a second of the whole. With
`--stops` the job is left half-way and goes on in another process: the second line tells when its
first shard was computed. `python bench/batch_memory.py 10000 1000000 --format parquet`
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from puna.batch.events import Tally
from puna.batch.job import Job
from puna.batch.jobs import Jobs
from puna.batch.manifest import Order
from puna.batch.shards import Shard
from puna.batch.spec import Label, LabelTask, Spec
from puna.batch.workers.worker import Answer, Identity, Scored
from puna.world import RealWorld

_STEP = 100_000


class QuickWorker:
    """Gives the label that the text's length says."""

    name = "quick"
    places = 2

    async def prepare(self, spec: Spec) -> Identity:
        """Be ready."""
        del spec
        return Identity("0" * 64, "bench")

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        """Answer at once."""
        return [Scored((float(len(text) % 3), 1.0, 0.5)) for text in shard.texts]

    async def close(self) -> None:
        """Do nothing."""


def write_rows(path: Path, rows: int, distinct: int) -> None:
    """Write rows of which so many texts differ, in no order."""
    schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
    with open_table(path, schema) as writer:
        for first in range(0, rows, _STEP):
            numbers = np.arange(first, min(rows, first + _STEP))
            words = pa.array(numbers * 7919 % distinct).cast(pa.string())
            texts = pc.binary_join_element_wise("keyword number", words, " ")
            writer.write_table(pa.table([numbers, texts], schema=schema))


def open_table(path: Path, schema: pa.Schema) -> pq.ParquetWriter | csv.CSVWriter:
    if path.suffix == ".parquet":
        return pq.ParquetWriter(path, schema)
    return csv.CSVWriter(path, schema, write_options=csv.WriteOptions(quoting_style="none"))


async def follow(job: Job, until: float) -> dict[str, object]:
    """Run a job, up to a share of it, and note when each step began: seconds, and of processors."""
    begun = time.perf_counter()
    steps: dict[str, object] = {}
    async with aclosing(job.run([QuickWorker()], anew=False)) as events:
        async for event in events:
            name = type(event).__name__.lower()
            if isinstance(event, Tally) and event.fresh:
                name = "first shard"
            seconds = time.perf_counter() - begun
            steps.setdefault(name, (round(seconds, 1), round(time.process_time(), 1)))
            if isinstance(event, Tally) and event.done >= until * event.rows:
                break
    return steps


def measure(source: Path, output: Path, home: Path, until: float = 2) -> dict[str, object]:
    labels = (Label("a"), Label("b"), Label("c"))
    spec = Spec(model="m", task=LabelTask(labels=labels), column="text")
    order = Order(inputs=(str(source),), output=str(output), spec=spec)
    checkpoint = Jobs(home).checkpoint(output)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    with checkpoint.lock():
        steps = asyncio.run(follow(Job(checkpoint, order, RealWorld()), until))
    took = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    folder = sum(each.stat().st_size for each in checkpoint.folder.rglob("*"))
    return {
        "imported_mb": before // 1024,
        "peak_mb": peak // 1024,
        "seconds": round(took, 1),
        "steps": steps,
        "folder_mb": folder // 2**20,
    }


def ran(folder: str, form: str, until: float) -> dict[str, object]:
    """Run the job in a process of its own."""
    command = [sys.executable, __file__, "1", "--format", form, "--inside", folder]
    done = subprocess.run(
        [*command, "--until", str(until)], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument("--format", default="csv", choices=("csv", "parquet"))
    parser.add_argument("--distinct", type=float, default=0.7, help="share of rows that differ")
    parser.add_argument("--stops", action="store_true", help="stop half-way, and go on")
    parser.add_argument("--until", type=float, default=2, help=argparse.SUPPRESS)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        folder = Path(asked.inside)
        output = folder / f"out.{asked.format}"
        source = folder / f"rows.{asked.format}"
        print(json.dumps(measure(source, output, folder / "home", asked.until)))
        return
    for rows in asked.rows:
        with tempfile.TemporaryDirectory() as name:
            source = Path(name) / f"rows.{asked.format}"
            write_rows(source, rows, max(1, int(rows * asked.distinct)))
            if asked.stops:
                print(rows, "to half", ran(name, asked.format, 0.5), flush=True)
            begun = time.perf_counter()
            found = ran(name, asked.format, 2)
            took = time.perf_counter() - begun
        print(rows, f"{rows / took:.0f} rows/s", found, flush=True)


if __name__ == "__main__":
    main()

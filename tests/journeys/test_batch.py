"""Jobs as processes: killed at any moment, paused, run twice; the bytes stay the same."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from puna.batch.jobs import Jobs
from tests.serving import Serving, until

pytestmark = pytest.mark.journey
ROWS = 400


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("serving"), PUNA_ENGINE="scripted") as found:
        yield found


class Bench:
    """One job, as a person runs it from a shell."""

    def __init__(self, folder: Path, serving: Serving) -> None:
        self.folder = folder
        self.output = folder / "out.jsonl"
        self.home = folder / "home"
        self.environ = os.environ | {
            "PUNA_HOME": str(self.home),
            "PUNA_HOST": serving.url,
            "PUNA_ENGINE": "scripted",
        }
        source = folder / "rows.jsonl"
        lines = [json.dumps({"id": n, "text": f"row {n % 390}"}) for n in range(ROWS)]
        lines[7] = "no json"
        source.write_text("\n".join(lines), encoding="utf-8")
        self._program = [sys.executable, "-m", "puna", "batch"]
        self._run = ["run", str(source), "-o", str(self.output), "--model", "smollm2"]
        self._run += ["--prompt", "Say {{ text }}"]

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        command = [*self._program, *(words or self._run)]
        return subprocess.Popen(command, env=self.environ, stderr=subprocess.PIPE, text=True)

    def finish(self, *words: str) -> tuple[int, str]:
        """Run a command to its end; return its exit code and what it said."""
        process = self.begin(*words)
        _, said = process.communicate(timeout=60)
        return process.returncode, said

    def killed(self, after_s: float) -> bool:
        """Run the job and kill it after a while; tell whether it was still running."""
        process = self.begin()
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        return process.returncode == -signal.SIGKILL

    def until_some_is_done(self) -> None:
        """Wait until the first part of the job is on the disk."""
        until(lambda: list(self.home.glob("batch/*/parts/0*")))


@pytest.fixture
def bench(tmp_path: Path, serving: Serving) -> Bench:
    return Bench(tmp_path, serving)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, serving: Serving) -> bytes:
    bench = Bench(tmp_path_factory.mktemp("unbroken"), serving)
    assert bench.finish()[0] == 0
    return bench.output.read_bytes()


def test_a_job_that_is_killed_again_and_again_gives_the_same_bytes(
    bench: Bench, unbroken: bytes
) -> None:
    dice = random.Random(1)  # noqa: S311 - chance that repeats
    kills = 0
    while kills < 4 and bench.killed(dice.uniform(0.1, 2.0)):
        kills += 1
    assert bench.finish()[0] == 0
    assert bench.output.read_bytes() == unbroken
    bad = (bench.folder / "out.jsonl.bad.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in bad] == [8]
    left = [each.name for each in bench.folder.iterdir() if each.name.startswith(".")]
    assert left == []


def test_an_interrupt_pauses_and_resume_goes_on(bench: Bench, unbroken: bytes) -> None:
    process = bench.begin()
    bench.until_some_is_done()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=90)
    assert process.returncode in {0, 130}
    assert process.returncode == 0 or "Paused. Give the same command again to go on." in said
    code, said = bench.finish("resume", str(bench.output))
    assert (code, bench.output.read_bytes()) == (0, unbroken)


def test_a_job_is_paused_from_another_shell(bench: Bench, unbroken: bytes) -> None:
    process = bench.begin()
    bench.until_some_is_done()
    code, _ = bench.finish("pause", str(bench.output))
    _, said = process.communicate(timeout=90)
    assert code == 0
    assert process.returncode == 0 or "the job is paused" in said
    assert bench.finish()[0] == 0
    assert bench.output.read_bytes() == unbroken


def test_a_second_runner_is_refused(bench: Bench) -> None:
    job = Jobs(bench.home).checkpoint(bench.output)
    with job.lock():
        code, said = bench.finish()
    assert code == 1
    assert f"the job {job.folder.name} is already running" in said


def test_a_node_that_dies_is_started_again(bench: Bench, tmp_path: Path) -> None:
    with Serving(tmp_path / "own", PUNA_ENGINE="scripted") as own:
        bench.environ["PUNA_HOST"] = own.url
        process = bench.begin()
        bench.until_some_is_done()
        own.end(signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    subprocess.run(
        [sys.executable, "-m", "puna", "stop", "--server"],
        env=bench.environ,
        check="Started a server" in said,
        capture_output=True,
    )
    assert process.returncode == 0
    assert len(bench.output.read_text().splitlines()) == ROWS

"""How fast a model comes: against one stream of curl, over a bad line and over a good one.

The bad line is a registry on this machine that waits 40 ms before each answer, sends 8 MB/s a
connection, and resets connections now and then; curl continues where it was after each reset. The
good one is a registry that sends as fast as it can; there the slower of disk and line is the bound,
the line measured with curl to /dev/null and the disk by writing and flushing a file of that size.
Both contenders run in turn against the same registry, in a process of its own; only ratios travel.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.fakes.registry import Line, a_registry

MB = 10**6
BAD = Line(delay_s=0.04, bytes_per_s=8 * MB, breaks_after=20 * MB)
BAD_SIZE = int(os.environ.get("PULL_BAD_MB", "256")) * MB
GOOD_SIZE = int(os.environ.get("PULL_GOOD_MB", "1024")) * MB
ROUNDS = int(os.environ.get("PULL_ROUNDS", "3"))


def main() -> None:
    if not shutil.which("curl"):
        raise SystemExit("curl is not here: apt-get install curl")
    figures = {}
    with registry(BAD, BAD_SIZE) as (host, blob):
        curl = seconds(lambda folder: curl_with_breaks(host, blob, folder / "blob"))
        puna = seconds(lambda folder: pull(host, folder))
        figures["lossy, curl MB/s"] = BAD_SIZE / curl / MB
        figures["lossy, puna MB/s"] = BAD_SIZE / puna / MB
        figures["lossy, puna ÷ one stream of curl"] = curl / puna
    with registry(Line(), GOOD_SIZE) as (host, blob):
        line = seconds(lambda _: curl_once(host, blob, Path(os.devnull)))
        disk = seconds(lambda folder: write(folder / "blob", GOOD_SIZE))
        puna = seconds(lambda folder: pull(host, folder))
        figures["loopback, line MB/s"] = GOOD_SIZE / line / MB
        figures["loopback, disk MB/s"] = GOOD_SIZE / disk / MB
        figures["loopback, puna MB/s"] = GOOD_SIZE / puna / MB
        figures["loopback, puna ÷ slower of line and disk"] = max(line, disk) / puna
    for name, figure in figures.items():
        print(f"{name:<45} {figure:8.2f}")
    print(json.dumps({name: round(figure, 2) for name, figure in figures.items()}))


def seconds(action: Callable[[Path], object]) -> float:
    """The median time of an action in an empty folder."""
    times = []
    for _ in range(ROUNDS):
        folder = Path(tempfile.mkdtemp(prefix="puna-bench-"))
        os.sync()
        start = time.perf_counter()
        action(folder)
        times.append(time.perf_counter() - start)
        shutil.rmtree(folder)
    return statistics.median(times)


def url_of(host: str, blob: str) -> str:
    return f"http://{host}/v2/bench/model/blobs/{blob}"


def curl_once(host: str, blob: str, target: Path) -> int:
    command = ["curl", "-s", "-o", str(target), url_of(host, blob)]
    return subprocess.run(command, check=False).returncode


def curl_with_breaks(host: str, blob: str, target: Path) -> None:
    """One stream, taken up again where it broke off."""
    command = ["curl", "-s", "-C", "-", "-o", str(target), url_of(host, blob)]
    while subprocess.run(command, check=False).returncode:
        pass
    check(target, blob)


def check(path: Path, blob: str) -> None:
    with path.open("rb") as file:
        if f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" != blob:
            raise SystemExit(f"{path} has other content than the registry")


def write(path: Path, size: int) -> None:
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def pull(host: str, home: Path) -> None:
    """What a person waits for: the command from its start to its end."""
    environ = os.environ | {"PUNA_HOME": str(home), "PUNA_HOST": "127.0.0.1:1"}
    command = [sys.executable, "-m", "puna", "pull", "--insecure", f"http://{host}/bench/model"]
    subprocess.run(command, env=environ, check=True, capture_output=True)


@contextmanager
def registry(line: Line, size: int) -> Iterator[tuple[str, str]]:
    """Run a registry in a process of its own; yield its host and the digest of its weights."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, line, size))
    process.start()
    host, blob = ours.recv()
    try:
        yield host, blob
    finally:
        ours.send("end")
        process.join()


def serve(pipe: Connection, line: Line, size: int) -> None:
    weights = os.urandom(size)
    with a_registry(line=line) as fake:
        fake.add("bench/model:latest", weights)
        pipe.send((fake.name, f"sha256:{hashlib.sha256(weights).hexdigest()}"))
        pipe.recv()


if __name__ == "__main__":
    main()

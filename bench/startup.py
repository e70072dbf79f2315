"""How long a person waits: until `puna list` has answered, until `puna run` says its first word.

Each figure is the median of several processes, beside a bare interpreter on the same machine at the
same time, since only the ratio of the two travels. Servers run in a folder of their own; nothing of
the user's is touched.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

RUNS = 9
SLOW_RUNS = 3
PUNA = (sys.executable, "-m", "puna")
PROMPT = "What is a hamburger?"


def main() -> None:
    figures: dict[str, float] = {}
    with own_folder() as environ:
        bare = milliseconds(lambda: run([sys.executable, "-c", "pass"], environ))
        figures["interpreter alone"] = bare
        figures["puna --help"] = milliseconds(lambda: run([*PUNA, "--help"], environ))
        figures["puna list, no server"] = milliseconds(lambda: run([*PUNA, "list"], environ))
        figures["puna run to first byte, no server"] = statistics.median(
            first_byte(environ, cold=True) for _ in range(SLOW_RUNS)
        )
        first_byte(environ)
        figures["puna list, server warm"] = milliseconds(lambda: run([*PUNA, "list"], environ))
        figures["puna run to first byte, model warm"] = statistics.median(
            first_byte(environ) for _ in range(RUNS)
        )
        run([*PUNA, "stop", "smollm2"], environ)
        figures["puna run to first byte, server warm, model cold"] = first_byte(environ)
        stop_server(environ)
    figures["import of puna list"] = import_time()
    for name, figure in figures.items():
        print(f"{name:<50} {figure:8.1f} ms {figure / bare:6.1f} x interpreter")
    print(json.dumps({name: round(figure, 1) for name, figure in figures.items()}))


def milliseconds(action: Callable[[], object]) -> float:
    """The median time of an action, after one that does not count."""
    action()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def first_byte(environ: dict[str, str], *, cold: bool = False) -> float:
    """Milliseconds from the start of `puna run` to the first byte of its answer."""
    if cold:
        stop_server(environ)
    start = time.perf_counter()
    with subprocess.Popen(
        [*PUNA, "run", "smollm2", PROMPT],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        if process.stdout is None or not process.stdout.read(1):
            raise SystemExit("puna run said nothing; is the model there? (make demo)")
        taken = time.perf_counter() - start
        process.stdout.read()
    return taken * 1000


def import_time() -> float:
    """Milliseconds that the modules of `puna list` take to import, in one process."""
    script = (
        "import time; start = time.perf_counter(); import puna.cli.main, puna.cli.listing;"
        "print((time.perf_counter() - start) * 1000)"
    )
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    times = [float(run([sys.executable, "-c", script], environ)) for _ in range(RUNS)]
    return statistics.median(times)


def run(command: list[str], environ: dict[str, str]) -> str:
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout


def stop_server(environ: dict[str, str]) -> None:
    subprocess.run([*PUNA, "stop", "--server"], env=environ, check=False, capture_output=True)


@contextmanager
def own_folder() -> Iterator[dict[str, str]]:
    """An environment with a home and a port of its own."""
    home = Path(tempfile.mkdtemp(prefix="puna-bench-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = os.environ | {"PUNA_HOME": str(home), "PUNA_HOST": f"127.0.0.1:{port}"}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled once
    try:
        yield environ
    finally:
        stop_server(environ)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()

"""The program as people run it: real processes, a real server, the scripted engine."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ports import free_port

pytestmark = pytest.mark.journey

PUNA = (sys.executable, "-m", "puna")
NO_SERVER = "Error: could not connect to puna server, run 'puna serve' to start it\n"


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A home and a port of its own, the scripted engine, and no server left behind."""
    environ = os.environ | {
        "PUNA_HOME": str(tmp_path / "home"),
        "PUNA_HOST": f"127.0.0.1:{free_port()}",
        "PUNA_ENGINE": "scripted",
    }
    yield environ
    puna("stop", "--server", environ=environ)


def puna(
    *arguments: str, environ: Mapping[str, str], typed: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PUNA, *arguments],
        env=environ,
        input=typed,
        stdin=None if typed is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_run_starts_a_server_and_leaves_it_for_the_next(environ: dict[str, str]) -> None:
    first = puna("run", "smollm2", "hello", environ=environ)
    second = puna("run", "smollm2", "hello", environ=environ)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stderr.startswith("Started a server in the background (log: ")
    assert re.match(r"smollm2:\w+ runs on CPU, \d+ threads?: ", second.stderr)
    assert first.stdout.endswith("\n\n")
    assert puna("ps", environ=environ).stdout.splitlines()[1].startswith("smollm2:")


def test_two_runs_at_once_start_one_server(environ: dict[str, str]) -> None:
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(puna, "run", "smollm2", "hi", environ=environ) for _ in range(3)]
        ended = [run.result() for run in runs]
    assert [each.returncode for each in ended] == [0, 0, 0], [each.stderr for each in ended]
    assert sum("Started a server" in each.stderr for each in ended) == 1


def test_the_server_that_run_started_is_ended_by_stop(environ: dict[str, str]) -> None:
    puna("run", "smollm2", "", environ=environ)
    ended = puna("stop", "--server", environ=environ)
    assert (ended.returncode, ended.stderr[:28]) == (0, "stopped the server (process ")
    assert puna("ps", environ=environ).stderr == NO_SERVER
    again = puna("stop", "--server", environ=environ)
    assert (again.returncode, again.stderr[:22]) == (1, "Error: no server runs ")


def test_its_log_is_for_its_owner_only(environ: dict[str, str]) -> None:
    puna("run", "smollm2", "", environ=environ)
    log = Path(environ["PUNA_HOME"]) / "logs" / "serve.log"
    assert log.stat().st_mode & 0o777 == 0o600
    assert "listens on" in log.read_text()


def test_a_server_that_cannot_start_says_why(environ: dict[str, str]) -> None:
    everywhere = environ["PUNA_HOST"].replace("127.0.0.1", "0.0.0.0")
    ran = puna("run", "smollm2", "hi", environ=environ | {"PUNA_HOST": everywhere})
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("Error: the server did not start: ")
    assert "Traceback" not in ran.stderr
    assert ran.stderr.splitlines()[-1] == f"its log: {environ['PUNA_HOME']}/logs/serve.log"


def test_models_are_listed_shown_and_copied_with_and_without_a_server(
    environ: dict[str, str],
) -> None:
    commands = (["list"], ["show", "smollm2"], ["show", "smollm2", "--modelfile"])
    without = [puna(*command, environ=environ) for command in commands]
    puna("run", "smollm2", "", environ=environ)
    through = [puna(*command, environ=environ) for command in commands]
    assert [each.stdout for each in without] == [each.stdout for each in through]
    assert [each.returncode for each in without] == [0, 0, 0]


def test_copying_and_removing_need_no_server(environ: dict[str, str]) -> None:
    copied = puna("cp", "smollm2", "mine", environ=environ)
    assert (copied.returncode, copied.stdout) == (0, "copied 'smollm2' to 'mine'\n"), copied.stderr
    assert "mine:latest" in puna("list", environ=environ).stdout
    assert puna("rm", "mine", environ=environ).stdout == "deleted 'mine'\n"
    assert "mine:latest" not in puna("list", environ=environ).stdout
    gone = puna("rm", "mine", environ=environ)
    assert (gone.returncode, gone.stderr.splitlines()[0]) == (1, "Error: model 'mine' not found")


def test_a_copy_is_used_by_the_running_server(environ: dict[str, str]) -> None:
    puna("run", "smollm2", "", environ=environ)
    puna("cp", "smollm2", "mine", environ=environ)
    assert puna("run", "mine", "hi", environ=environ).returncode == 0
    assert puna("rm", "mine", environ=environ).stdout == "deleted 'mine'\n"


def test_stop_takes_a_model_out_of_memory(environ: dict[str, str]) -> None:
    puna("run", "smollm2", "hi", environ=environ)
    assert puna("stop", "smollm2", environ=environ).returncode == 0
    assert len(puna("ps", environ=environ).stdout.splitlines()) == 1


def test_a_file_is_run_where_it_lies(environ: dict[str, str], tmp_path: Path) -> None:
    made = puna("show", "smollm2", "--modelfile", environ=environ).stdout
    weights = next(line for line in made.splitlines() if line.startswith("FROM "))[5:]
    (tmp_path / "linked.gguf").symlink_to(weights)
    ran = puna("run", str(tmp_path / "linked.gguf"), "hi", environ=environ)
    assert (ran.returncode, ran.stdout[-2:]) == (0, "\n\n"), ran.stderr
    assert "linked" in ran.stderr or "smollm2" in ran.stderr.lower()


def test_an_unknown_model_is_an_error_with_a_way_out(environ: dict[str, str]) -> None:
    ran = puna("run", "smolm2", "hi", environ=environ)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "Error: model 'smolm2' not found" in ran.stderr
    assert "; similar: smollm2:" in ran.stderr


def test_piped_text_is_the_prompt_and_the_answer_is_clean(environ: dict[str, str]) -> None:
    ran = puna("run", "smollm2", "again:", environ=environ, typed="piped text")
    assert ran.returncode == 0
    assert "\x1b" not in ran.stdout + ran.stderr


def test_a_reader_that_has_enough_is_no_error(environ: dict[str, str]) -> None:
    puna("run", "smollm2", "", environ=environ)
    command = f"{sys.executable} -m puna run smollm2 'a b c d e f' | head -c 1"
    ran = subprocess.run(
        ["/bin/sh", "-c", command], env=environ, capture_output=True, text=True, check=False
    )
    assert (len(ran.stdout), "Error" in ran.stderr, "Traceback" in ran.stderr) == (1, False, False)


def test_an_address_that_another_program_has_is_said(environ: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        served = puna("serve", environ=environ | {"PUNA_HOST": address})
    assert (served.returncode, served.stdout) == (1, "")
    assert served.stderr.startswith(f"Error: {address} is in use by another program")


def test_serve_ends_quietly_when_told_to(environ: dict[str, str]) -> None:
    with subprocess.Popen(
        [*PUNA, "serve"], env=environ, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        assert "listens on" in server.stderr.readline()
        server.send_signal(signal.SIGTERM)
        assert "Traceback" not in server.stderr.read()
        assert server.wait(timeout=60) == 0

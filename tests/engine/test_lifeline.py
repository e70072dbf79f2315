"""A child goes when its parent goes, and is the first to go when memory ends."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's"),
]

CHILD = """
import sys, time
from puna.node.engine.lifeline import die_with, go_first_when_memory_ends
die_with(int(sys.argv[1]))
go_first_when_memory_ends()
print("ready", flush=True)
time.sleep(100)
"""
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
print(child.pid, flush=True)
time.sleep(100)
"""
LIMIT_S = 90


def test_a_child_whose_parent_is_killed_goes_too() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        assert child.wait(LIMIT_S) != 0


def test_a_child_of_somebody_else_does_not_begin() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "1"], capture_output=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 1
    assert done.stdout == b""


def test_a_child_is_the_first_to_go_when_memory_ends() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.stdout.readline()
        score = Path(f"/proc/{child}/oom_score_adj").read_text()
        parent.kill()
    assert int(score) == 500

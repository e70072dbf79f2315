"""The program's real streams: closed, full, or without a reader."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.node import FakeNode, a_tag

PUNA = f"{sys.executable} -m puna"


def shell(node: FakeNode, command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["/bin/sh", "-c", command],
        env=os.environ | node.environ(),
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_a_reader_that_has_enough_is_no_error(node: FakeNode) -> None:
    node.tags = [a_tag(f"model-{number}:latest") for number in range(5000)]
    ran = shell(node, f"{PUNA} list | head -n 1")
    assert (ran.stdout.split()[0], ran.stderr) == (b"NAME", b"")


def test_a_closed_stdout_is_no_error(node: FakeNode) -> None:
    ran = shell(node, f"{PUNA} list >&-")
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_one_line(node: FakeNode) -> None:
    ran = shell(node, f"{PUNA} list > /dev/full")
    assert (ran.returncode, ran.stderr) == (1, b"Error: no space left on device\n")


def test_a_pipe_gets_utf8_whatever_the_locale(node: FakeNode) -> None:
    node.pieces = [{"text": "zażółć 日本 \ud83d"}]
    ran = shell(node, f"LC_ALL=C PYTHONIOENCODING=ascii {PUNA} run smollm2:135m hi")
    assert (ran.returncode, ran.stdout) == (0, "zażółć 日本 ?\n\n".encode())


def test_a_closed_stdin_is_an_empty_one(node: FakeNode) -> None:
    ran = shell(node, f"{PUNA} run smollm2:135m hi <&-")
    assert (ran.returncode, ran.stdout) == (0, b"A bun and meat.\n\n")

"""What a quick command must not wait for: modules are counted, not milliseconds."""

import os
import signal
import subprocess
import sys

import pytest

from tests.fakes.node import FakeNode

SLOW = {
    "aiohttp",
    "asyncio",
    "fastapi",
    "numpy",
    "prompt_toolkit",
    "psutil",
    "pydantic",
    "rich",
    "uvicorn",
    "xllamacpp",
}


def loaded(*arguments: str, **environ: str) -> set[str]:
    """The top-level modules that one run of the program imported."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "puna", *arguments],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = [line for line in ran.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize("command", [["list"], ["ps"], ["show", "smollm2:135m"], ["--version"]])
def test_a_quick_command_loads_nothing_slow(node: FakeNode, command: list[str]) -> None:
    modules = loaded(*command, **node.environ())
    assert "puna" in modules
    assert not modules & SLOW


def test_listing_without_a_server_loads_nothing_slow() -> None:
    assert not loaded("list", PUNA_HOST="127.0.0.1:9") & (SLOW | {"email", "http", "ssl"})


@pytest.mark.parametrize(
    "words", [("",), ("run", "smo"), ("pull", "bie"), ("rm", "a", "")], ids=str
)
def test_completing_a_word_loads_nothing_slow(words: tuple[str, ...]) -> None:
    modules = loaded("__complete", "--", *words, PUNA_HOST="127.0.0.1:9")
    assert not modules & (SLOW | {"email", "http", "ssl", "tomllib"})


def test_asking_once_loads_no_line_editor(node: FakeNode) -> None:
    modules = loaded("run", "smollm2:135m", "hi", **node.environ())
    assert not modules & {"prompt_toolkit", "pydantic", "asyncio", "rich"}


def test_who_interrupts_before_the_program_is_loaded_sees_no_traceback() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "puna", "list"]
    program = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert program.stderr is not None
    begun = next(line for line in program.stderr if "  puna." in line)
    program.send_signal(signal.SIGINT)
    said = begun + program.communicate(timeout=60)[1]
    assert "Traceback" not in said

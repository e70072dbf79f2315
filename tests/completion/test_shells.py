"""The scripts in real shells: zsh and fish where they are installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stores import put

_ASK = r"""
source <(puna completion bash)
COMP_LINE="$1" COMP_POINT=${#1}
_puna_complete puna
printf '%s\n' "${COMPREPLY[@]}"
"""
_FISH = "puna completion fish | source; complete -C $argv[1]"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A machine with one model, and puna on the path."""
    put(tmp_path / "models", "qwen3:8b")
    program = tmp_path / "bin" / "puna"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m puna "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return os.environ | {"PUNA_HOME": str(tmp_path), "PUNA_HOST": "127.0.0.1:9", "PATH": path}


def said(*command: str, environ: dict[str, str]) -> list[str]:
    ran = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.stderr == ""
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("line", "replies"),
    [
        ("puna sto", ["stop"]),
        ("puna stop qw", ["qwen3:8b"]),
        ("puna stop qwen3:", ["8b"]),
        ("puna run x --think=hi", ["high"]),
    ],
)
def test_bash_completes(line: str, replies: list[str], environ: dict[str, str]) -> None:
    assert said("bash", "--norc", "-c", _ASK, "bash", line, environ=environ) == replies


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_fish_completes_with_meanings(environ: dict[str, str]) -> None:
    assert said("fish", "-N", "-c", _FISH, "puna stop q", environ=environ) == ["qwen3:8b"]
    words = said("fish", "-N", "-c", _FISH, "puna sto", environ=environ)
    assert words == ["stop", "Take", "a", "model", "out", "of", "memory"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh_takes_the_script(environ: dict[str, str]) -> None:
    script = (
        "autoload -Uz compinit; compinit -D -u; source <(puna completion zsh); echo $_comps[puna]"
    )
    assert said("zsh", "-f", "-c", script, environ=environ) == ["_puna"]

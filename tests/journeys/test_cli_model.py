"""The program with the real model: what a stranger sees in the first minute."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.screen import puna_on_a_screen
from tests.ports import free_port

pytestmark = [pytest.mark.journey, pytest.mark.model]

PUNA = (sys.executable, "-m", "puna")


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One server for all of these tests, started by the first command that needs it."""
    home: Path = tmp_path_factory.mktemp("home")
    environ = os.environ | {"PUNA_HOME": str(home), "PUNA_HOST": f"127.0.0.1:{free_port()}"}
    yield environ
    subprocess.run([*PUNA, "stop", "--server"], env=environ, capture_output=True, check=False)


def ask(environ: dict[str, str], *arguments: str, typed: str = "") -> tuple[str, str]:
    ran = subprocess.run(
        [*PUNA, "run", "smollm2", *arguments],
        env=environ,
        input=typed,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout, ran.stderr


def test_a_hamburger_is_explained(environ: dict[str, str]) -> None:
    answer, talk = ask(environ, "What is a hamburger?")
    assert "burger" in answer.lower()
    assert answer.endswith("\n\n")
    assert "smollm2:latest runs on CPU, " in talk


def test_an_answer_in_json_is_json(environ: dict[str, str]) -> None:
    schema = json.dumps(
        {
            "type": "object",
            "properties": {"name": {"enum": ["Anna"]}},
            "required": ["name"],
            "additionalProperties": False,
        }
    )
    answer, _ = ask(environ, "--format", schema, "Who are you?")
    assert json.loads(answer) == {"name": "Anna"}


def test_a_person_stops_an_answer_and_asks_again(environ: dict[str, str]) -> None:
    with puna_on_a_screen("run", "smollm2", environ=environ) as screen:
        screen.wait_for(">>> ", limit_s=120)
        screen.press("/set parameter num_predict 400\r")
        screen.wait_for("Set parameter 'num_predict' to '400'")
        screen.wait_for(">>> ")
        screen.press("Count from one to five hundred in words.\r")
        screen.wait_for("five hundred in words.")
        screen.wait_for("\x1b[?2004l")  # the prompt has let go of the keys
        screen.wait_for("\x1b[K\x1b[?25h", limit_s=120)  # the spinner is gone: words come
        screen.press("\x03")
        screen.wait_for(">>> ", limit_s=60)
        screen.press("/set verbose\r")
        screen.wait_for("Set 'verbose' mode.")
        screen.wait_for(">>> ")
        screen.press("/set parameter num_predict 5\rSay yes.\r")  # faster than the prompts come
        screen.wait_for("eval rate:", limit_s=120)
        screen.wait_for(">>> ")
        screen.press("/bye\r")
        assert screen.wait_for_end() == 0
    assert "error" not in screen.shown

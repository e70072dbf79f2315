"""A program launched from nothing: the server is started, the model loaded, the answer comes back.

The programs are stand-ins that speak as the real ones do, with the variables and options they got.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.screen import puna_on_a_screen
from tests.ports import free_port

pytestmark = pytest.mark.journey

_CLAUDE = """#!{python}
import json, os, sys, urllib.request
url = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
text = sys.argv[sys.argv.index("-p") + 1]
body = {{"model": os.environ["ANTHROPIC_DEFAULT_HAIKU_MODEL"], "max_tokens": 50,
        "messages": [{{"role": "user", "content": text}}]}}
request = urllib.request.Request(url, json.dumps(body).encode())
request.add_header("Authorization", "Bearer " + os.environ["ANTHROPIC_AUTH_TOKEN"])
print(json.load(urllib.request.urlopen(request))["content"][0]["text"])
"""
_CODEX = """#!{python}
import json, sys, tomllib, urllib.request
options = tomllib.loads("\\n".join(sys.argv[i + 1] for i, w in enumerate(sys.argv) if w == "-c"))
url = options["model_providers"]["puna"]["base_url"] + "/responses"
body = {{"model": options["model"], "input": "count to 3"}}
reply = json.load(urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode())))
print(reply["output"][-1]["content"][0]["text"], options["model_context_window"])
"""


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Two programs on the path, a home and a port of its own, and no server left behind."""
    port = free_port()
    for name, text in (("claude", _CLAUDE), ("codex", _CODEX)):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text.format(python=sys.executable))
        program.chmod(0o755)
    environ = os.environ | {
        "PUNA_HOME": str(tmp_path / "home"),
        "PUNA_HOST": f"127.0.0.1:{port}",
        "PUNA_ENGINE": "scripted",
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
    }
    yield environ
    puna("stop", "--server", environ=environ)


def puna(*words: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "puna", *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_claude_is_launched_from_nothing_and_answered(environ: dict[str, str]) -> None:
    words = ("launch", "claude", "--model", "smollm2", "--", "-p", "count to 4")
    ran = puna(*words, environ=environ)
    assert (ran.returncode, ran.stdout) == (0, "1 2 3 4\n")
    assert "Started a server in the background" in ran.stderr
    assert "takes 8192 tokens here" in ran.stderr
    assert "8192" in puna("ps", environ=environ).stdout


def test_a_person_chooses_a_program_and_a_model(environ: dict[str, str]) -> None:
    puna("run", "smollm2", "", environ=environ)
    with puna_on_a_screen("launch", environ=environ) as screen:
        screen.wait_for("OpenCode")
        screen.press("codex\r")
        screen.wait_for("smollm2:135m")
        screen.press("\r")
        screen.wait_for("1 2 3 8192")
        assert screen.wait_for_end() == 0

"""Keys with real processes: a server for everybody, and commands that go to it."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.serving import Serving

pytestmark = pytest.mark.journey


def run(home: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "puna", *words],
        env=os.environ | {"PUNA_HOME": str(home), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def status_of(url: str, key: str) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 - ours
            return int(reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_without_a_key_a_server_for_everybody_does_not_start(tmp_path: Path) -> None:
    ran = run(tmp_path, "serve", PUNA_HOST="0.0.0.0:0")
    assert ran.returncode == 1
    assert ran.stderr.startswith("Error: no key is set, and listening on 0.0.0.0")
    assert "puna keys create" in ran.stderr


def test_with_a_key_it_starts_and_takes_note_when_the_key_is_revoked(tmp_path: Path) -> None:
    secret = run(tmp_path, "keys", "create", "laptop").stdout.strip()
    with Serving(tmp_path, PUNA_HOST="0.0.0.0:0", PUNA_ENGINE="scripted") as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        before = status_of(f"{url}/api/tags", secret)
        run(tmp_path, "keys", "revoke", "laptop")
        after = status_of(f"{url}/api/tags", secret)
    assert (before, after) == (200, 401)


@pytest.mark.parametrize("variable", ["PUNA_API_KEY", "OLLAMA_API_KEY"])
def test_a_command_sends_the_key_of_its_environment(tmp_path: Path, variable: str) -> None:
    secret = run(tmp_path, "keys", "create", "laptop").stdout.strip()
    with Serving(tmp_path, PUNA_REQUIRE_KEYS="1", PUNA_ENGINE="scripted") as server:
        with_key = run(tmp_path, "list", PUNA_HOST=server.url, **{variable: secret})
        without = run(tmp_path, "list", PUNA_HOST=server.url)
    assert (with_key.returncode, without.returncode) == (0, 1)
    assert "unauthorized: the request has no key" in without.stderr


def test_no_key_stands_in_logs_files_or_arguments(tmp_path: Path) -> None:
    secret = run(tmp_path, "keys", "create", "laptop").stdout.strip()
    settings = {"PUNA_ACCESS_LOG": "1", "PUNA_DEBUG": "2", "PUNA_ENGINE": "scripted"}
    with Serving(tmp_path, **settings) as server:
        status_of(f"{server.url}/api/tags", secret)
        status_of(f"{server.url}/api/tags?key={secret}", f"{secret}x")
        words = psutil.Process(server.process.pid).cmdline()
        server.end()
        said = server.stderr.read()
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in (said, *words, *files) if secret in text]
    assert " key=laptop " in (tmp_path / "logs" / "access.log").read_text()

"""The npm packages `ollama` and `openai`, unmodified, against a server with a real model.

`make npm` installs them beside their scripts; without them, or without node, these tests say so
and are skipped.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.serving import Serving

FOLDER = Path(__file__).parent / "npm"

pytestmark = [
    pytest.mark.model,
    pytest.mark.journey,
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules").exists(), reason="the packages are installed by `make npm`"
    ),
]


def heard(server: Serving, script: str) -> Mapping[str, object]:
    """Run one script and return what it says at the end."""
    done = subprocess.run(
        ["node", str(FOLDER / script), server.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(told, dict)
    return told


@pytest.fixture(scope="module")
def ollama(server: Serving) -> Mapping[str, object]:
    return heard(server, "ollama.js")


@pytest.fixture(scope="module")
def openai(server: Serving) -> Mapping[str, object]:
    return heard(server, "openai.js")


def test_ollama_chats_whole_and_streamed(ollama: Mapping[str, object]) -> None:
    assert "hamburger" in str(ollama["text"]).lower()
    assert (ollama["tokens"], ollama["streamed"]) == (12, ollama["text"])


def test_ollama_generates_lists_and_shows(ollama: Mapping[str, object]) -> None:
    assert "smollm2:latest" in str(ollama["listed"])
    assert (ollama["generated"], ollama["family"]) == (True, "llama")


def test_ollama_hears_of_a_missing_model(ollama: Mapping[str, object]) -> None:
    assert ollama["missing"] == "model 'none' not found"


def test_ollama_leaves_a_stream(ollama: Mapping[str, object]) -> None:
    assert ollama["aborted"] == "3 then AbortError"


def test_openai_chats_whole_and_streamed(openai: Mapping[str, object]) -> None:
    assert "hamburger" in str(openai["text"]).lower()
    assert (openai["tokens"], openai["streamed"]) == (12, openai["text"])


def test_openai_asks_for_several_and_completes(openai: Mapping[str, object]) -> None:
    assert (openai["several"], openai["completed"]) == (2, "length")


def test_openai_responds(openai: Mapping[str, object]) -> None:
    assert openai["response"] is True
    assert openai["events"] == ["response.created", "response.completed"]


def test_openai_lists_models_and_hears_of_a_missing_one(openai: Mapping[str, object]) -> None:
    assert "smollm2:latest" in str(openai["models"])
    assert openai["missing"] == "404 NotFoundError"


def test_openai_computes_a_batch(openai: Mapping[str, object]) -> None:
    assert openai["batch"] == ["completed", ["a", "b"], True]

"""`llm` with its plugin `llm-ollama`, unmodified, against a server with a real model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import Serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the client's own unclosed sockets
]


def llm(server: Serving, folder: Path, *words: str) -> str:
    """Run `llm` with that plugin alone, and return what it says."""
    settings = {
        "OLLAMA_HOST": server.url,
        "LLM_USER_PATH": str(folder),
        "LLM_LOAD_PLUGINS": "llm-ollama",
    }
    command = [sys.executable, "-m", "llm", *words]
    done = subprocess.run(
        command, env=os.environ | settings, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def test_it_lists_the_models(server: Serving, tmp_path: Path) -> None:
    listed = llm(server, tmp_path, "ollama", "models")
    assert "smollm2:latest" in listed
    assert "completion" in listed


def test_it_answers(server: Serving, tmp_path: Path) -> None:
    words = ("-m", "ollama/smollm2", "What is a hamburger?", "-o", "num_predict", "12")
    assert llm(server, tmp_path, *words).strip()


def test_it_keeps_a_schema(server: Serving, tmp_path: Path) -> None:
    words = ("-m", "ollama/smollm2", "A dog named Rex, 3", "--schema", "age int")
    answer = llm(server, tmp_path, *words, "-o", "num_predict", "80", "-o", "temperature", "0")
    assert "age" in json.loads(answer)

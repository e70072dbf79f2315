"""`push` and `pull`: through a node, and without one straight from the store."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.builders import a_gguf
from tests.fakes.console import puna
from tests.fakes.node import Canned, FakeNode, an_error
from tests.fakes.registry import a_registry
from tests.stores import put

PUSHED = (
    {"status": "retrieving manifest"},
    {"status": "pushing 74701a8c35f6", "digest": "sha256:74701a8c35f6", "total": 9, "completed": 9},
    {"status": "pushing manifest"},
    {"status": "success"},
)


def said(*lines: Mapping[str, object]) -> Canned:
    return Canned("".join(json.dumps(line) + "\n" for line in lines).encode())


def alone(home: Path) -> dict[str, str]:
    """Return the environment of a command that finds no server."""
    return {"PUNA_HOME": str(home), "PUNA_HOST": "127.0.0.1:1", "PUNA_MODELS": str(home / "models")}


@pytest.mark.parametrize(
    ("model", "place"),
    [
        ("me/tiny", "https://ollama.com/me/tiny"),
        ("me/tiny:latest", "https://ollama.com/me/tiny"),
        ("me/tiny:q4", "https://ollama.com/me/tiny:q4"),
        ("r.example:5000/me/tiny", "r.example:5000/me/tiny"),
    ],
)
def test_push_says_where_the_model_is(node: FakeNode, model: str, place: str) -> None:
    node.canned["/api/push"] = said(*PUSHED)
    ran = puna("push", model, environ=node.environ())
    assert (ran.code, ran.out) == (0, f"\nYou can find your model at:\n\n\t{place}\n")
    assert ran.err.splitlines()[0] == "retrieving manifest"


def test_push_passes_on_the_flag(node: FakeNode) -> None:
    node.canned["/api/push"] = said(*PUSHED)
    puna("push", "--insecure", "me/tiny", environ=node.environ())
    assert node.bodies("/api/push") == [{"model": "me/tiny", "insecure": True, "stream": True}]


def test_a_refused_push_is_a_failure(node: FakeNode) -> None:
    words = "you are not authorized to push to this namespace"
    node.canned["/api/push"] = said({"status": "retrieving manifest"}, {"error": words})
    ran = puna("push", "tiny", environ=node.environ())
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == f"Error: {words}"


def test_an_unknown_model_is_not_pushed(node: FakeNode) -> None:
    node.canned["/api/push"] = an_error("model 'none' not found", 404)
    ran = puna("push", "none", environ=node.environ())
    assert (ran.code, ran.err) == (1, "Error: model 'none' not found\n")


def test_without_a_server_a_model_goes_from_the_store_and_back(tmp_path: Path) -> None:
    with a_registry() as registry:
        name = f"http://{registry.name}/me/tiny"
        put(tmp_path / "models", name, a_gguf())
        assert puna("push", "--insecure", name, environ=alone(tmp_path)).code == 0
        ran = puna("pull", "--insecure", name, environ=alone(tmp_path / "other"))
    assert (ran.code, ran.err.splitlines()[-2:]) == (0, ["writing manifest", "success"])
    assert list((tmp_path / "other" / "models" / "manifests").rglob("latest"))


def test_without_a_server_a_missing_model_is_named_as_ollama_names_it(tmp_path: Path) -> None:
    with a_registry() as registry:
        name = f"http://{registry.name}/me/none"
        ran = puna("pull", "--insecure", name, environ=alone(tmp_path))
    assert ran.code == 1
    assert "Error: pull model manifest: file does not exist" in ran.err.splitlines()


def test_plain_http_needs_the_flag(tmp_path: Path) -> None:
    ran = puna("pull", "http://127.0.0.1:1/me/none", environ=alone(tmp_path))
    assert (ran.code, ran.err.splitlines()[0]) == (1, "Error: insecure protocol http")

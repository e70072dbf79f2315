"""Endpoints as people name them, and keys that never stand in a command."""

from pathlib import Path

import pytest

from puna.batch.workers.address import BadEndpoint, read_endpoint, read_key


@pytest.mark.parametrize(
    ("text", "name", "model", "key"),
    [
        ("http://10.0.0.7:11434", "http://10.0.0.7:11434", "", ""),
        ("10.0.0.7:11434", "http://10.0.0.7:11434", "", ""),
        ("https://a.example/v1/,model=m:8b", "https://a.example/v1", "m:8b", ""),
        ("https://a.example, key=env:K , model=m", "https://a.example", "m", "env:K"),
    ],
)
def test_an_endpoint_is_read(text: str, name: str, model: str, key: str) -> None:
    found = read_endpoint(text)
    assert (found.name.rstrip("/"), found.model, found.key) == (name, model, key)


@pytest.mark.parametrize(
    "text",
    [
        "http://a,key=sk-very-secret",
        "http://user:sk-very-secret@a",
        "http://a?key=sk-very-secret",
        "http://a,token=sk-very-secret",
        "http://a,key",
        "http://a,model=",
        "http://a,model=x,model=y",
        "ftp://a",
        "",
    ],
)
def test_a_wrong_one_is_refused_and_what_may_be_a_key_is_not_repeated(text: str) -> None:
    with pytest.raises(BadEndpoint) as caught:
        read_endpoint(text)
    assert "sk-very-secret" not in f"{caught.value.message} {caught.value.hint}"


def test_a_key_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-file\n")
    assert read_key("env:K", {"K": " from-env "}.get) == "from-env"  # type: ignore[arg-type]
    assert read_key(f"file:{file}", {}) == "from-file"
    assert read_key("", {}) == ""


@pytest.mark.parametrize("content", ["", "two\nlines", "a" * 5000, "schlüssel"])
def test_what_is_no_key_is_said_without_it(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    with pytest.raises(BadEndpoint, match="holds no key"):
        read_key(f"file:{file}", {})


def test_a_missing_file_or_variable_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadEndpoint, match="cannot be read"):
        read_key(f"file:{tmp_path / 'none'}", {})
    with pytest.raises(BadEndpoint, match="the variable NONE holds no key"):
        read_key("env:NONE", {})

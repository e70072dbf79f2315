"""What each word may become, as a shell is told."""

from pathlib import Path

import pytest

from puna.cli.main import COMMANDS, Takes, load_command
from puna.library.curated import load_catalog
from puna.library.listed_names import listed_names
from tests.fakes.console import puna
from tests.fakes.node import FakeNode, a_tag
from tests.stores import put


def told(*words: str, environ: dict[str, str]) -> list[str]:
    """The words that a shell gets, after the line that says whether files may stand there."""
    return [
        line.partition("\t")[0] for line in puna("__complete", "--", *words, environ=environ).lines
    ]


@pytest.fixture
def shelf(tmp_path: Path) -> dict[str, str]:
    """A machine with two models and no server."""
    put(tmp_path / "models", "Qwen3:8b")
    put(tmp_path / "models", "hf.co/speakleash/bielik:q4")
    return {"PUNA_HOME": str(tmp_path), "PUNA_HOST": "127.0.0.1:9"}


@pytest.mark.parametrize(
    ("words", "told_words"),
    [
        (["ru"], ["none", "run"]),
        (["--ver"], ["none", "--version", "--verbose"]),
        (["--verbose", "lis"], ["none", "list"]),
        (["xyzzy", ""], ["none"]),
        (["show", "qw"], ["none", "Qwen3:8b"]),
        (["rm", "Qwen3:8b", "hf"], ["none", "hf.co/speakleash/bielik:q4"]),
        (["show", "Qwen3:8b", ""], ["none"]),
        (["show", "./"], ["files"]),
        (["show", "--lic"], ["none", "--license"]),
        (["show", "--license", "--lic"], ["none"]),
        (["show", "--license", "qw"], ["none", "Qwen3:8b"]),
        (["show", "--", "qw"], ["none", "Qwen3:8b"]),
        (["run", "m", "--think=h"], ["none", "--think=high"]),
        (["run", "m", "--thi"], ["none", "--think="]),
        (["run", "--keepalive", ""], ["none"]),
        (["fit", "m", "--cache-type", "q"], ["none", "q8_0", "q4_0"]),
        (["fit", "m", "--cache-type=f"], ["none", "--cache-type=f16"]),
        (["keys", "r"], ["none", "revoke"]),
        (["batch", "r"], ["none", "run", "resume"]),
        (["batch", "run", "--labe"], ["none", "--labels"]),
        (["batch", "xyzzy", ""], ["none"]),
        (["keys", "create", "--scope", "m"], ["none", "manage"]),
        (["help", "sho"], ["none", "show"]),
        (["help", "show", ""], ["none"]),
        (["completion", "z"], ["none", "zsh"]),
        (["pull", "bielik:1.5"], ["none", "bielik:1.5b"]),
    ],
    ids=str,
)
def test_a_word_becomes(words: list[str], told_words: list[str], shelf: dict[str, str]) -> None:
    assert told(*words, environ=shelf) == told_words


def test_every_command_is_offered_with_its_meaning(shelf: dict[str, str]) -> None:
    lines = puna("__complete", "--", "", environ=shelf).lines[1:]
    assert lines == [f"{name}\t{row.meaning}" for name, row in COMMANDS.items()]


def test_a_line_is_divided_as_a_shell_divides_it(shelf: dict[str, str]) -> None:
    ran = puna("__complete", "--line", 'puna show "Qwen3:', environ=shelf)
    assert ran.lines == ["none", "Qwen3:8b\t"]
    ran = puna("__complete", "--line", "puna show ", environ=shelf)
    assert "Qwen3:8b\t" in ran.lines


def test_a_server_elsewhere_is_asked_for_its_models(node: FakeNode) -> None:
    node.tags = [a_tag("far:latest")]
    elsewhere = node.environ() | {"PUNA_HOST": node.environ()["PUNA_HOST"].replace("127", "0x7f")}
    assert told("stop", "f", environ=elsewhere) == ["none", "far"]


@pytest.mark.parametrize("broken", [{"PUNA_HOST": "ftp://x"}, {"PUNA_MODELS": "/dev/null"}])
def test_nothing_is_offered_where_the_settings_are_broken(broken: dict[str, str]) -> None:
    assert told("show", "no-such", environ=broken) == ["none"]


def test_the_quick_names_of_the_list_are_those_of_the_list() -> None:
    names = {
        name
        for row in load_catalog().models
        for name in (row.name, *(f"{row.name}:{size.tag}" for size in row.sizes))
    }
    assert set(listed_names()) == names


@pytest.mark.parametrize("name", [name for name, row in COMMANDS.items() if row.takes])
def test_what_the_table_says_of_a_commands_words_is_so(name: str) -> None:
    takes = COMMANDS[name].takes
    arguments = [p for p in load_command(COMMANDS[name]).params if p.param_type_name == "argument"]
    assert arguments[0].name in {"model", "models", "source", "prefix", "command", "integration"}
    assert (arguments[0].nargs == -1) == (takes is Takes.MODELS)

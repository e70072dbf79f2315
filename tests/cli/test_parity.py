"""Ollama's command line, row by row: each command, alias and flag that its users type is here.

The rows are those of Ollama 0.32.15. What is left out on purpose is listed too, so that a row
cannot be forgotten.
"""

import click
import pytest

from puna.cli.main import ALIASES, COMMANDS, load_command
from puna.cli.repl.commands import LEAVE
from tests.fakes.console import puna
from tests.fakes.node import FakeNode, an_error

FLAGS = {
    "serve": [],
    "run": [
        *["--keepalive", "--verbose", "--insecure", "--nowordwrap", "--format", "--think"],
        *["--hidethinking", "--truncate", "--dimensions"],
    ],
    "pull": ["--insecure"],
    "push": ["--insecure"],
    "create": ["-f", "--file", "-q", "--quantize"],
    "show": [
        *["--license", "--modelfile", "--parameters", "--template", "--system"],
        *["-v", "--verbose"],
    ],
    "list": [],
    "ps": [],
    "cp": [],
    "rm": [],
    "stop": [],
    "launch": ["--model", "--config", "--restore", "-y", "--yes"],
    "help": [],
}
OUT_OF_SCOPE = ["runner", "gpu-discover"]
ACCOUNTS = ["signin", "login", "signout", "logout"]


@pytest.mark.parametrize("name", FLAGS)
def test_every_command_takes_ollamas_flags(name: str) -> None:
    command = load_command(COMMANDS[name])
    known = {
        flag for each in command.params if isinstance(each, click.Option) for flag in each.opts
    }
    assert [flag for flag in FLAGS[name] if flag not in known] == []


def test_aliases_are_ollamas() -> None:
    assert ALIASES == {"start": "serve", "ls": "list"}


@pytest.mark.parametrize("name", OUT_OF_SCOPE)
def test_what_is_out_of_scope_is_refused_by_name(name: str) -> None:
    ran = puna(name, environ={})
    assert ran.code == 1
    assert ran.err.startswith(f'Error: unknown command "{name}" for "puna"')


@pytest.mark.parametrize("name", ACCOUNTS)
def test_signing_in_is_refused_with_the_reason(name: str) -> None:
    assert puna(name, environ={}).err == (
        f'Error: no "{name}" here: models run on machines of your own, without an account; '
        "to rent, log in with `puna cloud login`\n"
        "usage: puna --help\n"
    )


@pytest.mark.parametrize("flags", [["--version"], ["-v"]], ids=str)
def test_the_version_is_said_in_ollamas_form(flags: list[str], node: FakeNode) -> None:
    ran = puna(*flags, environ=node.environ())
    assert ran.out.startswith("puna version is ")
    assert ran.err == ""


def test_a_version_without_a_server_warns() -> None:
    ran = puna("--version", environ={"PUNA_HOST": "127.0.0.1:9"})
    assert ran.code == 0
    assert ran.err == "Warning: could not connect to a running puna server\n"


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["cp", "smollm2:135m", "b"], "copied 'smollm2:135m' to 'b'\n"),
        (["rm", "smollm2:135m"], "deleted 'smollm2:135m'\n"),
        (["stop", "smollm2:135m"], ""),
    ],
    ids=str,
)
def test_a_deed_is_told_in_ollamas_words(words: list[str], out: str, node: FakeNode) -> None:
    ran = puna(*words, environ=node.environ())
    assert (ran.code, ran.out, ran.err) == (0, out, "")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["show", "x"], "model 'x' not found"),
        (["cp", "x", "y"], "model 'x' not found"),
        (["rm", "x"], "model 'x' not found"),
        (["stop", "x"], 'couldn\'t find model "x" to stop'),
        (["show", "m", "--license", "--system"], "only one of '--license', '--modelfile',"),
        (["run", "m", "--think=much"], 'invalid value for --think: "much" (must be true,'),
        (["create", "a:b:c"], "invalid model name: a:b:c"),
        (["xyzzy"], 'unknown command "xyzzy" for "puna"'),
    ],
    ids=str,
)
def test_a_failure_is_one_line_in_ollamas_words_and_exit_code_1(
    words: list[str], line: str, node: FakeNode
) -> None:
    ran = puna(*words, environ=node.environ())
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"Error: {line}")


@pytest.mark.parametrize("words", [["ps"], ["stop", "x"]], ids=str)
def test_without_a_server_the_way_to_start_one_is_said(words: list[str]) -> None:
    ran = puna(*words, environ={"PUNA_HOST": "127.0.0.1:9"})
    assert ran.code == 1
    assert "could not connect to puna server, run 'puna serve' to start it" in ran.err


def test_a_model_that_will_not_stop_is_removed_all_the_same(node: FakeNode) -> None:
    node.canned["/api/generate"] = an_error("busy", 500)
    ran = puna("rm", "smollm2:135m", environ=node.environ())
    assert ran.err == "Warning: unable to stop model 'smollm2:135m'\n"
    assert ran.out == "deleted 'smollm2:135m'\n"


def test_a_conversation_is_left_by_either_word() -> None:
    assert sorted(LEAVE) == ["/bye", "/exit"]

"""The program's table of commands, its help and its usage errors."""

import json

import pytest

from puna.cli.main import ALIASES, COMMANDS, load_command
from tests.fakes.console import puna

NONE: dict[str, str] = {}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]], ids=str)
def test_help_lists_every_command(arguments: list[str]) -> None:
    ran = puna(*arguments, environ=NONE)
    assert (ran.code, ran.err) == (0, "")
    listed = [line.split()[0] for line in ran.out.partition("Commands:\n")[2].splitlines() if line]
    assert listed == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_agrees_with_the_table(name: str) -> None:
    command = load_command(COMMANDS[name])
    assert command.name == name
    assert puna("help", name, environ=NONE).out == puna(name, "--help", environ=NONE).out


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_its_command(alias: str) -> None:
    whole = puna(ALIASES[alias], "--help", environ=NONE).out
    assert puna(alias, "--help", environ=NONE).out == whole


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["lst"], 'unknown command "lst" for "puna"; similar: list'),
        (["help", "runn"], 'unknown command "runn" for "puna"; similar: run'),
        (["xyzzy"], 'unknown command "xyzzy" for "puna"'),
        (["show"], "missing argument 'MODEL'"),
        (["cp", "a"], "missing argument 'DESTINATION'"),
        (["rm"], "missing argument 'MODEL...'"),
        (["stop"], "missing argument 'MODEL'"),
        (["list", "a", "b"], "got unexpected extra argument (b)"),
        (["--bad"], "no such option '--bad'"),
        (["run", "m", "--format"], "option '--format' requires an argument"),
    ],
    ids=str,
)
def test_a_usage_error_is_one_line_and_where_to_look(arguments: list[str], line: str) -> None:
    ran = puna(*arguments, environ=NONE)
    said = ran.err.splitlines()
    assert (ran.code, ran.out, len(said)) == (1, "", 2)
    assert said[0].startswith(f"Error: {line}")
    assert said[1].startswith("usage: puna")


def test_help_works_when_the_settings_are_broken() -> None:
    broken = {"PUNA_HOST": "ftp://x"}
    assert puna("run", "--help", environ=broken).code == 0
    ran = puna("list", environ=broken)
    assert ran.code == 1
    assert ran.err.startswith("Error: PUNA_HOST: ")


def test_settings_say_where_each_value_came_from() -> None:
    environ = {"PUNA_THREADS": "3", "OLLAMA_KEEP_ALIVE": "10m", "PUNA_API_KEY": "hush"}
    rows = [line.split() for line in puna("settings", environ=environ).lines]
    assert rows[0] == ["SETTING", "VALUE", "SOURCE", "VARIABLES"]
    assert ["threads", "3", "PUNA_THREADS", "PUNA_THREADS"] in rows
    assert [
        "keep_alive",
        "10m0s",
        "OLLAMA_KEEP_ALIVE",
        "PUNA_KEEP_ALIVE,",
        "OLLAMA_KEEP_ALIVE",
    ] in rows
    assert ["api_key", "set", "PUNA_API_KEY", "PUNA_API_KEY"] in rows


def test_settings_as_json_hold_the_same_and_no_secret() -> None:
    ran = puna("settings", "--json", environ={"PUNA_API_KEY": "hush"})
    rows = {row["name"]: row for row in json.loads(ran.out)}
    assert rows["api_key"]["value"] == "set"
    assert rows["threads"]["source"] == "default"
    assert "hush" not in ran.out


def test_a_setting_that_is_not_taken_is_said_once() -> None:
    ran = puna("settings", environ={"OLLAMA_NUM_PARALLEL": "many"})
    assert ran.code == 0
    assert ran.err.count("Warning: OLLAMA_NUM_PARALLEL") == 1

"""What each program is started with, and which file would configure it."""

import json
import tomllib
from pathlib import Path

import pytest

from puna.cli.launch.programs import (
    PROGRAMS,
    JsonKeys,
    Program,
    Target,
    UnknownProgram,
    WholeFile,
    program_of,
)

TARGET = Target("http://127.0.0.1:11434", "sesame", "qwen3:8b", 40960)
UNKNOWN = Target("http://127.0.0.1:11434", "puna", 'odd"name', 0)


@pytest.mark.parametrize("name", ["claude", "CODEX", "OpenCode"])
def test_a_program_is_found_in_any_case(name: str) -> None:
    assert program_of(name).name == name.lower()


@pytest.mark.parametrize("name", ["", "claude-code", "droid"])
def test_an_unknown_program_is_refused_with_those_that_are_known(name: str) -> None:
    with pytest.raises(UnknownProgram) as caught:
        program_of(name)
    assert caught.value.message == f'unknown integration: "{name}"'
    assert caught.value.hint == "puna launches claude, codex, opencode"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_every_program_says_how_it_is_installed_and_started(program: Program) -> None:
    assert program.install.startswith("npm install -g ")
    assert program.how_to_start.split()[0] == program.name


def test_claude_uses_one_model_for_everything() -> None:
    words, variables = program_of("claude").start(TARGET)
    models = {name: value for name, value in variables.items() if "MODEL" in name}
    assert set(models.values()) == {"qwen3:8b"}
    assert sorted(models) == [
        "ANTHROPIC_DEFAULT_HAIKU_MODEL",
        "ANTHROPIC_DEFAULT_OPUS_MODEL",
        "ANTHROPIC_DEFAULT_SONNET_MODEL",
        "ANTHROPIC_MODEL",
        "CLAUDE_CODE_SUBAGENT_MODEL",
    ]
    assert words == ("--model", "qwen3:8b")


def test_claudes_address_has_no_path_and_no_key_of_its_makers() -> None:
    _, variables = program_of("claude").start(TARGET)
    assert variables["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:11434"
    assert variables["ANTHROPIC_AUTH_TOKEN"] == "sesame"
    assert variables["ANTHROPIC_API_KEY"] == ""


def test_codex_reads_every_option_as_toml() -> None:
    words, variables = program_of("codex").start(UNKNOWN)
    assert words[::2] == ("-c",) * (len(words) // 2)
    read = tomllib.loads("\n".join(words[1::2]))
    assert read["model"] == 'odd"name'
    assert read["model_provider"] == "puna"
    assert read["model_providers"]["puna"] == {
        "name": "puna",
        "base_url": "http://127.0.0.1:11434/v1",
        "wire_api": "responses",
        "env_key": "PUNA_API_KEY",
    }
    assert variables == {"PUNA_API_KEY": "puna"}


@pytest.mark.parametrize("name", ["claude", "codex", "opencode"])
def test_an_unknown_context_is_not_made_up(name: str) -> None:
    words, variables = program_of(name).start(UNKNOWN)
    told = " ".join((*words, *variables, *variables.values()))
    for word in ("CLAUDE_CODE_AUTO_COMPACT_WINDOW", "model_context_window", '"limit"'):
        assert word not in told


def test_opencode_gets_a_provider_and_both_its_models() -> None:
    words, variables = program_of("opencode").start(TARGET)
    assert words == ()
    content = json.loads(variables["OPENCODE_CONFIG_CONTENT"])
    assert content["model"] == content["small_model"] == "puna/qwen3:8b"
    assert content["provider"]["puna"]["options"] == {
        "baseURL": "http://127.0.0.1:11434/v1",
        "apiKey": "sesame",
    }
    limit = content["provider"]["puna"]["models"]["qwen3:8b"]["limit"]
    assert limit == {"context": 40960, "output": 10240}


@pytest.mark.parametrize(
    ("name", "folders", "path"),
    [
        ("claude", {"HOME": "/h"}, "/h/.claude/settings.json"),
        ("claude", {"HOME": "/h", "CLAUDE_CONFIG_DIR": "/c"}, "/c/settings.json"),
        ("codex", {"HOME": "/h"}, "/h/.codex/puna.config.toml"),
        ("codex", {"HOME": "/h", "CODEX_HOME": "/x"}, "/x/puna.config.toml"),
        ("opencode", {"HOME": "/h"}, "/h/.config/opencode/opencode.json"),
        ("opencode", {"HOME": "/h", "XDG_CONFIG_HOME": "/g"}, "/g/opencode/opencode.json"),
    ],
    ids=str,
)
def test_a_configuration_lies_where_its_program_looks(
    name: str, folders: dict[str, str], path: str
) -> None:
    (edit,) = program_of(name).files(TARGET, folders)
    assert edit.path == Path(path)


def test_claudes_settings_get_variables_and_nothing_else() -> None:
    (edit,) = program_of("claude").files(TARGET, {"HOME": "/h"})
    assert isinstance(edit, JsonKeys)
    assert {keys[0] for keys in edit.values} == {"env"}
    assert edit.values["env", "ANTHROPIC_MODEL"] == "qwen3:8b"


def test_opencodes_settings_get_a_provider_and_keep_the_users_model() -> None:
    (edit,) = program_of("opencode").files(TARGET, {"HOME": "/h"})
    assert isinstance(edit, JsonKeys)
    assert list(edit.values) == [("provider", "puna")]


def test_codexs_profile_is_whole_and_needs_no_variable() -> None:
    (edit,) = program_of("codex").files(TARGET, {"HOME": "/h"})
    assert isinstance(edit, WholeFile)
    read = tomllib.loads(edit.text)
    assert (read["model"], read["model_context_window"]) == ("qwen3:8b", 40960)
    provider = read["model_providers"]["puna"]
    assert provider["experimental_bearer_token"] == "sesame"
    assert "env_key" not in provider

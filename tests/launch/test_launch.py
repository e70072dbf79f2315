"""`puna launch`: what a program is started with, against a node and a program of the test's own."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from puna.cli.launch.commands import wanted_context
from puna.node.card import ModelCard
from tests.fakes.console import puna
from tests.fakes.node import FakeNode, a_card, a_running, an_error

_PROGRAM = """#!/bin/sh
{ env -0; printf '\\0--\\0'; for each in "$@"; do printf '%s\\0' "$each"; done; } > "$HOME/told"
exit ${EXIT:-0}
"""
MODEL = "smollm2:135m"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home in which all three programs are installed."""
    for name in ("claude", "codex", "opencode"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(_PROGRAM)
        program.chmod(0o755)
    return tmp_path


@pytest.fixture
def environ(home: Path, node: FakeNode) -> dict[str, str]:
    """A node whose model calls functions and takes a long context."""
    node.card = a_card(capabilities=["completion", "tools"])
    node.running = [a_running(context_length=131072)]
    path = f"{home}/bin:/usr/bin:/bin"
    return node.environ() | {"HOME": str(home), "PUNA_HOME": str(home / "puna"), "PATH": path}


def told(home: Path) -> tuple[dict[str, str], list[str]]:
    """The variables and the arguments that the program was started with."""
    variables, _, words = (home / "told").read_text().partition("\0--\0")
    pairs = (line.partition("=") for line in variables.split("\0") if line)
    return {name: value for name, _, value in pairs}, words.split("\0")[:-1]


def test_claude_gets_the_node_by_variables(home: Path, environ: dict[str, str]) -> None:
    ran = puna("launch", "claude", "--model", MODEL, "--", "-p", "hi", environ=environ)
    variables, words = told(home)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert words == ["--model", MODEL, "-p", "hi"]
    assert variables["ANTHROPIC_BASE_URL"] == f"http://{environ['PUNA_HOST']}"
    assert variables["ANTHROPIC_AUTH_TOKEN"] == "puna"
    assert variables["ANTHROPIC_API_KEY"] == ""
    assert variables["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == MODEL
    assert variables["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] == "131072"


def test_codex_gets_the_node_by_options(home: Path, environ: dict[str, str]) -> None:
    assert puna("launch", "codex", "--model", MODEL, "--", "exec", environ=environ).code == 0
    variables, words = told(home)
    assert words[-1] == "exec"
    options = dict(word.split("=", 1) for word in words[:-1] if word != "-c")
    assert options["model"] == f'"{MODEL}"'
    assert options["model_providers.puna.base_url"] == f'"http://{environ["PUNA_HOST"]}/v1"'
    assert options["model_providers.puna.wire_api"] == '"responses"'
    assert options["model_context_window"] == "131072"
    assert variables["PUNA_API_KEY"] == "puna"


def test_opencode_gets_the_node_by_its_content_variable(
    home: Path, environ: dict[str, str]
) -> None:
    assert puna("launch", "opencode", "--model", MODEL, environ=environ).code == 0
    content = json.loads(told(home)[0]["OPENCODE_CONFIG_CONTENT"])
    assert content["model"] == content["small_model"] == f"puna/{MODEL}"
    provider = content["provider"]["puna"]
    assert provider["options"]["baseURL"] == f"http://{environ['PUNA_HOST']}/v1"
    assert provider["models"][MODEL]["limit"] == {"context": 131072, "output": 32768}


def test_a_key_of_the_node_goes_to_the_program(home: Path, environ: dict[str, str]) -> None:
    puna("launch", "claude", "--model", MODEL, environ=environ | {"PUNA_API_KEY": "sesame"})
    assert told(home)[0]["ANTHROPIC_AUTH_TOKEN"] == "sesame"


def test_the_exit_code_is_the_programs(environ: dict[str, str]) -> None:
    ran = puna("launch", "claude", "--model", MODEL, environ=environ | {"EXIT": "7"})
    assert (ran.code, ran.err) == (7, "")


def test_the_model_is_loaded_with_all_its_context_and_let_go(
    node: FakeNode, environ: dict[str, str]
) -> None:
    puna("launch", "claude", "--model", MODEL, environ=environ)
    loads = [(body["options"], body["keep_alive"]) for body in node.bodies("/api/generate")]
    assert loads == [({"num_ctx": 8192}, "24h"), ({"num_ctx": 131072}, "5m0s")]


def test_a_context_that_does_not_fit_is_halved(node: FakeNode, environ: dict[str, str]) -> None:
    node.canned["/api/generate"] = an_error("does not fit", 500)
    ran = puna("launch", "claude", "--model", MODEL, environ=environ)
    asked = [body["options"] for body in node.bodies("/api/generate")]
    assert asked == [{"num_ctx": 8192}, {"num_ctx": 4096}]
    assert ran.err.endswith("Error: does not fit\n")


def test_a_model_that_falls_short_is_used_and_that_is_said(
    node: FakeNode, environ: dict[str, str]
) -> None:
    node.card, node.running = a_card(), [a_running()]
    said = puna("launch", "claude", "--model", MODEL, environ=environ).err.splitlines()
    assert said[0].startswith(f'warning: model "{MODEL}" cannot call functions')
    assert said[1].startswith(f'warning: model "{MODEL}" takes 8192 tokens here')


@pytest.mark.parametrize(
    ("words", "line", "hint"),
    [
        (["droid"], 'unknown integration: "droid"', "puna launches claude, codex, opencode"),
        ([], "which program?", "`puna launch claude`"),
        (["claude"], "which model?", "`puna launch claude --model NAME`"),
        (["claude", "--model", "nope"], "model 'nope' not found", "`puna list`"),
    ],
    ids=str,
)
def test_what_is_missing_is_said(
    words: list[str], line: str, hint: str, environ: dict[str, str], node: FakeNode
) -> None:
    node.canned["/api/pull"] = an_error("pull model manifest: file does not exist", 404)
    ran = puna("launch", *words, environ=environ)
    *_, first, second = ran.err.splitlines()
    assert (ran.code, first) == (1, f"Error: {line}")
    assert hint in second


def test_a_program_that_is_not_installed_is_named_with_how_to_get_it(
    environ: dict[str, str],
) -> None:
    ran = puna("launch", "codex", "--model", MODEL, environ=environ | {"PATH": "/nowhere"})
    assert ran.err == (
        "Error: Codex is not installed: there is no program codex\n"
        "install it with `npm install -g @openai/codex`\n"
    )


def test_without_questions_the_model_used_last_is_taken(
    home: Path, environ: dict[str, str]
) -> None:
    puna("launch", "claude", "--model", MODEL, environ=environ)
    (home / "told").unlink()
    assert puna("launch", "claude", "--yes", environ=environ).code == 0
    assert told(home)[1] == ["--model", MODEL]


CONFIGS: Mapping[str, str] = {
    "claude": ".claude/settings.json",
    "codex": ".codex/puna.config.toml",
    "opencode": ".config/opencode/opencode.json",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_config_writes_and_restore_takes_back(
    name: str, home: Path, environ: dict[str, str]
) -> None:
    config = home / CONFIGS[name]
    assert puna("launch", name, "--config", "--model", MODEL, environ=environ).code == 0
    assert MODEL in config.read_text()
    assert config.stat().st_mode & 0o077 == 0
    assert not (home / "told").exists()
    assert puna("launch", name, "--restore", environ=environ).err == f"removed {config}\n"
    assert not config.exists()


@pytest.mark.parametrize("name", ["claude", "opencode"])
def test_what_was_there_comes_back_to_the_byte(
    name: str, home: Path, environ: dict[str, str]
) -> None:
    config = home / CONFIGS[name]
    config.parent.mkdir(parents=True)
    before = '{"env": {"MINE": "1"},  "provider": {"other": {}}, "theme": "dark"}'
    config.write_text(before)
    for _ in range(2):
        puna("launch", name, "--config", "--model", MODEL, environ=environ)
    now = json.loads(config.read_text())
    assert (now["theme"], now["env"]["MINE"], now["provider"]["other"]) == ("dark", "1", {})
    puna("launch", name, "--restore", environ=environ)
    assert config.read_text() == before


def test_what_was_changed_since_stays_and_only_our_keys_go(
    home: Path, environ: dict[str, str]
) -> None:
    config = home / CONFIGS["claude"]
    config.parent.mkdir(parents=True)
    config.write_text('{"env": {"ANTHROPIC_MODEL": "opus"}}')
    puna("launch", "claude", "--config", "--model", MODEL, environ=environ)
    config.write_text(json.dumps(json.loads(config.read_text()) | {"theme": "dark"}))
    ran = puna("launch", "claude", "--restore", environ=environ)
    assert ran.err.startswith("took puna's keys out of ")
    assert json.loads(config.read_text()) == {
        "env": {"ANTHROPIC_MODEL": "opus"},
        "theme": "dark",
    }


def test_a_configuration_with_comments_is_left_alone(home: Path, environ: dict[str, str]) -> None:
    config = home / CONFIGS["opencode"]
    config.parent.mkdir(parents=True)
    config.write_text('{\n  // mine\n  "theme": "dark"\n}\n')
    ran = puna("launch", "opencode", "--config", "--model", MODEL, environ=environ)
    assert ran.code == 1
    assert f"{config} is not plain JSON, so puna leaves it alone" in ran.err
    assert "// mine" in config.read_text()


def test_a_link_to_a_configuration_stays_a_link(home: Path, environ: dict[str, str]) -> None:
    target = home / "dotfiles.json"
    target.write_text("{}")
    config = home / CONFIGS["claude"]
    config.parent.mkdir(parents=True)
    config.symlink_to(target)
    puna("launch", "claude", "--config", "--model", MODEL, environ=environ)
    assert config.is_symlink()
    assert "ANTHROPIC_BASE_URL" in target.read_text()


def test_nothing_to_restore_is_said(environ: dict[str, str]) -> None:
    ran = puna("launch", "claude", "--restore", environ=environ)
    assert (ran.code, ran.err) == (
        0,
        "nothing to take back: puna has written no file of Claude Code\n",
    )


def test_our_own_file_that_was_changed_is_kept_elsewhere(
    home: Path, environ: dict[str, str]
) -> None:
    puna("launch", "codex", "--config", "--model", MODEL, environ=environ)
    (home / CONFIGS["codex"]).write_text("mine = 1\n")
    said = puna("launch", "codex", "--restore", environ=environ).err
    assert said.startswith("it had been changed since")
    assert Path(said.splitlines()[0].rpartition(" ")[2]).read_text() == "mine = 1\n"


@pytest.mark.parametrize(
    ("trained", "chosen", "wanted"),
    [
        (131072, 0, 65536),
        (8192, 0, 8192),
        (131072, 16384, 16384),
        (131072, 100000, 100000),
        (8192, 16384, 8192),
        (None, 0, 0),
        (None, 16384, 16384),
        ("many", 0, 0),
    ],
)
def test_the_context_wanted_is_what_helps_or_what_is_set(
    trained: object, chosen: int, wanted: int
) -> None:
    facts = {"general.architecture": "llama", "llama.context_length": trained}
    assert wanted_context(ModelCard(metadata=facts), chosen) == wanted


def test_a_context_that_is_set_is_the_one_loaded(node: FakeNode, environ: dict[str, str]) -> None:
    puna("launch", "claude", "--model", MODEL, environ=environ | {"OLLAMA_CONTEXT_LENGTH": "6000"})
    assert node.bodies("/api/generate")[0]["options"] == {"num_ctx": 6000}


@pytest.mark.parametrize(
    ("keep_alive", "sent"), [("-1", "-1m"), ("1h", "1h0m0s"), ("0", "0s")], ids=str
)
def test_afterwards_the_model_stays_as_long_as_is_set(
    keep_alive: str, sent: str, node: FakeNode, environ: dict[str, str]
) -> None:
    setting = {"OLLAMA_KEEP_ALIVE": keep_alive}
    puna("launch", "claude", "--model", MODEL, environ=environ | setting)
    assert node.bodies("/api/generate")[-1]["keep_alive"] == sent


def test_a_model_that_has_left_memory_is_not_loaded_again(
    node: FakeNode, environ: dict[str, str]
) -> None:
    node.running = []
    assert puna("launch", "codex", "--model", MODEL, environ=environ).code == 0
    assert len(node.bodies("/api/generate")) == 1


def test_a_program_where_its_own_installer_puts_it_is_found(
    home: Path, environ: dict[str, str]
) -> None:
    place = home / ".claude" / "local"
    place.mkdir(parents=True)
    (home / "bin" / "claude").rename(place / "claude")
    assert puna("launch", "claude", "--model", MODEL, environ=environ).code == 0
    assert told(home)[1] == ["--model", MODEL]


def test_a_configuration_needs_no_program(home: Path, environ: dict[str, str]) -> None:
    environ = environ | {"PATH": "/nowhere"}
    ran = puna("launch", "codex", "--config", "--model", MODEL, environ=environ)
    assert ran.code == 0
    assert ran.err.splitlines() == [
        f"wrote {home / CONFIGS['codex']}",
        "Start it with `codex --profile puna`; `puna launch codex --restore` takes this back",
    ]

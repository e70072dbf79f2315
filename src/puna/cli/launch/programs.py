"""The programs that `puna launch` knows: what each is started with, and what would configure it.

Pure: values in, values out. A program that is launched gets all it needs as arguments and
variables, so that nothing of the user's is written; `--config` writes what follows from `files`,
for a program that is to be started without puna.

What each program wants was read from its own help and tried: Claude Code 2.1, Codex 0.169, OpenCode
1.18. Codex has profiles in a file of their own since 0.134, and speaks the Responses API alone.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from puna.errors import NotFound

PROVIDER = "puna"
_OUTPUT_SHARE = 4
"""A quarter of the context may be answer, for a program that wants to know."""


class UnknownProgram(NotFound):
    """puna does not know how to launch this."""

    code = "unknown_program"


@dataclass(frozen=True, slots=True)
class Target:
    """What a program is to talk to."""

    url: str
    token: str
    """The node's key, or any word where it asks for none."""
    model: str
    context: int
    """Tokens that the loaded model takes; 0 if nobody knows."""


@dataclass(frozen=True, slots=True)
class JsonKeys:
    """Keys to set in a JSON file that is someone else's, each by the path to it."""

    path: Path
    values: Mapping[tuple[str, ...], object]


@dataclass(frozen=True, slots=True)
class WholeFile:
    """A file that is ours alone."""

    path: Path
    text: str


Edit = JsonKeys | WholeFile
Folders = Mapping[str, str]
"""Variables that say where a program keeps its configuration; `HOME` among them."""


@dataclass(frozen=True, slots=True)
class Program:
    """One program, and how it is brought to talk to a node."""

    name: str
    title: str
    install: str
    """The command that installs it."""
    start: Callable[[Target], tuple[tuple[str, ...], dict[str, str]]]
    """Returns its first arguments and its variables."""
    files: Callable[[Target, Folders], tuple[Edit, ...]]
    how_to_start: str
    """The command that uses what `--config` wrote."""
    places: tuple[str, ...] = field(default=())
    """Where its own installer puts it, below the home folder."""


def program_of(name: str) -> Program:
    """Return the program of a name. Raises `UnknownProgram`."""
    for each in PROGRAMS:
        if each.name == name.lower():
            return each
    known = ", ".join(each.name for each in PROGRAMS)
    raise UnknownProgram(f'unknown integration: "{name}"', hint=f"puna launches {known}")


_CLAUDE_MODELS = (
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
)


def _claude_environ(target: Target) -> dict[str, str]:
    environ = {
        "ANTHROPIC_BASE_URL": target.url,
        "ANTHROPIC_AUTH_TOKEN": target.token,
        "ANTHROPIC_API_KEY": "",
        "ANTHROPIC_MODEL": target.model,
    }
    environ |= dict.fromkeys(_CLAUDE_MODELS, target.model)
    return environ | (
        {"CLAUDE_CODE_AUTO_COMPACT_WINDOW": str(target.context)} if target.context else {}
    )


def _start_claude(target: Target) -> tuple[tuple[str, ...], dict[str, str]]:
    return ("--model", target.model), _claude_environ(target)


def _claude_files(target: Target, folders: Folders) -> tuple[Edit, ...]:
    folder = folders.get("CLAUDE_CONFIG_DIR") or f"{folders.get('HOME', '~')}/.claude"
    keys: dict[tuple[str, ...], object] = {
        ("env", name): value for name, value in _claude_environ(target).items()
    }
    return (JsonKeys(Path(folder).expanduser() / "settings.json", keys),)


def _codex_rows(target: Target) -> dict[str, str]:
    """Return settings of Codex, each value as TOML has it."""
    rows = {
        "model": json.dumps(target.model),
        "model_provider": json.dumps(PROVIDER),
        f"model_providers.{PROVIDER}.name": json.dumps(PROVIDER),
        f"model_providers.{PROVIDER}.base_url": json.dumps(f"{target.url}/v1"),
        f"model_providers.{PROVIDER}.wire_api": '"responses"',
        f"model_providers.{PROVIDER}.env_key": '"PUNA_API_KEY"',
    }
    return rows | ({"model_context_window": str(target.context)} if target.context else {})


def _start_codex(target: Target) -> tuple[tuple[str, ...], dict[str, str]]:
    options = [
        part for name, value in _codex_rows(target).items() for part in ("-c", f"{name}={value}")
    ]
    return tuple(options), {"PUNA_API_KEY": target.token}


def _codex_files(target: Target, folders: Folders) -> tuple[Edit, ...]:
    folder = folders.get("CODEX_HOME") or f"{folders.get('HOME', '~')}/.codex"
    rows = _codex_rows(target)
    del rows[f"model_providers.{PROVIDER}.env_key"]  # a shell of the user's need not have it
    token = f"model_providers.{PROVIDER}.experimental_bearer_token"
    lines = ["# Written by `puna launch codex --config`; start it with `codex --profile puna`."]
    lines += [
        f"{name} = {value}" for name, value in (rows | {token: json.dumps(target.token)}).items()
    ]
    return (
        WholeFile(Path(folder).expanduser() / f"{PROVIDER}.config.toml", "\n".join(lines) + "\n"),
    )


def _opencode_provider(target: Target) -> dict[str, object]:
    model: dict[str, object] = {"name": target.model}
    if target.context:
        model["limit"] = {
            "context": target.context,
            "output": target.context // _OUTPUT_SHARE,
        }
    return {
        "npm": "@ai-sdk/openai-compatible",
        "name": PROVIDER,
        "options": {"baseURL": f"{target.url}/v1", "apiKey": target.token},
        "models": {target.model: model},
    }


def _start_opencode(target: Target) -> tuple[tuple[str, ...], dict[str, str]]:
    name = f"{PROVIDER}/{target.model}"
    content = {
        "provider": {PROVIDER: _opencode_provider(target)},
        "model": name,
        "small_model": name,
    }
    return (), {"OPENCODE_CONFIG_CONTENT": json.dumps(content)}


def _opencode_files(target: Target, folders: Folders) -> tuple[Edit, ...]:
    folder = folders.get("XDG_CONFIG_HOME") or f"{folders.get('HOME', '~')}/.config"
    keys: dict[tuple[str, ...], object] = {("provider", PROVIDER): _opencode_provider(target)}
    return (JsonKeys(Path(folder).expanduser() / "opencode" / "opencode.json", keys),)


PROGRAMS = (
    Program(
        "claude",
        "Claude Code",
        "npm install -g @anthropic-ai/claude-code",
        _start_claude,
        _claude_files,
        "claude",
        places=(".claude/local/claude", ".local/bin/claude"),
    ),
    Program(
        "codex",
        "Codex",
        "npm install -g @openai/codex",
        _start_codex,
        _codex_files,
        f"codex --profile {PROVIDER}",
    ),
    Program(
        "opencode",
        "OpenCode",
        "npm install -g opencode-ai",
        _start_opencode,
        _opencode_files,
        f"opencode --model {PROVIDER}/MODEL",
        places=(".opencode/bin/opencode",),
    ),
)

"""The only reader of the environment and the configuration file.

For each setting, the first that is set wins: `PUNA_X`, then Ollama's own variable, then the
configuration file (`~/.puna/config.toml`, or the file that `PUNA_CONFIG` names), then the default.
`SETTINGS` is the one table of all of them: help, `puna settings` and docs/settings.md read it.

Every command pays for this file at its start, so its small rows are named tuples: making such a
class takes a seventh of what a dataclass takes.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from puna.errors import Invalid
from puna.readers import (
    FALSE,
    TRUE,
    read_flag,
    read_folder,
    read_list,
    read_maybe,
    read_text,
    read_whole,
)
from puna.surroundings import Desk, Proxies
from puna.units import FOREVER, Size, Span

DEFAULT_PORT = 11434
_LOOPBACK = {"localhost", "::1"}
_SPECULATIONS = ("auto", "ngram", "off")
_MOST_STREAMS = 64
_CACHE_TYPES = ("f16", "q8_0", "q4_0")
ROOMS = ("market_", "agent_", "cloud_")
"""How the names of settings begin that other rooms read by `load_room`."""


class InvalidSetting(Invalid):
    """A setting's value makes no sense; the message names the setting and where it came from."""

    code = "invalid_setting"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node listens, and where its clients go."""

    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    path: str = ""

    @property
    def url(self) -> str:
        """The address as a URL, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host.lower() in _LOOPBACK or self.host.startswith("127.")

    @property
    def is_any(self) -> bool:
        """Whether it means every network of this machine."""
        return self.host in {"0.0.0.0", "::", ""}  # noqa: S104 - recognised, not bound

    def for_client(self) -> "Address":
        """Return where a client on this machine finds it."""
        if not self.is_any:
            return self
        return Address(
            self.scheme, "::1" if self.host == "::" else "127.0.0.1", self.port, self.path
        )

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """Every setting of a node and its command line, read and checked."""

    host: Address
    api_key: str
    client_key: str
    require_keys: bool
    guarded: bool
    """Whether something in front checks who asks, as the gateway does before a pod."""
    rate_limit: int
    token_limit: int
    access_log: bool
    image_urls: bool
    origins: tuple[str, ...]
    home: Path
    models: Path
    no_prune: bool
    keep_alive: Span
    load_timeout: Span
    max_loaded_models: int
    num_parallel: int
    max_queue: int
    context_length: int
    truncate: bool
    go_template: bool
    flash_attention: bool | None
    kv_cache_type: str
    speculation: str
    gpu_overhead: Size
    sched_spread: bool
    memory_limit: Size
    threads: int
    engine: str
    no_history: bool
    editor: str
    hub_endpoint: Address
    hub_token: str
    debug: int
    pull_streams: int
    mirrors: tuple[str, ...]
    registry_logins: tuple[str, ...]
    docker_config: Path


SettingValue = Address | Path | Span | Size | str | int | bool | tuple[str, ...] | None


class Setting(NamedTuple):
    """One row of the table of settings."""

    name: str
    read: Callable[[str], SettingValue]
    default: str
    meaning: str
    ollama: str = ""
    """Ollama's variable for the same thing, or the hub's, if it has one."""
    secret: bool = False

    @property
    def variable(self) -> str:
        """puna's own variable."""
        return f"PUNA_{self.name.upper()}"


class Explained(NamedTuple):
    """A value and where it came from, for people."""

    name: str
    value: str
    source: str
    meaning: str
    variables: tuple[str, ...]


class Settings(NamedTuple):
    """All settings, and the story of each."""

    node: NodeSettings
    explained: tuple[Explained, ...]
    warnings: tuple[str, ...] = ()
    """Lines to say on stderr: what was set and is not taken, and why."""


def load_settings(environ: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """Read all settings. Raises `InvalidSetting`.

    As Ollama does, a number in one of Ollama's variables that cannot be read falls back to the
    default, but with a warning; a bad value in puna's own variables or file is an error.
    """
    environ = os.environ if environ is None else environ
    chosen = file or _config_file(environ)
    table = _read_config(chosen, must_exist=file is not None or bool(environ.get("PUNA_CONFIG")))
    values: dict[str, SettingValue] = {}
    sources: dict[str, str] = {}
    warnings = [
        f'{chosen}: unknown setting "{name}" ignored'
        for name in table
        if name not in _BY_NAME and not name.startswith(ROOMS)
    ]
    for setting in SETTINGS:
        text, source = _find(setting, environ, table, chosen)
        try:
            values[setting.name], sources[setting.name] = setting.read(text), source
        except Invalid as error:
            if source != setting.ollama:
                raise InvalidSetting(f"{source}: {error.message}", hint=error.hint) from error
            warnings.append(f"{source}: {error.message}; using {setting.default or 'none'}")
            values[setting.name], sources[setting.name] = setting.read(setting.default), "default"
    home = values["home"] or _home(environ)
    values |= {"home": home, "models": values["models"] or Path(str(home), "models")}
    # Each reader gives the type of the field of the same name; tests/test_settings.py checks each.
    node = NodeSettings(**values)  # type: ignore[arg-type]
    explained = tuple(_explain(row, values[row.name], sources[row.name]) for row in SETTINGS)
    return Settings(node, explained, tuple(warnings))


def load_room(
    rows: Sequence[Setting], environ: Mapping[str, str] | None = None
) -> dict[str, SettingValue]:
    """Read the settings of another room (the market, the agent): its own table, the same places.

    The names of such rows begin with the room's; what is returned is named without it. Raises
    `InvalidSetting`.
    """
    environ = os.environ if environ is None else environ
    file = _config_file(environ)
    table = _read_config(file, must_exist=bool(environ.get("PUNA_CONFIG")))
    values: dict[str, SettingValue] = {}
    for row in rows:
        text, source = _find(row, environ, table, file)
        try:
            values[row.name.partition("_")[2]] = row.read(text)
        except Invalid as error:
            raise InvalidSetting(f"{source}: {error.message}", hint=error.hint) from error
    return values


def read_home(environ: Mapping[str, str] | None = None) -> Path:
    """Return puna's own folder on this machine."""
    return _home(os.environ if environ is None else environ)


def read_desk(environ: Mapping[str, str] | None = None) -> Desk:
    """Read how the person at the terminal works."""
    return Desk.of(os.environ if environ is None else environ)


def read_proxies(environ: Mapping[str, str] | None = None) -> Proxies:
    """Read the variables that name proxies."""
    return Proxies.of(os.environ if environ is None else environ)


def read_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return all variables, for a program that a command starts."""
    return dict(os.environ if environ is None else environ)


def _config_file(environ: Mapping[str, str]) -> Path:
    named = environ.get("PUNA_CONFIG", "").strip()
    return Path(named).expanduser() if named else _home(environ) / "config.toml"


def _home(environ: Mapping[str, str]) -> Path:
    named = environ.get("PUNA_HOME", "").strip()
    return Path(named).expanduser() if named else Path("~/.puna").expanduser()


def _read_config(file: Path, *, must_exist: bool) -> dict[str, str]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if must_exist:
            raise InvalidSetting(f"configuration file {file} does not exist") from error
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"configuration file {file} cannot be read: {error}") from error
    import tomllib  # noqa: PLC0415 - 5 ms at every start, and few have such a file

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSetting(f"configuration file {file} cannot be read: {error}") from error
    return {name: _config_text(file, name, value) for name, value in table.items()}


def _config_text(file: Path, name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ",".join(value)
    if isinstance(value, str | int):
        return str(value)
    raise InvalidSetting(f'{file}: setting "{name}" must be a text, a whole number, true or false')


def _find(
    setting: Setting, environ: Mapping[str, str], table: Mapping[str, str], file: Path
) -> tuple[str, str]:
    for variable in (setting.variable, setting.ollama):
        text = environ.get(variable, "").strip(" \t\r\n\"'") if variable else ""
        if text:
            return text, variable
    if setting.name in table:
        return table[setting.name], str(file)
    return setting.default, "default"


def _explain(setting: Setting, value: SettingValue, source: str) -> Explained:
    variables = tuple(name for name in (setting.variable, setting.ollama) if name)
    return Explained(setting.name, _show(setting, value), source, setting.meaning, variables)


def _show(setting: Setting, value: SettingValue) -> str:
    if setting.secret:
        return "set" if value else "not set"
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return "forever" if value == FOREVER else str(value) or "not set"


def read_variable(name: str) -> str:
    """Return a variable that a person named, such as the one that holds a key."""
    return os.environ.get(name, "")


def read_address(text: str, port: int = DEFAULT_PORT) -> Address:
    """Read a host as Ollama does: `host`, `host:port`, `:port`, `http://host` (80), with a path."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    if scheme not in {"http", "https"}:
        raise Invalid(
            f'address "{text}" has an unknown scheme', hint="write it like 127.0.0.1:11434"
        )
    fallback = {"http": 80, "https": 443}[scheme] if separator else port
    if rest.count(":") > 1 and not rest.startswith("["):  # a bare IPv6 address
        rest = f"[{rest}]"
    try:
        parts = urlsplit(f"//{rest}")
        found = fallback if parts.port is None else parts.port
    except ValueError as error:
        raise Invalid(
            f'address "{text}" is not a host and a port', hint="write it like 127.0.0.1:11434"
        ) from error
    if parts.username is not None or parts.query or parts.fragment or " " in rest:
        raise Invalid(
            f'address "{text}" is not a host and a port', hint="write it like 127.0.0.1:11434"
        )
    if text == "ollama.com":
        return Address("https", "ollama.com", 443)
    return Address(scheme, parts.hostname or "127.0.0.1", found, parts.path.rstrip("/"))


def _debug_level(text: str) -> int:
    if text.lower() in TRUE | FALSE:
        return int(read_flag(text))
    return read_whole(text)


def read_keep_alive(text: str) -> Span:
    """Read a Go duration or a number of seconds; below zero is forever."""
    try:
        span = Span.of(seconds=int(text))
    except ValueError:
        span = Span.parse(text)
    return FOREVER if span < 0 else span


def _load_timeout(text: str) -> Span:
    span = read_keep_alive(text)
    return FOREVER if span == 0 else span


def _mirrors(text: str) -> tuple[str, ...]:
    for pair in read_list(text):
        host, _, url = pair.partition("=")
        if not host or "/" in host or not url.startswith(("http://", "https://")) or "@" in url:
            raise Invalid(
                f'"{host}" has no address of a mirror',
                hint="write it like registry.ollama.ai=https://mirror.example:5000",
            )
    return read_list(text)


def _logins(text: str) -> tuple[str, ...]:
    for login in read_list(text):
        host, _, user = login.partition("=")
        if not host or ":" not in user:  # the text itself holds a password: it is not shown
            raise Invalid(
                "a login names no host, user and password", hint="write it like HOST=USER:PASSWORD"
            )
    return read_list(text)


def _streams(text: str) -> int:
    if not 1 <= read_whole(text) <= _MOST_STREAMS:
        raise Invalid(f"{text} is not a number from 1 to {_MOST_STREAMS}")
    return read_whole(text)


def _cache_type(text: str) -> str:
    if text.lower() not in _CACHE_TYPES:
        raise Invalid(
            f'"{text}" is not a type of key-value cache',
            hint=f"use one of {', '.join(_CACHE_TYPES)}",
        )
    return text.lower()


def _speculation(text: str) -> str:
    if text.lower() not in _SPECULATIONS:
        raise Invalid(
            f'"{text}" is no way to guess tokens ahead',
            hint=f"use one of {', '.join(_SPECULATIONS)}",
        )
    return text.lower()


def _engine(text: str) -> str:
    if text not in {"llama.cpp", "scripted"}:
        raise Invalid(
            f'"{text}" is not an engine',
            hint="use llama.cpp, or scripted for tests without weights",
        )
    return text


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "host",
        read_address,
        "127.0.0.1:11434",
        "where the node listens and clients go",
        "OLLAMA_HOST",
    ),
    Setting(
        "api_key",
        read_text,
        "",
        "a key that clients must send, beside those of `puna keys`; commands send it too",
        secret=True,
    ),
    Setting(
        "client_key",
        read_text,
        "",
        "key that commands send to a server, where api_key is not set",
        "OLLAMA_API_KEY",
        secret=True,
    ),
    Setting("require_keys", read_flag, "false", "ask for a key on this machine too"),
    Setting(
        "guarded",
        read_flag,
        "false",
        "ask for no key beyond this machine: a gateway in front checks who asks",
    ),
    Setting("rate_limit", read_whole, "0", "requests a minute for each key; 0 is no limit"),
    Setting("token_limit", read_whole, "0", "tokens a minute for each key; 0 is no limit"),
    Setting(
        "image_urls", read_flag, "false", "fetch images that requests link to, from public places"
    ),
    Setting(
        "access_log", read_flag, "false", "log each request, without prompts, to logs/access.log"
    ),
    Setting(
        "origins",
        read_list,
        "",
        "web origins that may call the node, besides this machine's",
        "OLLAMA_ORIGINS",
    ),
    Setting("home", read_folder, "", "folder of history, logs and configuration (~/.puna)"),
    Setting(
        "models",
        read_folder,
        "",
        "folder of the model store (models in the home folder)",
        "OLLAMA_MODELS",
    ),
    Setting(
        "no_prune",
        read_flag,
        "false",
        "keep blobs that no model uses when the node starts",
        "OLLAMA_NOPRUNE",
    ),
    Setting(
        "keep_alive",
        read_keep_alive,
        "5m",
        "how long an idle model stays loaded",
        "OLLAMA_KEEP_ALIVE",
    ),
    Setting("load_timeout", _load_timeout, "5m", "how long a load may take", "OLLAMA_LOAD_TIMEOUT"),
    Setting(
        "max_loaded_models",
        read_whole,
        "0",
        "models loaded at once; 0 is automatic",
        "OLLAMA_MAX_LOADED_MODELS",
    ),
    Setting(
        "num_parallel",
        read_whole,
        "0",
        "requests computed together per model; 0 is 4 where it fits",
        "OLLAMA_NUM_PARALLEL",
    ),
    Setting(
        "max_queue",
        read_whole,
        "512",
        "requests that may wait; more are refused",
        "OLLAMA_MAX_QUEUE",
    ),
    Setting(
        "context_length",
        read_whole,
        "0",
        "tokens of context per request; 0 is automatic",
        "OLLAMA_CONTEXT_LENGTH",
    ),
    Setting(
        "truncate", read_flag, "true", "cut a prompt that is too long, and say so; false refuses it"
    ),
    Setting(
        "go_template",
        read_flag,
        "false",
        "write prompts by a model's Go template even where its file's own can do more",
        "OLLAMA_GO_TEMPLATE",
    ),
    Setting(
        "flash_attention",
        read_maybe,
        "",
        "force flash attention on or off",
        "OLLAMA_FLASH_ATTENTION",
    ),
    Setting(
        "kv_cache_type",
        _cache_type,
        "f16",
        "number format of the context in memory",
        "OLLAMA_KV_CACHE_TYPE",
    ),
    Setting(
        "speculation",
        _speculation,
        "auto",
        "tokens guessed ahead: auto (by a model's own draft), ngram (by what was said), or off",
    ),
    Setting(
        "gpu_overhead", Size.parse, "0", "memory to leave free on each card", "OLLAMA_GPU_OVERHEAD"
    ),
    Setting("sched_spread", read_flag, "false", "use every card", "OLLAMA_SCHED_SPREAD"),
    Setting(
        "memory_limit", Size.parse, "0", "memory that models may take together; 0 is what is free"
    ),
    Setting("threads", read_whole, "0", "processor threads per model; 0 is automatic"),
    Setting("engine", _engine, "llama.cpp", "what computes: llama.cpp, or scripted for tests"),
    Setting(
        "no_history",
        read_flag,
        "false",
        "keep no history of the conversation prompt",
        "OLLAMA_NOHISTORY",
    ),
    Setting(
        "editor",
        read_text,
        "",
        "editor for a long prompt, before VISUAL and EDITOR",
        "OLLAMA_EDITOR",
    ),
    Setting(
        "hub_endpoint",
        read_address,
        "https://huggingface.co",
        "where the Hugging Face hub, or a mirror of it, answers",
        "HF_ENDPOINT",
    ),
    Setting(
        "hub_token",
        read_text,
        "",
        "token for gated and private repositories of the hub; sent to the hub alone",
        "HF_TOKEN",
        secret=True,
    ),
    Setting("pull_streams", _streams, "8", "connections that a pull or push uses at once"),
    Setting("mirrors", _mirrors, "", "registries to ask instead: HOST=URL, separated by commas"),
    Setting(
        "registry_logins",
        _logins,
        "",
        "logins for registries, before Docker's: HOST=USER:PASSWORD, separated by commas",
        secret=True,
    ),
    Setting(
        "docker_config",
        read_folder,
        "~/.docker",
        "folder of Docker's config.json, whose logins for registries are used",
        "DOCKER_CONFIG",
    ),
    Setting("debug", _debug_level, "0", "1 logs more, 2 logs most; never prompts", "OLLAMA_DEBUG"),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}
assert {field.name for field in fields(NodeSettings)} == set(_BY_NAME)  # noqa: S101 - one table, checked at import

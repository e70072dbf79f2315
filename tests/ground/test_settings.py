"""Each setting is found where it was set, and says where."""

from pathlib import Path

import pytest

from puna.errors import PunaError
from puna.settings import (
    SETTINGS,
    Address,
    InvalidSetting,
    load_settings,
    read_address,
    read_proxies,
)
from puna.units import FOREVER, Size, Span

# name of the setting, a text for it, the value that the text means
EXAMPLES: list[tuple[str, str, object]] = [
    ("host", "10.0.0.7:1234", Address("http", "10.0.0.7", 1234)),
    ("api_key", "s3cret", "s3cret"),
    ("client_key", "s3cret", "s3cret"),
    ("require_keys", "true", True),
    ("guarded", "true", True),
    ("rate_limit", "60", 60),
    ("token_limit", "9000", 9000),
    ("image_urls", "1", True),
    ("access_log", "true", True),
    ("origins", "https://a.example, app://*", ("https://a.example", "app://*")),
    ("home", "/srv/puna", Path("/srv/puna")),
    ("models", "/srv/models", Path("/srv/models")),
    ("no_prune", "1", True),
    ("keep_alive", "10m", Span.of(minutes=10)),
    ("load_timeout", "0", FOREVER),
    ("max_loaded_models", "2", 2),
    ("num_parallel", "8", 8),
    ("max_queue", "7", 7),
    ("context_length", "8192", 8192),
    ("truncate", "false", False),
    ("go_template", "1", True),
    ("flash_attention", "true", True),
    ("kv_cache_type", "Q8_0", "q8_0"),
    ("speculation", "NGRAM", "ngram"),
    ("gpu_overhead", "1GiB", Size(2**30)),
    ("sched_spread", "1", True),
    ("memory_limit", "16 GB", Size(16 * 10**9)),
    ("threads", "3", 3),
    ("engine", "scripted", "scripted"),
    ("no_history", "yes", True),
    ("editor", "nano", "nano"),
    ("hub_endpoint", "https://hub.example", Address("https", "hub.example", 443)),
    ("hub_token", "hf_secret", "hf_secret"),
    ("pull_streams", "16", 16),
    ("mirrors", "hf.co=https://m.example", ("hf.co=https://m.example",)),
    ("registry_logins", "r.example=me:secret", ("r.example=me:secret",)),
    ("docker_config", "/srv/docker", Path("/srv/docker")),
    ("debug", "true", 1),
]


def test_every_setting_has_an_example_here() -> None:
    assert [name for name, _, _ in EXAMPLES] == [setting.name for setting in SETTINGS]


@pytest.mark.parametrize(("name", "text", "value"), EXAMPLES)
def test_punas_variable_is_read(name: str, text: str, value: object) -> None:
    settings = load_settings({f"PUNA_{name.upper()}": text})
    assert getattr(settings.node, name) == value
    told = next(row for row in settings.explained if row.name == name)
    assert told.source == f"PUNA_{name.upper()}"


OLLAMAS = [
    (setting.ollama, setting.name, text, value)
    for setting, (_, text, value) in zip(SETTINGS, EXAMPLES, strict=True)
    if setting.ollama
]


@pytest.mark.parametrize(("variable", "name", "text", "value"), OLLAMAS)
def test_ollamas_variable_is_honoured(variable: str, name: str, text: str, value: object) -> None:
    assert getattr(load_settings({variable: f' "{text}" '}).node, name) == value


@pytest.mark.parametrize(("name", "text", "value"), EXAMPLES)
def test_the_file_is_read(name: str, text: str, value: object, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'{name} = "{text}"\n')
    settings = load_settings({}, file)
    assert getattr(settings.node, name) == value
    assert next(row.source for row in settings.explained if row.name == name) == str(file)


def test_punas_variable_wins_over_ollamas_and_both_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('max_queue = 1\nkeep_alive = "1m"\ndebug = true\n')
    environ = {"PUNA_HOME": str(tmp_path), "OLLAMA_MAX_QUEUE": "2", "OLLAMA_KEEP_ALIVE": "2m"}
    node = load_settings(environ | {"PUNA_MAX_QUEUE": "3"}).node
    assert (node.max_queue, node.keep_alive, node.debug) == (3, Span.of(minutes=2), 1)


def test_the_store_is_in_the_home_folder_unless_told_otherwise(tmp_path: Path) -> None:
    assert load_settings({"PUNA_HOME": str(tmp_path)}).node.models == tmp_path / "models"


def test_a_bad_number_in_ollamas_variable_is_the_default_and_said() -> None:
    settings = load_settings({"OLLAMA_MAX_QUEUE": "many"})
    assert settings.node.max_queue == 512
    assert settings.warnings == ('OLLAMA_MAX_QUEUE: "many" is not a whole number; using 512',)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PUNA_MAX_QUEUE": "many"}, 'PUNA_MAX_QUEUE: "many" is not a whole number'),
        ({"PUNA_MAX_QUEUE": "-1"}, "below zero"),
        ({"PUNA_KV_CACHE_TYPE": "q9"}, "key-value cache"),
        ({"PUNA_KEEP_ALIVE": "soon"}, "not a duration"),
        ({"PUNA_ENGINE": "gpt"}, "not an engine"),
        ({"PUNA_HOST": "ftp://x"}, "unknown scheme"),
        ({"PUNA_CONFIG": "/nowhere/config.toml"}, "does not exist"),
    ],
)
def test_a_bad_value_of_punas_own_is_an_error_that_names_it(
    environ: dict[str, str], words: str
) -> None:
    with pytest.raises(InvalidSetting, match=words):
        load_settings(environ)


@pytest.mark.parametrize("content", ["max_queue = [1]", "max_queue = {a = 1}", "a = = b", "\xff"])
def test_a_bad_file_is_an_error_that_names_it(content: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(InvalidSetting, match=r"config\.toml"):
        load_settings({}, file)


def test_an_unknown_name_in_the_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("max_que = 1\n")
    settings = load_settings({"PUNA_HOME": str(tmp_path)})
    assert any("max_que" in line for line in settings.warnings)


def test_a_secret_is_never_shown() -> None:
    settings = load_settings({"PUNA_API_KEY": "hunter2"})
    assert "hunter2" not in str([row.value for row in settings.explained])


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost", "http://localhost:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        ("1.2.3.4:80", "http://1.2.3.4:80"),
        (":8080", "http://127.0.0.1:8080"),
        ("http://h", "http://h:80"),
        ("https://h", "https://h:443"),
        ("https://h:1/prefix/", "https://h:1/prefix"),
        ("[::1]:99", "http://[::1]:99"),
        ("::1", "http://[::1]:11434"),
        ("ollama.com", "https://ollama.com:443"),
    ],
)
def test_an_address_is_read_as_ollama_reads_it(text: str, url: str) -> None:
    assert read_address(text).url == url


@pytest.mark.parametrize(
    "text", ["h:99999", "h:x", "http://u:p@h", "gopher://h", "a b", "h?x=1", "[::1"]
)
def test_a_bad_address_is_refused(text: str) -> None:
    with pytest.raises(PunaError, match="address"):
        read_address(text)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
    ],
)
def test_loopback_is_recognised(host: str, is_loopback: bool) -> None:
    assert Address("http", host).is_loopback is is_loopback


def test_a_client_of_an_address_for_everyone_goes_to_loopback() -> None:
    assert Address("http", "0.0.0.0").for_client().host == "127.0.0.1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mirrors", "hf.co"),
        ("mirrors", "hf.co/x=https://m.example"),
        ("mirrors", "hf.co=ftp://m.example"),
        ("mirrors", "hf.co=https://me:secret@m.example"),
        ("registry_logins", "me:secret"),
        ("registry_logins", "r.example=secret"),
        ("pull_streams", "0"),
        ("pull_streams", "65"),
    ],
)
def test_a_bad_setting_of_registries_is_refused_without_its_secret(name: str, text: str) -> None:
    with pytest.raises(InvalidSetting) as raised:
        load_settings({f"PUNA_{name.upper()}": text})
    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    ("environ", "host", "proxy"),
    [
        ({}, "a.example", ""),
        ({"HTTPS_PROXY": "http://p:1"}, "a.example", "http://p:1"),
        ({"https_proxy": "p:1", "HTTPS_PROXY": "http://q:1"}, "a.example", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "a.example", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x, .a.example"}, "b.a.example", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example"}, "bexample", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "a.example", ""),
        ({"HTTP_PROXY": "http://p:1"}, "a.example", ""),
        ({"HTTPS_PROXY": "http://p:1"}, "localhost", ""),
        ({"HTTPS_PROXY": "http://p:1"}, "127.0.0.1", ""),
        ({"HTTPS_PROXY": "http://p:1"}, "::1", ""),
    ],
)
def test_a_proxy_is_taken_from_the_environment(
    environ: dict[str, str], host: str, proxy: str
) -> None:
    assert read_proxies(environ).between("https", host) == proxy

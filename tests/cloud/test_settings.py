"""Which cloud is rented from, and where its key may go."""

import json
from pathlib import Path

import pytest

from puna.cloud.settings import (
    RUNPOD,
    Login,
    NoCloud,
    OpenKeyFile,
    forget_login,
    keep_login,
    kept_login,
    key_for,
    load_login,
    read_cloud_address,
)
from puna.errors import Invalid
from puna.settings import read_address

MARKET = read_address("http://market.example:11500")
LOGIN = Login(MARKET, "rpa_secret", "pods.example")


def environ(home: Path, **more: str) -> dict[str, str]:
    return {"PUNA_HOME": str(home), **more}


def test_a_login_is_kept_in_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    file = keep_login(LOGIN, mark="m", environ=environ(tmp_path))
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["key"] == "rpa_secret"
    assert load_login(environ(tmp_path)) == LOGIN


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keep_login(LOGIN, mark="m", environ=environ(tmp_path)).chmod(0o644)
    with pytest.raises(OpenKeyFile, match="others can read") as caught:
        load_login(environ(tmp_path))
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", '{"address": "ftp://x"}', "\xff"])
def test_a_damaged_file_is_no_login(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cloud.json"
    file.write_text(text, encoding="latin-1" if text == "\xff" else "utf-8")
    file.chmod(0o600)
    found = kept_login(environ(tmp_path))
    assert found is None or found.key == ""


def test_a_later_login_takes_the_place_of_the_first(tmp_path: Path) -> None:
    keep_login(LOGIN, mark="m", environ=environ(tmp_path))
    keep_login(Login(RUNPOD, "other"), mark="m", environ=environ(tmp_path))
    assert load_login(environ(tmp_path)) == Login(RUNPOD, "other")


def test_a_login_is_forgotten_once(tmp_path: Path) -> None:
    keep_login(LOGIN, mark="m", environ=environ(tmp_path))
    assert [forget_login(environ(tmp_path)) for _ in range(2)] == [True, False]


def test_nobody_has_said_which_cloud(tmp_path: Path) -> None:
    with pytest.raises(NoCloud, match="no cloud is known") as caught:
        load_login(environ(tmp_path))
    assert "puna cloud login" in caught.value.hint


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        (
            {"PUNA_CLOUD_ADDRESS": "http://other:1", "PUNA_CLOUD_KEY": "k"},
            Login(read_address("http://other:1"), "k"),
        ),
        (
            {"PUNA_CLOUD_ADDRESS": "http://market.example:11500", "PUNA_CLOUD_KEY": "k"},
            Login(MARKET, "k", "pods.example"),
        ),
        ({"PUNA_CLOUD_ADDRESS": "http://market.example:11500"}, LOGIN),
        ({"PUNA_CLOUD_ADDRESS": "runpod", "PUNA_CLOUD_KEY": "k"}, Login(RUNPOD, "k")),
        ({}, LOGIN),
    ],
    ids=str,
)
def test_the_environment_names_another_cloud(
    tmp_path: Path, variables: dict[str, str], found: Login
) -> None:
    keep_login(LOGIN, mark="m", environ=environ(tmp_path))
    assert load_login(environ(tmp_path, **variables)) == found


def test_a_kept_key_is_never_sent_to_another_address(tmp_path: Path) -> None:
    keep_login(LOGIN, mark="m", environ=environ(tmp_path))
    with pytest.raises(NoCloud, match="no key for http://other:1"):
        load_login(environ(tmp_path, PUNA_CLOUD_ADDRESS="http://other:1"))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("runpod", "https://api.runpod.io:443"),
        ("RunPod", "https://api.runpod.io:443"),
        ("market", "http://market:11500"),
        ("https://market", "https://market:443"),
        ("127.0.0.1:8420", "http://127.0.0.1:8420"),
    ],
)
def test_addresses_are_read_as_people_write_them(text: str, url: str) -> None:
    assert read_cloud_address(text).url == url


@pytest.mark.parametrize("text", ["ftp://x", "a b", "http://u@x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="address"):
        read_cloud_address(text)


@pytest.mark.parametrize(
    ("url", "covered"),
    [
        ("http://market.example:11500/pod/abc/11434", True),
        ("http://abc-11434.pods.example:11500", True),
        ("http://market.example:11500", False),
        ("https://market.example:11500/pod/abc/11434", False),
        ("http://market.example:80/pod/abc/11434", False),
        ("http://pods.example:11500", False),
        ("http://evilpods.example:11500", False),
        ("http://abc-11434.pods.example.evil:11500", False),
        ("http://127.0.0.1:11434", False),
    ],
)
def test_the_clouds_key_goes_to_its_pods_and_nowhere_else(
    tmp_path: Path, url: str, covered: bool
) -> None:
    keep_login(LOGIN, mark="m", environ=environ(tmp_path))
    assert key_for(read_address(url), environ(tmp_path)) == ("rpa_secret" if covered else "")


def test_without_a_login_there_is_no_key_to_send(tmp_path: Path) -> None:
    assert key_for(read_address("http://market.example:11500/pod/a/1"), environ(tmp_path)) == ""

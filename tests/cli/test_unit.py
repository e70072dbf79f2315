"""`puna market unit` and `puna agent unit`: what systemd reads."""

import getpass
from pathlib import Path

import pytest

from tests.fakes.console import Ran, a_terminal, puna


def unit(tmp_path: Path, *words: str, **variables: str) -> Ran:
    environ = {"PUNA_HOME": str(tmp_path), **variables}
    return puna(*words, environ=environ, terminal=a_terminal())


def test_a_markets_unit_runs_as_whoever_asks_with_what_is_set(tmp_path: Path) -> None:
    ran = unit(tmp_path, "market", "unit", PUNA_MARKET_ADDRESS="0.0.0.0")
    assert "-m puna market serve\n" in ran.out
    assert f"User={getpass.getuser()}\n" in ran.out
    assert f"Environment=PUNA_HOME={tmp_path}\nEnvironment=PUNA_MARKET_ADDRESS=0.0.0.0\n" in ran.out
    assert "LimitNOFILE=65536" in ran.out


def test_with_an_agent_beside_it(tmp_path: Path) -> None:
    assert (
        "puna market serve --with-agent\n" in unit(tmp_path, "market", "unit", "--with-agent").out
    )


def test_no_secret_is_in_a_unit_and_where_it_belongs_is_said(tmp_path: Path) -> None:
    database = "postgresql://puna:word@db.example.org/puna"
    ran = unit(tmp_path, "market", "unit", PUNA_MARKET_DATABASE=database, PUNA_MARKET_KEY="rpa_x")
    assert not {"word@", "rpa_x"} & set(ran.out.split())
    assert "db.example.org" not in ran.out
    assert f"put market_database into {tmp_path}/config.toml" in ran.err
    assert "MARKET_KEY" not in ran.err  # the commands send it, the market does not


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("PUNA_MARKET_FEE_SHARE", "2%", "PUNA_MARKET_FEE_SHARE=2%%"),
        ("PUNA_MARKET_HOME", "/srv/a b", '"PUNA_MARKET_HOME=/srv/a b"'),
        ("PUNA_MARKET_HOME", '/srv/"a', '"PUNA_MARKET_HOME=/srv/\\"a"'),
    ],
)
def test_values_are_written_as_systemd_reads_them(
    tmp_path: Path, name: str, value: str, line: str
) -> None:
    assert f"\nEnvironment={line}\n" in unit(tmp_path, "market", "unit", **{name: value}).out


def test_a_setting_that_makes_no_sense_is_said_now(tmp_path: Path) -> None:
    ran = unit(tmp_path, "market", "unit", PUNA_MARKET_TICK="soon")
    assert (ran.code, ran.out) == (1, "")
    assert "PUNA_MARKET_TICK" in ran.err


def test_an_agents_unit_has_its_engine_and_its_configuration(tmp_path: Path) -> None:
    config = tmp_path / "other.toml"
    config.write_text("")
    ran = unit(
        tmp_path,
        *("agent", "unit"),
        PUNA_CONFIG=str(config),
        PUNA_AGENT_ENGINE="unix:///run/x.sock",
        PUNA_AGENT_TOKEN="t0ken",
    )
    assert f"Environment=PUNA_CONFIG={config}\n" in ran.out
    assert "Environment=PUNA_AGENT_ENGINE=unix:///run/x.sock\n" in ran.out
    assert "t0ken" not in ran.out + ran.err

"""The settings of the market and the agent: read, checked, and named where they are wrong."""

from dataclasses import fields
from pathlib import Path
from types import UnionType

import pytest

from puna.agent.settings import AgentSettings, load_agent_settings
from puna.errors import Invalid
from puna.market.settings import MarketSettings, load_market_settings
from puna.settings import InvalidSetting, load_settings
from puna.units import Span


def test_a_market_has_a_folder_of_its_own(tmp_path: Path) -> None:
    settings = load_market_settings({"PUNA_HOME": str(tmp_path)})
    assert settings.home == tmp_path / "market"
    assert settings.database == f"sqlite:///{tmp_path}/market/market.db"
    assert settings.url == "http://127.0.0.1:11500"


@pytest.mark.parametrize("kind", [MarketSettings, AgentSettings])
def test_each_field_has_the_type_that_it_claims(
    kind: type[MarketSettings | AgentSettings], tmp_path: Path
) -> None:
    load = load_market_settings if kind is MarketSettings else load_agent_settings
    settings = load({"PUNA_HOME": str(tmp_path)})
    for field in fields(kind):
        claimed = field.type if isinstance(field.type, type | UnionType) else tuple
        assert isinstance(getattr(settings, field.name), claimed), field.name


def test_values_are_read_in_everyday_words() -> None:
    settings = load_market_settings(
        {
            "PUNA_MARKET_FEE_SHARE": "2.5%",
            "PUNA_MARKET_TICK": "30s",
            "PUNA_MARKET_ADDRESS": "0.0.0.0",
            "PUNA_MARKET_PUBLIC_ADDRESS": "https://market.example.org/",
            "PUNA_MARKET_DOMAIN": "Pods.Example.Org.",
        }
    )
    assert (settings.fee_share, settings.tick) == (250, Span.of(seconds=30))
    assert settings.address.port == 11500
    assert settings.url == "https://market.example.org"
    assert settings.domain == "pods.example.org"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FEE_SHARE", "101%"),
        ("FEE_SHARE", "some"),
        ("FEE_SHARE", "0.001%"),
        ("TICK", "0"),
        ("TICK", "soon"),
        ("DOMAIN", "https://x"),
        ("RATE_LIMIT", "-1"),
        ("ADDRESS", "ftp://x"),
    ],
)
def test_a_bad_value_is_named_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=f"PUNA_MARKET_{name}: ") as caught:
        load_market_settings({f"PUNA_MARKET_{name}": value})
    assert isinstance(caught.value, Invalid)


def test_the_node_does_not_complain_about_rows_of_the_market(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('market_tick = "30s"\nnonsense = 1\n')
    environ = {"PUNA_HOME": str(tmp_path)}
    assert load_market_settings(environ).tick == Span.of(seconds=30)
    assert [line.partition(": ")[2] for line in load_settings(environ).warnings] == [
        'unknown setting "nonsense" ignored'
    ]

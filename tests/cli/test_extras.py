"""Groups of commands that need an extra: helped without it, and clear about what is missing."""

import sys

import click
import pytest

from puna.cli.batch import batch
from puna.cli.extras import ExtraCommands, MissingPackages
from puna.cli.market import market

GROUPS = [batch, market]


@pytest.mark.parametrize("group", GROUPS, ids=lambda each: each.name)
def test_each_command_can_be_imported(group: ExtraCommands) -> None:
    with click.Context(group, info_name="puna") as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            assert command.name == name


@pytest.mark.parametrize("group", GROUPS, ids=lambda each: each.name)
def test_an_unknown_name_is_none(group: ExtraCommands) -> None:
    with click.Context(group) as context:
        assert group.get_command(context, "nothing") is None


def test_a_package_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith(("puna.market", "puna.cli."))]:
        if name != "puna.cli.extras":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with click.Context(market) as context, pytest.raises(MissingPackages) as caught:
        market.get_command(context, "serve")
    assert "sqlalchemy" in caught.value.message
    assert "puna[market]" in caught.value.hint


def test_the_group_is_helped_without_importing_a_command() -> None:
    with click.Context(market, info_name="puna market") as context:
        text = market.get_help(context)
    assert "serve" in text
    assert "puna[market]" in text

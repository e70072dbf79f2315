"""`puna market serve` as a process: the operator's key once, a clean end, and started again."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.market.processes import ServingMarket

pytestmark = pytest.mark.journey


def test_the_first_start_shows_the_operators_key_which_is_kept_nowhere(tmp_path: Path) -> None:
    with ServingMarket(tmp_path) as first:
        assert first.admin_key.startswith("rpa_")
        assert first.ask("/health")["status"] == "ok"
        assert first.end() == 0
    with ServingMarket(tmp_path) as second:
        assert second.admin_key == ""
        assert second.ask("/health")["status"] == "ok"
        second.end(signal.SIGKILL)
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert files
    assert not [each for each in files if first.admin_key.encode() in each.read_bytes()]
    with closing(sqlite3.connect(tmp_path / "market" / "market.db")) as database:
        assert database.execute("select count(*) from keys").fetchone() == (1,)


def test_a_bad_setting_is_one_line(tmp_path: Path) -> None:
    with ServingMarket(tmp_path, PUNA_MARKET_DATABASE="mysql://x/y") as market:
        assert market.process.wait(timeout=90) == 1
    assert market.said[0] == "Error: the market knows no mysql database"

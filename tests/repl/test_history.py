"""What was typed is kept, for its owner only."""

import stat
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from puna.cli.repl.history import KEPT, HistoryFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "puna" / "history"


def test_entries_come_back_in_order(path: Path) -> None:
    first = HistoryFile(path, is_on=True)
    for entry in ("one", "two\nlines", "a \\n backslash"):
        first.add(entry)
    assert HistoryFile(path, is_on=True).entries == ["one", "two\nlines", "a \\n backslash"]


def test_the_file_is_for_its_owner_only_and_holds_a_line_an_entry(path: Path) -> None:
    history = HistoryFile(path, is_on=True)
    history.add("two\nlines")
    assert path.read_text() == "two\\nlines\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["history"]


def test_the_last_hundred_are_kept(path: Path) -> None:
    history = HistoryFile(path, is_on=True)
    for number in range(KEPT + 5):
        history.add(str(number))
    kept = HistoryFile(path, is_on=True).entries
    assert (len(kept), kept[0], kept[-1]) == (KEPT, "5", str(KEPT + 4))


def test_blank_and_repeated_entries_are_not_kept(path: Path) -> None:
    history = HistoryFile(path, is_on=True)
    for entry in ("a", "a", "  ", "b"):
        history.add(entry)
    assert history.entries == ["a", "b"]


def test_nothing_is_read_or_written_while_it_is_off(path: Path) -> None:
    HistoryFile(path, is_on=False).add("secret")
    assert not path.exists()


def test_a_folder_that_cannot_be_written_costs_the_history_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    history = HistoryFile(tmp_path / "file" / "history", is_on=True)
    history.add("one")
    assert history.entries == ["one"]


def test_bytes_that_are_not_utf8_are_read_all_the_same(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"caf\xe9\nok\n")
    assert HistoryFile(path, is_on=True).entries == ["caf�", "ok"]


@given(entries=st.lists(st.text(min_size=1).filter(str.strip), max_size=5, unique=True))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, entries: list[str]
) -> None:
    path = tmp_path_factory.mktemp("history") / "history"
    history = HistoryFile(path, is_on=True)
    for entry in entries:
        history.add(entry)
    clean = [each.replace("\r", "").encode(errors="replace").decode() for each in entries]
    assert HistoryFile(path, is_on=True).entries == [each for each in clean if each]

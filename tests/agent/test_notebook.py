"""What an agent writes is its owner's alone, is whole or not there, and its loss harms nobody."""

import stat
from pathlib import Path

import pytest

from puna.agent.notebook import (
    Identity,
    Kept,
    KeptOrder,
    Notebook,
    NotJoined,
    Offer,
    UnreadableNotebook,
)

IDENTITY = Identity(market="http://127.0.0.1:1", host="h1", key="host_secret", name="box")
ORDER = KeptOrder(pod="p1", run=1, want="run", design="d", grace_s=10)


@pytest.fixture
def notebook(tmp_path: Path) -> Notebook:
    return Notebook(tmp_path / "agent")


def test_what_is_written_is_read_again(notebook: Notebook) -> None:
    notebook.write(IDENTITY, "1")
    notebook.write(Offer(price=5, opens="22:00"), "2")
    notebook.write(Kept(sequence=7, orders=[ORDER], pulled=["img"]), "3")
    again = Notebook(notebook.folder)
    assert again.identity() == IDENTITY
    assert again.offer() == Offer(price=5, opens="22:00")
    assert again.kept() == Kept(sequence=7, orders=[ORDER], pulled=["img"])


def test_only_the_owner_reads_it(notebook: Notebook) -> None:
    notebook.write(IDENTITY, "1")
    assert stat.S_IMODE(notebook.folder.stat().st_mode) == 0o700
    files = list(notebook.folder.iterdir())
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600]


def test_a_machine_that_joined_nothing_is_told_how(notebook: Notebook) -> None:
    assert not notebook.has_joined
    with pytest.raises(NotJoined) as failed:
        notebook.identity()
    assert "puna agent join" in failed.value.hint
    with pytest.raises(NotJoined):
        notebook.offer()


def test_a_file_that_is_not_ours_is_named(notebook: Notebook) -> None:
    notebook.write(IDENTITY, "1")
    (notebook.folder / "identity.json").write_text("{")
    with pytest.raises(UnreadableNotebook, match=r"identity\.json cannot be read"):
        notebook.identity()


def test_deadlines_that_are_lost_are_asked_for_again(notebook: Notebook) -> None:
    assert notebook.kept() == Kept()
    notebook.write(Kept(sequence=7), "1")
    (notebook.folder / "kept.json").write_bytes(b"\x00")
    assert notebook.kept() == Kept()


def test_a_draft_that_was_left_behind_is_in_nobodys_way(notebook: Notebook) -> None:
    notebook.write(Kept(sequence=1), "1")
    (notebook.folder / ".kept.json.2").write_text("half")
    notebook.write(Kept(sequence=2), "3")
    assert notebook.kept().sequence == 2


def test_the_last_words_of_a_status(notebook: Notebook) -> None:
    assert notebook.status() == ""
    notebook.write_status('{"a": 1}', "1")
    assert notebook.status() == '{"a": 1}'


def test_a_machine_that_left_is_forgotten(notebook: Notebook) -> None:
    notebook.write(IDENTITY, "1")
    notebook.write(Offer(price=5), "2")
    notebook.forget()
    notebook.forget()
    assert list(notebook.folder.iterdir()) == []

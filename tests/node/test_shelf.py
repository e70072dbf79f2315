"""The shelf of files: what is kept, what is swept, and what a full or damaged disk does."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from puna.node import shelf as shelves
from puna.node.shelf import DiskFull, Filed, FileTooLarge, Label, NoSuchFile, Shelf, TooManyFiles
from puna.units import Size
from tests.worlds import FakeWorld

LABEL = Label(name="a.jsonl", purpose="batch")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "files", FakeWorld())


def kept(shelf: Shelf, content: bytes = b"x", label: Label = LABEL) -> Filed:
    with shelf.receive() as incoming:
        incoming.write(content)
        return shelf.keep(incoming, label)


def aged(path: Path) -> Path:
    os.utime(path, (0, 0))
    return path


def test_files_are_for_their_owner_alone_on_the_disk_too(shelf: Shelf) -> None:
    filed = kept(shelf)
    modes = {each.stat().st_mode & 0o777 for each in shelf.folder.iterdir()}
    assert (modes, shelf.folder.stat().st_mode & 0o777) == ({0o600}, 0o700)
    assert shelf.content(filed.id).read_bytes() == b"x"


def test_one_byte_too_many_is_refused_and_nothing_stays(shelf: Shelf) -> None:
    with shelf.receive(most=10) as incoming:
        incoming.write(b"x" * 10)
        with pytest.raises(FileTooLarge):
            incoming.write(b"x")
    assert list(shelf.folder.iterdir()) == []


def test_a_disk_without_room_is_said(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "free_room", lambda _: Size(100))
    with pytest.raises(DiskFull, match="too little room"), shelf.receive(5):
        pass


def test_only_so_many_files_are_kept(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "MOST_FILES", 1)
    kept(shelf)
    with pytest.raises(TooManyFiles):
        kept(shelf)


def test_the_remains_of_a_crash_are_swept_when_they_are_old(shelf: Shelf) -> None:
    filed = kept(shelf)
    draft, lost = shelf.folder / ".draft", shelf.folder / f"file-{'a' * 24}"
    young = shelf.folder / ".young"
    for each in (draft, lost, young):
        each.write_bytes(b"x")
    shelf.sweep()
    assert young.exists()
    for each in (draft, lost, shelf.content(filed.id)):
        aged(each)
    aged(shelf.content(filed.id))
    os.utime(young)
    shelf.sweep()
    assert [draft.exists(), lost.exists(), shelf.content(filed.id).exists()] == [False, False, True]


def test_what_has_expired_is_swept(tmp_path: Path) -> None:
    world = FakeWorld()
    shelf = Shelf(tmp_path / "files", world)
    kept(shelf, label=Label(name="a", purpose="batch", keeps=timedelta(hours=1)))
    world.jump(timedelta(hours=1))
    shelf.sweep()
    assert list(shelf.folder.iterdir()) == []


def test_a_damaged_record_is_no_file_and_stops_nothing(shelf: Shelf) -> None:
    filed = kept(shelf)
    other = kept(shelf)
    (shelf.folder / f"{filed.id}.json").write_bytes(b"{")
    assert [each.id for each in shelf.all_of("")] == [other.id]
    with pytest.raises(NoSuchFile):
        shelf.find(filed.id, "")


def test_a_name_is_only_shown(shelf: Shelf) -> None:
    filed = kept(shelf, label=Label(name="../../etc/passwd\n\x1b[31m", purpose="batch"))
    assert filed.name == "../../etc/passwd �[31m"
    assert {each.parent for each in shelf.folder.rglob("*")} == {shelf.folder}


def test_a_file_is_lent_whatever_becomes_of_it(shelf: Shelf, tmp_path: Path) -> None:
    filed = kept(shelf, b"content")
    shelf.lend(filed.id, "", tmp_path / "lent")
    shelf.remove(filed.id, "")
    assert (tmp_path / "lent").read_bytes() == b"content"

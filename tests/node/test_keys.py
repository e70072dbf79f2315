"""The ring of keys: what is kept, what is told, and what a broken file does."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from puna.errors import Invalid
from puna.node.keys import (
    BadKeyFile,
    KeyMissing,
    KeyRing,
    KeyScope,
    KeyTaken,
    KeyWish,
    read_life,
)
from tests.worlds import NOON, FakeWorld

DAY = timedelta(days=1)


def a_ring(home: Path, world: FakeWorld | None = None) -> KeyRing:
    return KeyRing(home, world or FakeWorld())


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("90m", timedelta(minutes=90)),
        ("2w", timedelta(weeks=2)),
        (" 1d ", DAY),
    ],
)
def test_a_life_is_a_number_and_a_unit(text: str, span: timedelta) -> None:
    assert read_life(text) == span


@pytest.mark.parametrize(
    "text", ["", "30", "d", "-1d", "0d", "1.5d", "30 d", "1y", "30d5h", "999999d", "٣d x"]
)
def test_a_life_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is not a length of time"):
        read_life(text)


@pytest.mark.parametrize(
    ("scope", "use", "manage", "admin"),
    [
        (KeyScope.USE, True, False, False),
        (KeyScope.MANAGE, True, True, False),
        (KeyScope.ADMIN, True, True, True),
    ],
)
def test_a_scope_includes_those_before_it(
    scope: KeyScope, *, use: bool, manage: bool, admin: bool
) -> None:
    assert [scope.includes(each) for each in KeyScope] == [use, manage, admin]


def test_a_key_is_found_by_itself_alone(tmp_path: Path) -> None:
    ring = a_ring(tmp_path)
    key, secret = ring.create(KeyWish(name="a"))
    assert ring.find(secret.encode()) == key
    assert ring.find(key.prefix.encode()) is None
    assert ring.find(key.digest.encode()) is None
    assert ring.find(b"") is None


def test_a_second_reader_gets_what_the_first_wrote(tmp_path: Path) -> None:
    wish = KeyWish(
        name="a",
        scope=KeyScope.ADMIN,
        life=DAY,
        requests_per_minute=3,
        tokens_per_minute=4,
    )
    key, _ = a_ring(tmp_path).create(wish)
    assert a_ring(tmp_path).all_keys() == (key,)


@pytest.mark.parametrize("name", ["", "a b", "../a", "-a", "a\n", "a" * 65, "ą", "a/b", "a=b"])
def test_a_name_is_a_plain_word(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid, match="is no name for a key"):
        a_ring(tmp_path).create(KeyWish(name=name))
    assert not (tmp_path / "keys.json").exists()


def test_the_name_of_an_expired_key_is_free(tmp_path: Path) -> None:
    world = FakeWorld()
    ring = a_ring(tmp_path, world)
    ring.create(KeyWish(name="a", life=DAY))
    with pytest.raises(KeyTaken):
        ring.create(KeyWish(name="a"))
    world.jump(DAY)
    ring.create(KeyWish(name="a"))
    assert len(ring.good()) == 1


def test_a_key_is_good_until_its_moment(tmp_path: Path) -> None:
    key, _ = a_ring(tmp_path).create(KeyWish(name="a", life=DAY))
    assert key.is_good(NOON + DAY - timedelta(seconds=1))
    assert not key.is_good(NOON + DAY)


def test_a_key_is_revoked_by_its_beginning_too(tmp_path: Path) -> None:
    ring = a_ring(tmp_path)
    key, secret = ring.create(KeyWish(name="a"))
    ring.create(KeyWish(name="b"))
    ring.revoke(key.prefix)
    assert [each.name for each in ring.good()] == ["b"]
    found = ring.find(secret.encode())
    assert found is not None
    assert found.revoked == NOON


def test_a_key_is_revoked_once(tmp_path: Path) -> None:
    ring = a_ring(tmp_path)
    ring.create(KeyWish(name="a"))
    ring.revoke("a")
    with pytest.raises(KeyMissing, match='no key is named "a"'):
        ring.revoke("a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"keys": 1}',
        '{"keys": [1]}',
        '{"keys": [{}]}',
        '{"keys": [{"name": "a", "prefix": "p", "scope": "root", "digest": "d"}]}',
        '{"keys": [{"name": "a", "prefix": "p", "scope": "use", "digest": "d", "created": "x"}]}',
    ],
)
def test_a_damaged_file_is_one_error_and_stays(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    ring = a_ring(tmp_path)
    with pytest.raises(BadKeyFile):
        ring.all_keys()
    with pytest.raises(BadKeyFile):
        ring.create(KeyWish(name="a"))
    assert file.read_text() == text


def test_bytes_that_are_no_text_are_the_same_error(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadKeyFile):
        a_ring(tmp_path).all_keys()


def test_nothing_that_was_written_opens_a_door(tmp_path: Path) -> None:
    ring = a_ring(tmp_path)
    _, secret = ring.create(KeyWish(name="a"))
    written = [path.read_text() for path in tmp_path.iterdir()]
    assert not any(secret in text for text in written)
    assert json.loads((tmp_path / "keys.json").read_text())["version"] == 1


def test_no_draft_stays_behind(tmp_path: Path) -> None:
    ring = a_ring(tmp_path)
    ring.create(KeyWish(name="a"))
    ring.revoke("a")
    assert {path.name for path in tmp_path.iterdir()} == {"keys.json", "keys.lock"}


def test_a_use_is_written_once_in_ten_minutes(tmp_path: Path) -> None:
    world = FakeWorld()
    ring = a_ring(tmp_path, world)
    key, _ = ring.create(KeyWish(name="a"))
    first, second = ring.note_use(key), ring.note_use(key)
    world.jump(timedelta(minutes=10))
    assert (first, second, ring.note_use(key)) == (True, False, True)


def test_uses_of_two_processes_are_both_kept(tmp_path: Path) -> None:
    one, two = a_ring(tmp_path), a_ring(tmp_path)
    key, other = one.create(KeyWish(name="a"))[0], one.create(KeyWish(name="b"))[0]
    one.note_use(key)
    one.write_uses()
    two.note_use(other)
    two.write_uses()
    assert a_ring(tmp_path).last_used() == {key.prefix: NOON, other.prefix: NOON}


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"a": 1}', '{"a": "yesterday"}'])
def test_a_damaged_file_of_uses_is_no_use(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys-used.json").write_text(text)
    assert a_ring(tmp_path).last_used() == {}

"""Files of other programs: changed with care, and brought back."""

import json
from pathlib import Path

import pytest

from puna.cli.launch.configure import UnreadableConfig, Written, take_back, write_edit
from puna.cli.launch.programs import JsonKeys, WholeFile
from puna.cli.launch.record import Record, Remembered

KEYS = {("env", "A"): "1", ("deep", "er", "B"): [2]}


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "settings.json"


def written(config: Path, text: str) -> Path:
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(text)
    return config


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", {"env": {"A": "1"}, "deep": {"er": {"B": [2]}}}),
        ("{}", {"env": {"A": "1"}, "deep": {"er": {"B": [2]}}}),
        ('{"x": 0}', {"x": 0, "env": {"A": "1"}, "deep": {"er": {"B": [2]}}}),
        ('{"env": {"Z": "ż"}}', {"env": {"Z": "ż", "A": "1"}, "deep": {"er": {"B": [2]}}}),
        ('{"env": 5}', {"env": {"A": "1"}, "deep": {"er": {"B": [2]}}}),
        ('{"env": {"A": "0"}}', {"env": {"A": "1"}, "deep": {"er": {"B": [2]}}}),
    ],
)
def test_only_our_keys_are_set(
    before: str, after: dict[str, object], config: Path, backups: Path
) -> None:
    write_edit(JsonKeys(written(config, before), KEYS), None, backups)
    assert json.loads(config.read_text()) == after


@pytest.mark.parametrize(
    "before", ["{}", '{"env": {"A": "0", "Z": "1"}}', '{"env": 5}', '{"deep": {"x": 1}}']
)
def test_beside_other_changes_our_keys_go_back_to_what_they_were(
    before: str, config: Path, backups: Path
) -> None:
    change = write_edit(JsonKeys(written(config, before), KEYS), None, backups)
    now = json.loads(config.read_text())
    config.write_text(json.dumps(now | {"later": True}))
    (said,) = take_back(change, backups)
    expected = json.loads(before) | {"later": True}
    if before == '{"env": 5}':
        expected.pop("env")  # a number had made way for our keys, and nothing can be put into it
    assert json.loads(config.read_text()) == expected
    assert "which has other changes since" in said


@pytest.mark.parametrize("text", ["[]", "5", '"x"', "{", "// c\n{}", "\xff"])
def test_what_is_no_plain_object_is_left_alone(text: str, config: Path, backups: Path) -> None:
    before = written(config, text).read_bytes()
    with pytest.raises(UnreadableConfig) as caught:
        write_edit(JsonKeys(config, KEYS), None, backups)
    assert str(config) in caught.value.message
    assert config.read_bytes() == before
    assert not backups.exists()


def test_a_copy_is_never_written_over(config: Path, backups: Path) -> None:
    for text in ("one", "two"):
        write_edit(WholeFile(written(config, text), "ours"), None, backups)
    assert sorted(copy.read_text() for copy in backups.iterdir()) == ["one", "two"]
    assert {copy.stat().st_mode & 0o777 for copy in backups.iterdir()} == {0o600}


def test_a_second_change_keeps_what_was_there_before_the_first(config: Path, backups: Path) -> None:
    first = write_edit(JsonKeys(written(config, '{"env": {"A": "0"}}'), KEYS), None, backups)
    second = write_edit(JsonKeys(config, {("env", "A"): "9"}), first, backups)
    assert [*take_back(second, backups)] == [f"restored {config}"]
    assert config.read_text() == '{"env": {"A": "0"}}'


def test_a_file_keeps_its_mode_and_a_new_one_is_private(config: Path, backups: Path) -> None:
    written(config, "{}").chmod(0o644)
    write_edit(JsonKeys(config, KEYS), None, backups)
    assert config.stat().st_mode & 0o777 == 0o644
    new = config.with_name("new.json")
    write_edit(JsonKeys(new, KEYS), None, backups)
    assert new.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_gone_is_no_failure(config: Path, backups: Path) -> None:
    change = write_edit(WholeFile(config, "ours"), None, backups)
    config.unlink()
    assert [*take_back(change, backups)] == [f"{config} is gone already"]


def test_the_record_remembers_to_the_last_key(config: Path, backups: Path, tmp_path: Path) -> None:
    change = write_edit(JsonKeys(written(config, '{"env": {}}'), KEYS), None, backups)
    path = tmp_path / "home" / "launch.json"
    Record.read(path).keep("claude", Remembered("qwen3", (change,)))
    read = Record.read(path).of("claude")
    assert read == Remembered("qwen3", (change,))
    assert read.file(config) == change
    assert read.file(config.with_name("other")) is None
    assert path.stat().st_mode & 0o777 == 0o600


def test_programs_are_remembered_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "launch.json"
    Record.read(path).keep("claude", Remembered("a")).keep("codex", Remembered("b"))
    record = Record.read(path)
    assert [record.of(name).model for name in ("claude", "codex", "opencode")] == ["a", "b", ""]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"integrations": 5}', '{"integrations": {"claude": 5}}']
)
def test_a_damaged_record_remembers_nothing(text: str, tmp_path: Path) -> None:
    path = tmp_path / "launch.json"
    path.write_text(text)
    assert Record.read(path).of("claude") == Remembered()


def test_a_change_survives_json() -> None:
    change = Written(Path("/a"), None, "sha256:0", ((("env", "A"), {"absent": True}),))
    assert Written.of(json.loads(json.dumps(change.to_json()))) == change

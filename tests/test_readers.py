"""Readers of settings: what each text means, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from puna.errors import Invalid
from puna.readers import (
    FALSE,
    TRUE,
    read_flag,
    read_folder,
    read_list,
    read_maybe,
    read_text,
    read_whole,
)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (read_text, "", ""),
        (read_text, " as it is ", " as it is "),
        (read_flag, "1", True),
        (read_flag, "TRUE", True),
        (read_flag, "off", False),
        (read_flag, "F", False),
        (read_flag, "anything", True),
        (read_maybe, "", None),
        (read_maybe, "no", False),
        (read_maybe, "yes", True),
        (read_whole, "0", 0),
        (read_whole, "12", 12),
        (read_list, "", ()),
        (read_list, " a, b ,,c ", ("a", "b", "c")),
        (read_folder, "", None),
        (read_folder, "/srv", Path("/srv")),
    ],
)
def test_a_text_is_read(read: Callable[[str], object], text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize("text", ["", "a", "1.5", "-1", "1e3"])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        read_whole(text)


def test_a_folder_of_the_user_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_folder("~/cards") == tmp_path / "cards"


def test_yes_and_no_are_never_the_same_word() -> None:
    assert not TRUE & FALSE

"""Untrusted text cannot act on a terminal."""

import unicodedata

import pytest
from hypothesis import given, strategies as st

from puna.text import cell_width, one_line, printable


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J",
        "\x1b]0;title\x07",
        "\x9b31m",
        "\x1b]52;c;aGk=\x1b\\",
        "a\rb",
        "\x08\x08",
        "\x00",
        "\x7f",
        "\u202egnp.exe",
        "\u2066a\u2069",
    ],
)
def test_what_steers_a_terminal_is_shown_not_done(text: str) -> None:
    assert "�" in printable(text)


@given(st.text())
def test_no_control_character_survives_but_tab_and_line_end(text: str) -> None:
    kept = {char for char in printable(text) if unicodedata.category(char) == "Cc"}
    assert kept <= {"\t", "\n"}


@given(st.text())
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize("text", ["Zażółć gęślą jaźń", "日本語", "a\tb\nc", "👩‍🚀", "مرحبا"])
def test_honest_text_is_untouched(text: str) -> None:
    assert printable(text) == text


def test_one_line_is_one_short_line() -> None:
    assert one_line("a\nb\x1bc" + "d" * 300, limit=10) == "a b�cdddd…"


@pytest.mark.parametrize(
    ("text", "width"),
    [("abc", 3), ("żółć", 4), ("z\u0307", 1), ("日本", 4), ("\u200b", 0), ("", 0)],
)
def test_width_counts_terminal_columns(text: str, width: int) -> None:
    assert cell_width(text) == width

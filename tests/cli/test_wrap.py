"""Words are wrapped at the width that a person sees."""

import pytest
from hypothesis import given, strategies as st

from puna.cli.wrap import Wrap
from puna.text import cell_width


def wrapped(text: str, width: int, *, piece: int = 1) -> str:
    wrap = Wrap(width)
    pieces = [text[i : i + piece] for i in range(0, len(text), piece)]
    return "".join(wrap.feed(part) for part in pieces) + wrap.end()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three", ["one two", "three"]),
        ("one twoo three", ["one twoo", "three"]),
        ("one twooo three", ["one", "twooo", "three"]),
        ("abcdefghijkl", ["abcdefgh", "ijkl"]),
        ("ab abcdefghijkl", ["ab", "abcdefgh", "ijkl"]),
        ("a\nb", ["a", "b"]),
        ("a\n\nb", ["a", "", "b"]),
        ("    ab cd", ["    ab", "cd"]),
        ("żółć gęśl", ["żółć", "gęśl"]),
        ("zażółć gę", ["zażółć", "gę"]),
        ("日本語日本語", ["日本語日", "本語"]),
        ("ab 日本語", ["ab 日本", "語"]),
        ("a\tb cd", ["a", "b cd"]),
        ("", []),
    ],
    ids=repr,
)
def test_lines_break_between_words(text: str, lines: list[str]) -> None:
    assert wrapped(text, 8).splitlines() == lines


def test_a_letter_and_its_marks_are_never_parted() -> None:
    text = "e\u0301" * 10
    assert wrapped(text, 8).splitlines() == ["e\u0301" * 8, "e\u0301" * 2]


def test_a_joined_emoji_stays_whole() -> None:
    family = "👨\u200d👩\u200d👧"
    assert wrapped(f"{family}{family}", 8).replace("\n", "") == family * 2
    assert family in wrapped(f"{family}{family}", 8)


def test_a_word_is_written_when_it_is_known_to_end() -> None:
    wrap = Wrap(20)
    assert [wrap.feed("hel"), wrap.feed("lo wo"), wrap.feed("rld"), wrap.end()] == [
        "",
        "hello",
        "",
        " world",
    ]


def test_a_word_longer_than_a_line_is_written_as_it_comes() -> None:
    wrap = Wrap(5)
    assert [wrap.feed("abcde"), wrap.feed("f"), wrap.feed("g"), wrap.feed("h i"), wrap.end()] == [
        "",
        "abcde\nf",
        "g",
        "h",
        " i",
    ]


TEXTS = st.text(alphabet=st.sampled_from("ab żé日👍\t\n\u0301\u200d\ufe0f"), max_size=60)


@given(TEXTS, st.integers(1, 20), st.integers(1, 7))
def test_the_pieces_in_which_a_text_arrives_do_not_matter(
    text: str, width: int, piece: int
) -> None:
    assert wrapped(text, width, piece=piece) == wrapped(text, width, piece=1000)


@given(TEXTS, st.integers(1, 20))
def test_nothing_but_blanks_and_line_ends_changes(text: str, width: int) -> None:
    blank = str.maketrans("", "", " \t\n")
    assert wrapped(text, width).translate(blank) == text.translate(blank)


@given(st.text(alphabet="ab cd日ż", max_size=80), st.integers(2, 20))
def test_no_line_is_wider_than_the_screen(text: str, width: int) -> None:
    assert all(cell_width(line.rstrip()) <= width for line in wrapped(text, width).splitlines())

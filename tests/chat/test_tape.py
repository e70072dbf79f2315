"""Text that arrives in pieces is read as if it were all there."""

from collections.abc import Callable

import pytest

from puna.chat.tape import Broken, Reading, Tape, first_of, held_back, parsed, written

Read = Callable[[Tape], Reading[object]]


def read(reader: Read, *pieces: str) -> tuple[object, str]:
    """Return what a reader makes of some pieces, and what it leaves."""
    tape = Tape()
    running = reader(tape)
    for piece in (*pieces, None):
        if piece is None:
            tape.is_over = True
        else:
            tape.add(piece)
        try:
            next(running)
        except StopIteration as end:
            return end.value, tape.rest
    raise AssertionError("it waits for more after the end")


def cuts_of(text: str) -> list[tuple[str, ...]]:
    """Return a text whole, cut in two anywhere, and in single characters."""
    return [(text,), *((text[:n], text[n:]) for n in range(1, len(text))), tuple(text)]


@pytest.mark.parametrize(
    ("text", "value", "rest"),
    [
        ('{"a": 1} b', {"a": 1}, " b"),
        ("[1, [2, {}]]]", [1, [2, {}]], "]"),
        (r'{"a": "}\"\\"}{', {"a": '}"\\'}, "{"),
        ('{"a": "[[["}', {"a": "[[["}, ""),
        ('{"ü": "é"}', {"ü": "é"}, ""),
        (r'["\u00fc\n"]', ["ü\n"], ""),
        ("{}", {}, ""),
    ],
)
def test_json_ends_where_it_ends(text: str, value: object, rest: str) -> None:
    def one(tape: Tape) -> Reading[object]:
        found = yield from tape.json()
        while not tape.is_over:
            yield
        return found

    assert {repr(read(one, *cut)) for cut in cuts_of(text)} == {repr((value, rest))}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "{",
        '{"a',
        '{"a": NaN}',
        "{]",
        "{'a': 1}",
        '{"a": 1,}',
        "[" * 300,
        '{"a": "\\',
    ],
)
def test_what_is_no_json_is_broken_however_it_is_cut(text: str) -> None:
    def one(tape: Tape) -> Reading[object]:
        try:
            return (yield from tape.json())
        except Broken:
            return "broken"

    assert {read(one, *cut)[0] for cut in cuts_of(text)} == {"broken"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("one<b>two", ("one", "<b>")),
        ("<b>", ("", "<b>")),
        ("a<c<b>", ("a<c", "<b>")),
        ("x<bc>y<b>", ("x", "<bc>")),
        ("<<b>", ("<", "<b>")),
    ],
)
def test_text_is_read_up_to_the_first_end(text: str, found: object) -> None:
    def one(tape: Tape) -> Reading[object]:
        return (yield from tape.until("<b>", "<bc>"))

    assert {read(one, *cut)[0] for cut in cuts_of(text)} == {found}


@pytest.mark.parametrize("text", ["no end at all", "too long for the limit<b>", "<b"])
def test_an_end_that_does_not_come_in_time_is_missed(text: str) -> None:
    def one(tape: Tape) -> Reading[object]:
        try:
            return (yield from tape.until("<b>", most=10))
        except Broken:
            return "broken"

    assert {read(one, *cut)[0] for cut in cuts_of(text)} == {"broken"}


@pytest.mark.parametrize(
    ("text", "word", "rest"),
    [
        ("<tool>x", "<tool>", "x"),
        ("</tool>", "</tool>", ""),
        ("<to", "", "<to"),
        ("x<tool>", "", "x<tool>"),
        ("", "", ""),
    ],
)
def test_a_word_is_accepted_or_left(text: str, word: str, rest: str) -> None:
    def one(tape: Tape) -> Reading[object]:
        found = yield from tape.accept("<tool>", "</tool>")
        while not tape.is_over:
            yield
        return found

    assert {read(one, *cut) for cut in cuts_of(text)} == {(word, rest)}


def test_a_word_that_must_come_is_missed() -> None:
    def one(tape: Tape) -> Reading[object]:
        return (yield from tape.expect("b"))

    with pytest.raises(Broken, match="no b"):
        read(one, "a")


@pytest.mark.parametrize(("text", "space"), [(" \n a", " \n "), ("a", ""), ("  ", "  "), ("", "")])
def test_white_space_is_read_whole(text: str, space: str) -> None:
    def one(tape: Tape) -> Reading[object]:
        return (yield from tape.space())

    assert {read(one, *cut)[0] for cut in cuts_of(text)} == {space}


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("abc", 0),
        ("abc<", 1),
        ("abc<to", 3),
        ("<to<to", 3),
        ("", 0),
    ],
)
def test_an_end_that_may_become_a_tag_is_held_back(text: str, length: int) -> None:
    assert held_back(text, ("<tool>", "<think>")) == length


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a<b><c>", (1, "<b>")),
        ("a<c><b>", (1, "<c>")),
        ("abc", (3, "")),
        ("<bb>", (0, "<bb>")),
    ],
)
def test_the_first_word_counts(text: str, found: tuple[int, str]) -> None:
    assert first_of(text, ("<b>", "<c>", "<bb>")) == found


def test_json_is_written_on_one_line_in_its_order() -> None:
    assert written(parsed('{"b": "ü", "a": [1, 2.50]}')) == '{"b":"ü","a":[1,2.5]}'


def test_what_was_read_is_forgotten() -> None:
    tape = Tape()
    tape.add("abc")
    assert tape.take(2) == "ab"
    tape.forget()
    assert (tape.text, tape.rest, tape.at) == ("c", "c", 0)

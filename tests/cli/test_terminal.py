"""What reaches a screen, and what reaches a pipe."""

import io

from tests.fakes.console import a_terminal

HOSTILE = "a\x1b[2J\x1b]0;title\x07b\u202ec\r\n\td\n"


def test_no_control_character_reaches_a_screen() -> None:
    terminal = a_terminal(screen=True)
    terminal.write(HOSTILE)
    assert terminal.out.getvalue() == "a�[2J�]0;title�b�c\n\td\n"  # type: ignore[attr-defined]


def test_a_pipe_gets_the_text_as_it_is() -> None:
    terminal = a_terminal()
    terminal.write(HOSTILE)
    assert terminal.out.getvalue() == HOSTILE  # type: ignore[attr-defined]


def test_an_error_is_one_line_and_its_hint_another() -> None:
    terminal = a_terminal()
    terminal.say_error("two\nlines", "do this")
    assert terminal.err.getvalue() == "Error: two lines\ndo this\n"  # type: ignore[attr-defined]


def test_grey_is_for_screens_with_colours_only() -> None:
    terminals = [
        a_terminal(),
        a_terminal(screen=True),
        a_terminal(screen=True, has_escapes=True),
        a_terminal(screen=True)._replace(has_colours=True),
        a_terminal(screen=True, has_escapes=True)._replace(has_colours=True),
    ]
    for terminal in terminals:
        terminal.grey(on=True)
    written = [terminal.out.getvalue() for terminal in terminals]  # type: ignore[attr-defined]
    assert written == ["", "", "", "", "\x1b[38;5;245m"]


def test_piped_bytes_that_are_not_utf8_are_read_all_the_same() -> None:
    keys = io.TextIOWrapper(io.BytesIO(b"caf\xe9 \xc5\xbc"), encoding="ascii")
    assert a_terminal()._replace(keys=keys).read_all() == "caf� ż"


def test_what_is_said_is_broken_at_blanks_on_a_screen_and_whole_in_a_pipe() -> None:
    said = "word " * 30 + "end"
    screen, pipe = a_terminal(screen=True), a_terminal()
    for terminal in (screen, pipe):
        terminal.say(said)
    lines = screen.err.getvalue().splitlines()  # type: ignore[attr-defined]
    assert (len(lines), max(map(len, lines)) <= 80) == (2, True)
    assert all(set(line.split()) <= {"word", "end"} for line in lines)
    assert pipe.err.getvalue() == f"{said}\n"  # type: ignore[attr-defined]


def test_a_table_is_bounded_where_it_is_seen_alone() -> None:
    assert (a_terminal(screen=True).table_width, a_terminal().table_width) == (80, 0)

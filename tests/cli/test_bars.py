"""The progress of a pull, as a person sees it."""

import pytest

from puna.cli.bars import Bar, Board, draw_progress
from puna.progress import Done, Progress, Step, Transfer
from puna.text import cell_width
from puna.units import Size, Span
from tests.fakes.console import StillWorld, a_terminal

DIGEST = "sha256:" + "7" * 64
GB = 10**9


def a_transfer(completed: int) -> Transfer:
    return Transfer("pulling 777777777777", DIGEST, Size(2 * GB), Size(completed))


@pytest.mark.parametrize(
    ("completed", "line"),
    [
        (0, "pulling 7:   0% ▕              ▏ 0 B/2 GB"),
        (GB, "pulling 7:  50% ▕███████      ▏ 1 GB/2 GB"),
        (2 * GB, "pulling 7: 100% ▕████████████████▏    2 GB"),
    ],
)
def test_a_bar_shows_share_and_sizes(completed: int, line: str) -> None:
    bar = Bar("pulling 7", Size(2 * GB), completed)
    drawn = bar.line(42, Span(0))
    assert drawn.partition("▕")[0] == line.partition("▕")[0]
    assert drawn.partition("▏")[2] == line.partition("▏")[2]
    assert cell_width(drawn) == 42


def test_a_bar_shows_speed_and_time_left() -> None:
    bar = Bar("pulling 7", Size(2 * GB))
    for second in range(4):
        bar.move(second * 10**8, Span.of(seconds=second))
    assert bar.line(80, Span.of(seconds=3)).endswith("▏ 300 MB/2 GB  100 MB/s 17s")


@pytest.mark.parametrize(
    ("seconds", "left"), [(59, "59s"), (75, "1m15s"), (3700, "1h1m"), (400_000, "99h+")]
)
def test_the_time_left_has_two_units(seconds: int, left: str) -> None:
    bar = Bar("x", Size(seconds * 1000 + 1000))
    bar.move(0, Span(0))
    bar.move(1000, Span.of(seconds=1))
    assert bar.line(80, Span.of(seconds=1)).endswith(f" {left}")


@pytest.mark.parametrize("width", [1, 10, 25, 40])
def test_a_bar_never_leaves_its_line(width: int) -> None:
    assert cell_width(Bar("pulling 777777777777", Size(GB), 10).line(width, Span(0))) <= width


def test_off_a_screen_each_step_is_said_once() -> None:
    terminal = a_terminal()
    events: list[Progress] = [Step("pulling manifest"), a_transfer(1), a_transfer(2 * GB), Done()]
    draw_progress(terminal, StillWorld(), events)
    assert terminal.err.getvalue() == (  # type: ignore[attr-defined]
        "pulling manifest\npulling 777777777777 (2 GB)\nsuccess\n"
    )


def test_on_a_screen_the_last_state_stays() -> None:
    terminal = a_terminal(screen=True, has_escapes=True)
    board = Board(terminal, StillWorld())
    for event in (Step("pulling manifest"), a_transfer(1), a_transfer(2 * GB), Done()):
        board.take(event)
    board.finish()
    written = terminal.err.getvalue()  # type: ignore[attr-defined]
    frame = written.rpartition("\x1b[?2026h")[2]
    assert "100% " in frame
    assert frame.endswith("success\n\x1b[?2026l")


def test_a_status_cannot_send_escapes() -> None:
    terminal = a_terminal(screen=True, has_escapes=True)
    draw_progress(terminal, StillWorld(), [Step("\x1b]0;owned\x07")])
    assert "\x1b]" not in terminal.err.getvalue()  # type: ignore[attr-defined]


def test_a_long_step_stays_on_one_line_so_that_redrawing_covers_it() -> None:
    terminal = a_terminal(screen=True, has_escapes=True)
    draw_progress(terminal, StillWorld(), [Step("x" * 200), Step("y" * 200), Done()])
    written = terminal.err.getvalue()  # type: ignore[attr-defined]
    lines = written.replace("\x1b[K", "\r").splitlines()
    assert max(cell_width(line.rpartition("\r")[2]) for line in lines) < 80

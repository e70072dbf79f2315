"""Every failure ends with one line, a hint and the right exit code."""

import click
import pytest

from puna.cli.failures import Ending, ending_of, guard
from puna.errors import Invalid, NotFound
from tests.fakes.console import a_terminal


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (
            NotFound("model 'x' not found", hint="pull it"),
            Ending(1, "model 'x' not found", "pull it"),
        ),
        (Invalid("bad"), Ending(1, "bad")),
        (
            click.UsageError("No such option: --x."),
            Ending(1, "no such option: --x", "usage: puna --help"),
        ),
        (click.exceptions.Exit(0), Ending(0)),
        (click.exceptions.Exit(3), Ending(3)),
        (click.exceptions.Abort(), Ending(130)),
        (KeyboardInterrupt(), Ending(130)),
        (BrokenPipeError(), Ending(141)),
        (OSError(28, "No space left on device"), Ending(1, "no space left on device")),
        (PermissionError(13, "Permission denied", "/x"), Ending(1, "/x: permission denied")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_has_its_ending(error: BaseException, ending: Ending) -> None:
    assert ending_of(error) == ending


def test_a_defect_is_named_and_says_how_to_report_it() -> None:
    ending = ending_of(ZeroDivisionError("division by zero"))
    assert ending.message == "puna has a defect: ZeroDivisionError: division by zero"
    assert "PUNA_DEBUG=1" in ending.hint


def fail() -> None:
    raise ZeroDivisionError("oh")


def test_a_traceback_is_for_those_who_ask() -> None:
    quiet, loud = a_terminal(), a_terminal()
    codes = [guard(fail, quiet, debug=lambda: False), guard(fail, loud, debug=lambda: True)]
    assert codes == [1, 1]
    assert "Traceback" not in quiet.err.getvalue()  # type: ignore[attr-defined]
    assert "Traceback" in loud.err.getvalue()  # type: ignore[attr-defined]


def test_what_succeeds_ends_with_zero() -> None:
    assert guard(lambda: None, a_terminal(), debug=lambda: False) == 0

"""A driver's program that is missing, fails or hangs does no harm."""

import sys

from puna.hardware.programs import Output, output_of


def test_what_a_program_prints_is_its_answer() -> None:
    assert output_of(sys.executable, "-c", "print(' two\\nlines ')") == Output("two\nlines")


def test_a_program_that_is_not_there_has_no_answer_and_no_fault() -> None:
    assert output_of("surely-no-such-program") == Output()


def test_a_program_that_fails_tells_its_first_line() -> None:
    script = "import sys; print('driver gone', file=sys.stderr); print('more'); sys.exit(9)"

    assert output_of(sys.executable, "-c", script).fault == "more"
    assert output_of(sys.executable, "-c", "raise SystemExit('driver gone')").fault == "driver gone"


def test_a_program_that_fails_in_silence_tells_its_code() -> None:
    assert output_of(sys.executable, "-c", "raise SystemExit(9)").fault.endswith(
        "ended with code 9"
    )


def test_output_that_is_no_text_is_read_all_the_same() -> None:
    script = "import sys; sys.stdout.buffer.write(b'\\xff ok')"

    assert output_of(sys.executable, "-c", script).text == "� ok"

"""A program in a process of its own: its output, its refusals, its ends."""

from pathlib import Path

import pytest

from puna.errors import Failed, Invalid, Unsupported
from puna.library.weights.child import WeightsLost, start
from puna.library.weights.made import CannotConvert

PROGRAM = """
import json, os, sys
from puna.errors import Failed, Invalid, Unsupported
from puna.library.weights.child import work_as_child
from puna.library.weights.made import CannotConvert
job = json.loads(sys.stdin.buffer.read())
kinds = {"invalid": Invalid, "unsupported": Unsupported, "cannot": CannotConvert, "failed": Failed}
def main(out):
    print("noise of native code")
    out.write(job["text"].encode())
    out.flush()
    if job["end"] in kinds:
        raise kinds[job["end"]]("no", hint="later")
    if job["end"] == "crash":
        os.abort()
    if job["end"] == "error":
        raise RuntimeError("what went wrong")
work_as_child(main)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "a_program.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "a_program"


def test_what_it_writes_is_read_to_the_end(program: str) -> None:
    with start(program, {"text": "a line\nrest", "end": ""}, work="working") as output:
        assert output.line() == b"a line\n"
        assert output.read(4) == b"rest"
        output.finish()


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ("invalid", Invalid),
        ("unsupported", Unsupported),
        ("cannot", CannotConvert),
        ("failed", Failed),
    ],
)
def test_a_refusal_is_the_same_here(program: str, end: str, kind: type[Exception]) -> None:
    with (
        pytest.raises(kind, match=r"^no$") as raised,
        start(program, {"text": "", "end": end}, work="working") as output,
    ):
        output.read(1)
    assert getattr(raised.value, "hint", "") == "later"


@pytest.mark.parametrize(
    ("end", "words"),
    [("crash", "ended by signal 6"), ("error", "ended with 1: RuntimeError: what")],
)
def test_an_end_without_a_word_is_told_with_the_last_line(
    program: str, end: str, words: str
) -> None:
    with (
        pytest.raises(WeightsLost, match=f"working did not come to its end: it (was )?{words}"),
        start(program, {"text": "half", "end": end}, work="working") as output,
    ):
        output.read(100)


def test_more_than_was_promised_is_an_error(program: str) -> None:
    with start(program, {"text": "too much", "end": ""}, work="working") as output:
        output.read(3)
        with pytest.raises(WeightsLost):
            output.finish()

"""A program of our own in a process of its own, whose output is a stream of bytes.

What llama.cpp's library or a stranger's file can do to a process (crash, endless memory) happens
to the child: here it is one error. The child writes to a pipe and never to the disk, so whoever
reads decides what becomes of it; when nobody reads any more, its next write ends it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO, NoReturn

from puna.errors import Failed, Invalid, PunaError, Unsupported
from puna.library.weights.made import CannotConvert
from puna.text import one_line

_REFUSED = 3
"""Exit status of a child that says why it will not go on."""
_LAST_WORDS = 4096
_FAMILIES: dict[str, type[PunaError]] = {
    CannotConvert.code: CannotConvert,
    Unsupported.code: Unsupported,
    Invalid.code: Invalid,
}


class WeightsLost(Failed):
    """The process that made new weights ended before it was done; nothing of them was kept."""

    code = "weights_lost"


class Output:
    """What a child writes, to be read to its end."""

    def __init__(self, process: "subprocess.Popen[bytes]", errors: IO[bytes], work: str) -> None:
        self._process = process
        self._errors = errors
        self._work = work

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes. Raises `WeightsLost`, or the child's own refusal."""
        chunk = self._pipe.read(size)
        if len(chunk) < size:
            self._explain()
        return chunk

    def line(self) -> bytes:
        """Return the next line. Raises as `read` does."""
        text = self._pipe.readline()
        if not text.endswith(b"\n"):
            self._explain()
        return text

    def finish(self) -> None:
        """Wait for the end, and make sure that it is a good one. Raises as `read` does."""
        if self._pipe.read(1) or self._process.wait():
            self._explain()

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - asked for in `start`
        return self._process.stdout

    def _explain(self) -> NoReturn:
        status = self._process.wait()
        end = self._errors.seek(0, 2)
        self._errors.seek(max(0, end - _LAST_WORDS))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else ""
        if status == _REFUSED and last.startswith("{"):
            said = json.loads(last)
            raise _FAMILIES.get(said["family"], Failed)(said["message"], hint=said["hint"])
        how = f"it was ended by signal {-status}" if status < 0 else f"it ended with {status}"
        raise WeightsLost(
            f"{self._work} did not come to its end: {how}: {one_line(last, 300) or 'no word'}",
            hint="nothing was kept; try again, with more memory free if it was ended by signal 9",
        )


@contextmanager
def start(program: str, job: Mapping[str, object], *, work: str) -> Iterator[Output]:
    """Run a module as a program, with a job as JSON; the block reads its output.

    However the block ends, the process is over after it. `work` is what it does, for errors.
    """
    with TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-X", "faulthandler", "-m", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C in a terminal is for the parent alone
        )
        with process:
            try:
                _tell(process, job)
                yield Output(process, errors, work)
            finally:
                process.kill()


def _tell(process: "subprocess.Popen[bytes]", job: Mapping[str, object]) -> None:
    assert process.stdin is not None  # noqa: S101 - asked for in `start`
    try:
        process.stdin.write(json.dumps(job).encode())
        process.stdin.close()
    except BrokenPipeError:
        return  # reading its output tells why


def _refuse(error: PunaError) -> NoReturn:
    """End this child with a reason that its parent passes on."""
    family = next((name for name in _FAMILIES if isinstance(error, _FAMILIES[name])), "failed")
    words = {"family": family, "message": error.message, "hint": error.hint}
    sys.stderr.write(f"{json.dumps(words)}\n")
    sys.exit(_REFUSED)


def work_as_child(main: Callable[[BinaryIO], None]) -> None:
    """Run what a child is for: its output is for results alone, an error is a reason, not a trace.

    When nobody reads any more, the process ends at once.
    """
    _go_first_when_memory_ends()
    output = _own_output()
    try:
        main(output)
    except PunaError as error:
        _refuse(error)
    except BrokenPipeError:
        os._exit(1)  # nobody wants the rest


def _own_output() -> BinaryIO:
    """Return standard output, for results alone: what native code prints goes to errors."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output


def _go_first_when_memory_ends() -> None:
    """Have the kernel end this child, and not its parent, when memory ends."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        return

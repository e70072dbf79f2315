"""A program on a real pseudo-terminal: keys go in, and what a screen gets is read back."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

# Makes the terminal the controlling one of the new session, so that Ctrl-C is a signal.
_BECOME = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "puna", *sys.argv[1:]])
"""


class Screen:
    """The other end of the terminal."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self._descriptor, self.process = descriptor, process
        self.shown = ""
        self._read_to = 0

    def press(self, keys: str) -> None:
        """Type keys."""
        os.write(self._descriptor, keys.encode())

    def wait_for(self, text: str, *, limit_s: float = 90) -> str:
        """Wait until `text` is shown after what was waited for before; return all up to it."""
        end = time.monotonic() + limit_s
        while text not in self.shown[self._read_to :]:
            left = end - time.monotonic()
            if left <= 0 or not self._read_some(left):
                raise AssertionError(f"{text!r} was not shown; the screen got {self.shown!r}")
        until = self.shown.index(text, self._read_to) + len(text)
        came, self._read_to = self.shown[self._read_to : until], until
        return came

    def wait_for_end(self) -> int:
        """Wait until the program has ended and return its exit code."""
        while self._read_some(90):
            pass
        return self.process.wait(timeout=90)

    def _read_some(self, limit_s: float) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], limit_s)
        try:
            came = os.read(self._descriptor, 65536) if ready else b""
        except OSError:  # Linux says EIO when the last program has left the terminal
            came = b""
        self.shown += came.decode("utf-8", "replace")
        return bool(came)


@contextmanager
def puna_on_a_screen(
    *arguments: str, environ: Mapping[str, str], columns: int = 80
) -> Iterator[Screen]:
    """Run the program on a terminal of 24 rows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _BECOME, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=os.environ | {"TERM": "xterm"} | dict(environ),
    )
    os.close(theirs)
    try:
        yield Screen(ours, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)

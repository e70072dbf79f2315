"""What a dying engine said: finds the one telling line in the end of its log."""

import re
import signal

from puna.text import one_line

KEPT_BYTES = 8192
_STAMP = re.compile(r"^(?:\d+\.)+\d+ (?=[A-Z] )")
_LEVEL = re.compile(r"^E +(?:(?:srv|slot|cmn|que|res) +)?")
_TELLING = (
    re.compile(r"GGML_ASSERT|GGML_ABORT|terminate called|what\(\):"),
    re.compile(r"failed to allocate|out of memory|bad_alloc", re.IGNORECASE),
    re.compile(r"\b\w*(?:Error|Exception)\b: "),
    re.compile(r"^E "),
)
_LONGEST = 300


def telling_line(log: bytes) -> str:
    """Return the line of `log` that says best what went wrong, or an empty string.

    A failed assertion says more than what follows it. Otherwise the first error is the cause, and
    those after it are its consequences.
    """
    lines = [_STAMP.sub("", line) for line in log.decode(errors="replace").splitlines()]
    for pattern in _TELLING:
        for line in lines:
            if pattern.search(line):
                return one_line(_LEVEL.sub("", line), _LONGEST)
    rest = [line for line in lines if line.strip()]
    return one_line(rest[-1], _LONGEST) if rest else ""


def epitaph(exit_code: int | None, log: bytes) -> str:
    """Say how the engine's process ended and why, in one line."""
    how = _how(exit_code)
    why = telling_line(log)
    return f"{how}: {why}" if why else how


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "the engine does not answer"
    if exit_code >= 0:
        return f"the engine ended with exit code {exit_code}"
    if exit_code == -signal.SIGKILL:
        return "the engine was killed (the system does that when memory runs out)"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"the engine crashed ({name})"

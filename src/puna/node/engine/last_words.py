"""What a dying engine said: the one telling line in the end of its log. Pure."""

import re
import signal
from collections.abc import Iterable

from puna.text import one_line

KEPT_BYTES = 8192
_LONGEST = 300
_STAMP = re.compile(r"^(?:\d+\.)+\d+ (?=[A-Z] )")
_SOURCE = re.compile(r"^E +(?:\w{3,4} +)?(?=\w+: )|^E +")
_DEADLY = (
    re.compile(r"GGML_ASSERT|GGML_ABORT|GGML_CUDA_ERROR"),
    re.compile(r"what\(\):|terminate called"),
    re.compile(r"failed to allocate|out of memory|bad_alloc", re.IGNORECASE),
    re.compile(r"^\w*(?:Error|Exception): "),
    re.compile(r"^Fatal Python error"),
)
_ANY_ERROR = re.compile(r"^E (?!mtmd_get_memory_usage: )")
"""That one is a forecast which fails before the load does, and does not say why."""


def load_failure(log: bytes) -> str:
    """Return why a load failed: the first error is the cause, those after it its consequences."""
    return _first(log, (*_DEADLY, _ANY_ERROR)) or "llama.cpp gives no reason"


def epitaph(exit_code: int | None, log: bytes) -> str:
    """Say how the engine's process ended and why, in one line.

    Only what can kill counts as a reason: most errors in a log were answered long before.
    """
    how = _how(exit_code)
    why = _first(log, _DEADLY)
    return f"{how}: {why}" if why else how


def _first(log: bytes, patterns: Iterable[re.Pattern[str]]) -> str:
    lines = [_STAMP.sub("", line) for line in log.decode(errors="replace").splitlines()]
    for pattern in patterns:
        for line in lines:
            if pattern.search(line):
                return one_line(_SOURCE.sub("", line), _LONGEST)
    return ""


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "the engine does not answer"
    if exit_code >= 0:
        return f"the engine ended with exit code {exit_code}"
    if exit_code == -signal.SIGKILL:
        return "the engine was killed, as the system does when memory runs out"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"the engine crashed ({name})"

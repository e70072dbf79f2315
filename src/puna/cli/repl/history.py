"""What was typed before, kept in a file that only its owner can read.

A line of the file is one entry, the newest last; a line end within an entry is written as a
backslash and `n`.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

_ESCAPE = re.compile(r"\\(.)")
KEPT = 100


class HistoryFile:
    """The last entries, on disk while `is_on`. A file that fails costs the history only."""

    def __init__(self, path: Path, *, is_on: bool) -> None:
        self._path = path
        self.is_on = is_on
        self.entries: list[str] = self._read() if is_on else []

    def add(self, entry: str) -> None:
        """Remember an entry, unless it repeats the one before."""
        if not self.is_on or not entry.strip() or self.entries[-1:] == [entry]:
            return
        self.entries = [*self.entries, entry][-KEPT:]
        self._write()

    def _read(self) -> list[str]:
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return []
        return [_unescaped(line) for line in lines if line][-KEPT:]

    def _write(self) -> None:
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        text = "".join(f"{_escaped(entry)}\n" for entry in self.entries)
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            draft.replace(self._path)
            return
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _escaped(entry: str) -> str:
    return entry.replace("\\", "\\\\").replace("\r", "").replace("\n", "\\n")


def _unescaped(line: str) -> str:
    return _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], line)

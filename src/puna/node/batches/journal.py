"""The journal of a batch: each row that is done, written the moment that it is, never again.

One line a row: its number, what became of it, its tokens, and the line that will stand in the
output. A line that a crash cut is dropped at the next start, and only its row is computed again. At
the end the lines are put into the order of the input.
"""

import os
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from puna.node.batches.batch import Tally, Tokens
from puna.node.private import MODE

_UNKNOWN = -1
_FIELDS = 6
_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """A row that is done."""

    row: int
    is_good: bool
    tokens: Tokens
    line: bytes
    """What stands in the output or error file, without the end of the line."""

    def to_bytes(self) -> bytes:
        """Return the line of the journal."""
        tokens = self.tokens
        head = b"%d %d %d %d %d %d " % (
            self.row,
            self.is_good,
            tokens.prompt,
            tokens.cached,
            tokens.output,
            tokens.thought,
        )
        return head + self.line + b"\n"

    @classmethod
    def from_bytes(cls, text: bytes) -> Self:
        """Read a line of the journal. Raises `ValueError`."""
        *numbers, line = text.split(b" ", _FIELDS)
        row, good, *tokens = (int(each) for each in numbers)
        return cls(row, bool(good), Tokens(*tokens), line.rstrip(b"\n"))


class Journal:
    """The rows of one batch that are done. Its calls block for a write or a look."""

    def __init__(self, path: Path, total: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._file = os.fdopen(os.open(path, flags, MODE), "r+b", buffering=0)
        self._places = array("q", [_UNKNOWN]) * total
        self._end = 0
        self.tally = Tally(total)
        self._read_all()

    def is_done(self, row: int) -> bool:
        """Tell whether a row needs nothing more."""
        return self._places[row] != _UNKNOWN

    def add(self, entry: Entry) -> None:
        """Write a row down. Raises `OSError`, and then nothing of it stays."""
        if self.is_done(entry.row):
            return
        text = entry.to_bytes()
        self._file.seek(self._end)
        try:
            left = memoryview(text)
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._end)
            raise
        self._note(entry, len(text))

    def sync(self) -> None:
        """Let the disk have all of it."""
        os.fsync(self._file.fileno())

    def copy(self, write: Callable[[bytes], None], *, good: bool) -> None:
        """Write the lines of the good rows, or of the others, in the order of the input."""
        block = bytearray()
        for entry in self._entries():
            if entry.is_good is good:
                block += entry.line + b"\n"
            if len(block) >= _BLOCK:
                write(bytes(block))
                block.clear()
        if block:
            write(bytes(block))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _entries(self) -> Iterator[Entry]:
        with os.fdopen(os.dup(self._file.fileno()), "rb") as file:
            for place in self._places:
                if place != _UNKNOWN:
                    file.seek(place)
                    yield Entry.from_bytes(file.readline())

    def _read_all(self) -> None:
        with os.fdopen(os.dup(self._file.fileno()), "rb") as file:
            file.seek(0)
            for text in file:
                entry = _whole(text, len(self._places))
                if entry is None:
                    break  # cut by a crash: nothing follows it
                self._note(entry, len(text))
        self._file.truncate(self._end)

    def _note(self, entry: Entry, size: int) -> None:
        if not self.is_done(entry.row):
            self._places[entry.row] = self._end
            old = self.tally
            self.tally = Tally(
                old.total,
                old.completed + entry.is_good,
                old.failed + (not entry.is_good),
                old.tokens + entry.tokens,
            )
        self._end += size


def _whole(text: bytes, total: int) -> Entry | None:
    """Return the entry of a line, or None for one that a crash cut."""
    if not text.endswith(b"\n"):
        return None
    try:
        entry = Entry.from_bytes(text)
    except ValueError:
        return None
    return entry if 0 <= entry.row < total else None

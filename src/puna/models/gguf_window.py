"""Read a GGUF header through a small window, never beyond the end of the file.

Plain reads, not a memory map: a map of a file that somebody shortens meanwhile kills the process
with SIGBUS. The window keeps memory small however long the header is, and what is only skipped is
not read at all.
"""

from enum import IntEnum
from io import FileIO
from struct import Struct

from puna.models.gguf_check import MAX_ITEMS, MAX_KEPT, MAX_STRINGS, MAX_TEXT, Fault

_WINDOW = 2**18
_LENGTH = Struct("<Q")


class ValueKind(IntEnum):
    """The type of a metadata value, by its number in the file."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


SCALAR_FORMATS = {
    ValueKind.UINT8: Struct("<B"),
    ValueKind.INT8: Struct("<b"),
    ValueKind.UINT16: Struct("<H"),
    ValueKind.INT16: Struct("<h"),
    ValueKind.UINT32: Struct("<I"),
    ValueKind.INT32: Struct("<i"),
    ValueKind.FLOAT32: Struct("<f"),
    ValueKind.BOOL: Struct("<?"),
    ValueKind.UINT64: Struct("<Q"),
    ValueKind.INT64: Struct("<q"),
    ValueKind.FLOAT64: Struct("<d"),
}

Scalar = int | float | bool | str


class Window:
    """A place in a file, and some bytes from there on. Every method raises `Fault` at the end."""

    def __init__(self, file: FileIO, size: int, position: int = 0) -> None:
        self.size = size
        self._file = file
        self._start = position
        self._at = 0
        self._bytes = b""
        self._kept = 0
        self._strings = 0
        self._items = 0

    @property
    def position(self) -> int:
        """The place in the file from which the next byte comes."""
        return self._start + self._at

    @property
    def left(self) -> int:
        """How many bytes the file still has."""
        return self.size - self.position

    def go_to(self, position: int) -> None:
        """Go on from another place."""
        if not 0 <= position <= self.size:
            raise self._ended(position - self.size)
        self._at = position - self._start
        if not 0 <= self._at <= len(self._bytes):
            self._start, self._at, self._bytes = position, 0, b""

    def skip(self, count: int) -> None:
        """Pass over `count` bytes without reading them."""
        if count > self.left:
            raise self._ended(count)
        self.go_to(self.position + count)

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        self._fill(count)
        start = self._at
        self._at += count
        return self._bytes[start : self._at]

    def scalar(self, kind: ValueKind) -> int | float | bool:
        """Return the next number or truth value."""
        form = SCALAR_FORMATS[kind]
        self._fill(form.size)
        value: int | float | bool = form.unpack_from(self._bytes, self._at)[0]
        self._at += form.size
        return value

    def u32(self) -> int:
        """Return the next count of four bytes."""
        return int(self.scalar(ValueKind.UINT32))

    def u64(self) -> int:
        """Return the next count or length of eight bytes."""
        return int(self.scalar(ValueKind.UINT64))

    def raw_text(self, limit: int = MAX_TEXT) -> bytes:
        """Return the bytes of the next string."""
        length = self.u64()
        if length > self.left:
            raise self._ended(length)
        self._kept += length
        if length > limit or self._kept > MAX_KEPT:
            raise Fault(
                f"it has a text of {length} bytes at byte {self.position}, which is too long"
            )
        return self.take(length)

    def text(self) -> str:
        """Return the next string; bytes that are no UTF-8 become replacement characters."""
        return self.raw_text().decode("utf-8", "replace")

    def may_keep(self, count: int) -> bool:
        """Count so many array items as kept, and tell whether memory is spared still."""
        self._items += count
        return self._items <= MAX_ITEMS

    def skip_strings(self, count: int) -> None:
        """Pass over `count` strings, looking only at their lengths."""
        self._strings += count
        if self._strings > MAX_STRINGS:
            raise Fault(f"it has more than {MAX_STRINGS} strings in its arrays")
        while count:
            self._fill(_LENGTH.size)
            at, passed = _pass_strings(self._bytes, self._at, count)
            count -= passed
            self.skip(at - self._at)

    def _fill(self, count: int) -> None:
        if self._at + count <= len(self._bytes):
            return
        if count > self.left:
            raise self._ended(count)
        wanted = min(max(count, _WINDOW), self.left)
        self._start, self._at = self.position, 0
        self._file.seek(self._start)
        pieces, have = [], 0
        while have < wanted:
            piece = self._file.read(wanted - have)
            if not piece:
                raise self._ended(wanted - have)  # somebody has shortened the file meanwhile
            pieces.append(piece)
            have += len(piece)
        self._bytes = b"".join(pieces)

    def _ended(self, count: int) -> Fault:
        return Fault(
            f"it is cut short: {count} more bytes should follow byte {self.position}, "
            f"the file has {self.size}"
        )


def _pass_strings(content: bytes, at: int, count: int) -> tuple[int, int]:
    """Return the place behind the strings whose lengths lie in `content`, and their number.

    This loop runs a million times for a large vocabulary, so it holds nothing that can be left out.
    """
    unpack, last = _LENGTH.unpack_from, len(content) - _LENGTH.size
    for passed in range(count):
        if at > last:
            return at, passed
        (length,) = unpack(content, at)
        at += 8 + length
    return at, count

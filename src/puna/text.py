"""Make untrusted text safe for terminals: models, file names and servers can send escapes."""

import re
import unicodedata

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Marks that reorder or hide what a person reads (CVE-2021-42574), and the separators that terminals
# take for line ends.
_HIDDEN = re.compile(
    r"[\ud800-\udfff\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)


def printable(text: str) -> str:
    """Return `text` with every control and reordering character shown as `�`.

    Tabs and line ends stay.
    """
    return _HIDDEN.sub("�", _CONTROLS.sub("�", text.replace("\r\n", "\n")))


def one_line(text: str, limit: int = 200) -> str:
    """Return `text` printable, on one line and at most `limit` characters long."""
    line = " ".join(printable(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def cell_width(text: str) -> int:
    """Return the columns that `text` takes: wide East Asian characters two, marks none."""
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Cf", "Me", "Mn"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1

"""Read the small text files in which Linux tells about itself; absent ones read as empty."""

from pathlib import Path

_LONGEST = 2**20


def read_system_file(path: Path) -> str:
    """Return a file's text without the white space around it; empty where it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST).strip()
    except (OSError, ValueError):
        return ""

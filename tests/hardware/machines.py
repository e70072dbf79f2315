"""Folders that look like the system files of a machine."""

from collections.abc import Mapping
from pathlib import Path


def a_machine(folder: Path, files: Mapping[str, str]) -> Path:
    """Write system files below `folder` and return it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return folder

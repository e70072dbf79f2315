"""What `puna launch` remembers of each program: the model chosen last, and the files it changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from puna.cli.launch.configure import Written
from puna.node.private import make_folder, write_private


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered of one program."""

    model: str = ""
    files: tuple[Written, ...] = ()

    def file(self, path: Path) -> Written | None:
        """Return what is known of a file, if it was changed before."""
        return next((each for each in self.files if each.path == path.resolve()), None)


@dataclass(frozen=True, slots=True)
class Record:
    """The file that remembers, as it was read. One that cannot be read remembers nothing."""

    path: Path
    programs: Mapping[str, Remembered] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read the record."""
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))["integrations"]
            return cls(path, {str(name): _remembered(row) for name, row in rows.items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(path)

    def of(self, name: str) -> Remembered:
        """Return what is remembered of a program."""
        return self.programs.get(name, Remembered())

    def keep(self, name: str, remembered: Remembered) -> "Record":
        """Remember this of a program, on disk too. Raises `OSError`."""
        programs = {**self.programs, name: remembered}
        rows = {
            each: {"model": row.model, "files": [file.to_json() for file in row.files]}
            for each, row in programs.items()
        }
        make_folder(self.path.parent)
        content = json.dumps({"integrations": rows}, indent=2) + "\n"
        write_private(self.path, content.encode(), mark="new")
        return Record(self.path, programs)


def _remembered(row: Mapping[str, object]) -> Remembered:
    files = cast("list[Mapping[str, object]]", row.get("files", []))
    return Remembered(str(row.get("model", "")), tuple(Written.of(each) for each in files))

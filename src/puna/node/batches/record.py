"""Where batches lie on the disk: a record each, and while it lives its input and its journal."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from puna.node.batches.batch import Batch
from puna.node.private import MODE, make_folder, write_private

_RECORD = re.compile(r"(batch_[0-9a-f]{32})\.json")
_PART = re.compile(r"(batch_[0-9a-f]{32})\.(?:input|journal)")


class Records:
    """The folder of batches. Every call blocks. Ids are those that this node made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open_lock(self) -> int:
        """Open the file whose lock says who computes these batches."""
        make_folder(self.folder)
        return os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)

    def input(self, batch_id: str) -> Path:
        """Return where a batch keeps its input."""
        return self.folder / f"{batch_id}.input"

    def journal(self, batch_id: str) -> Path:
        """Return where a batch keeps the rows that are done."""
        return self.folder / f"{batch_id}.journal"

    def write(self, batch: Batch, mark: str) -> None:
        """Write a record, whole or not at all."""
        write_private(self.folder / f"{batch.id}.json", batch.to_json(), mark=mark)

    def clear(self, batch_id: str) -> None:
        """Remove what a batch that is over needs no more."""
        self.input(batch_id).unlink(missing_ok=True)
        self.journal(batch_id).unlink(missing_ok=True)

    def read_all(self) -> list[Batch]:
        """Return every batch, oldest first, and remove what a crash left half done."""
        found = sorted(self._read(), key=lambda each: (each.created, each.id))
        alive = {each.id for each in found if not each.is_over}
        damaged = {path.stem for path in self.folder.glob("*.json")} - {each.id for each in found}
        for path in self.folder.iterdir():
            part = _PART.fullmatch(path.name)
            is_draft = path.name.startswith(".batch_")
            if is_draft or (part and part[1] not in alive | damaged):
                path.unlink(missing_ok=True)
        return found

    def _read(self) -> Iterator[Batch]:
        for path in self.folder.iterdir():
            if _RECORD.fullmatch(path.name):
                try:
                    yield Batch.from_json(path.read_bytes())
                except (OSError, ValueError, KeyError, TypeError):
                    continue  # damaged: left for its owner to look at

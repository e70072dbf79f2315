"""Files that clients leave with the node: what goes into a batch, and what comes out of one.

Each is two files in one folder: its content, and a record of what it is. The record is written last
and removed first, so a file exists exactly as long as its record does, and what a crash leaves
behind is swept away at the next start. A name that a client sent is only ever shown: paths are made
of ids alone, and of those only what this node itself could have given.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from puna.errors import Failed, Invalid, NotFound, Unavailable
from puna.library.disk import free_room
from puna.node.private import make_folder, open_private, write_private
from puna.text import one_line
from puna.units import Size
from puna.world import World

MOST_BYTES = Size(512 * 2**20)
"""As OpenAI's service allows for one file."""
MOST_FILES = 10_000
_RESERVE = Size(256 * 2**20)
"""What a disk keeps free: a node whose disk is full can keep no state."""
_LOOK_EVERY = 2**24
_ID = re.compile(r"file-[0-9a-f]{24}")
_LONGEST_NAME = 255
_LONGEST_UPLOAD = timedelta(hours=6)


class NoSuchFile(NotFound):
    """There is no file of this id for this key."""

    code = "no_such_file"


class FileTooLarge(Invalid):
    """A file is larger than the node takes."""

    code = "file_too_large"
    status = 413


class TooManyFiles(Unavailable):
    """The node keeps as many files as it may."""

    code = "too_many_files"
    status = 429
    retry_after_s = 60


class DiskFull(Failed):
    """The disk has no room for a file."""

    code = "disk_full"
    status = 507


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """What is known of one file. `owner` is empty for the node's own people."""

    id: str
    owner: str
    name: str
    purpose: str
    size: Size
    created: datetime
    expires: datetime | None = None

    def is_there(self, now: datetime) -> bool:
        """Tell whether it has not expired."""
        return self.expires is None or now < self.expires

    def to_json(self) -> bytes:
        """Return it as its record has it."""
        return json.dumps(
            {
                "id": self.id,
                "owner": self.owner,
                "name": self.name,
                "purpose": self.purpose,
                "size": self.size,
                "created": self.created.isoformat(),
                "expires": self.expires.isoformat() if self.expires else None,
            }
        ).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read a record. Raises `ValueError` or `KeyError` for one that is damaged."""
        row = json.loads(text)
        return cls(
            id=str(row["id"]),
            owner=str(row["owner"]),
            name=str(row["name"]),
            purpose=str(row["purpose"]),
            size=Size(int(row["size"])),
            created=datetime.fromisoformat(row["created"]),
            expires=datetime.fromisoformat(row["expires"]) if row["expires"] else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a new file is to be called, and how long it is kept."""

    name: str
    purpose: str
    owner: str = ""
    keeps: timedelta | None = None


class Incoming:
    """A file on its way in. Every call blocks."""

    def __init__(self, path: Path, descriptor: int, most: int) -> None:
        self.path = path
        self.size = 0
        self._most = most
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._look_at = 0

    def write(self, chunk: bytes) -> None:
        """Add to the file. Raises `FileTooLarge` and `DiskFull`."""
        self.size += len(chunk)
        if self.size > self._most:
            raise too_large(self._most)
        if self.size >= self._look_at:
            check_room(self.path.parent, len(chunk))
            self._look_at = self.size + _LOOK_EVERY
        left = memoryview(chunk)
        with _disk_errors(self.path.parent):
            while left:
                left = left[self._file.write(left) or 0 :]

    def finish(self) -> None:
        """Let the disk have all of it."""
        with _disk_errors(self.path.parent):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Stop writing."""
        self._file.close()


def too_large(most: int = MOST_BYTES) -> FileTooLarge:
    """Return the error for a file that is larger than it may be."""
    return FileTooLarge(f"the file is larger than {Size(most)}", hint="send it in several files")


def check_room(folder: Path, needed: int) -> None:
    """Make sure that the disk has room for `needed` bytes and some more. Raises `DiskFull`."""
    if free_room(folder) < needed + _RESERVE:
        raise DiskFull(
            f"the disk of {folder} has too little room for the file",
            hint="delete files that are no longer needed, or set PUNA_HOME to a larger disk",
        )


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DiskFull(f"the file cannot be kept in {folder}: {reason}") from error


class Shelf:
    """All files of a node. Every call blocks; none is of an event loop."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder
        self._world = world

    @contextmanager
    def receive(self, claimed: int = 0, *, most: int = MOST_BYTES) -> Iterator[Incoming]:
        """Take a file in; `keep` makes it one of the shelf. Nothing stays of one not kept."""
        make_folder(self.folder)
        if claimed > most:
            raise too_large(most)
        check_room(self.folder, claimed)
        path = self.folder / f".{self._world.token()}"
        with _disk_errors(self.folder):
            incoming = Incoming(path, open_private(path), most)
        try:
            yield incoming
        finally:
            incoming.close()
            path.unlink(missing_ok=True)

    def keep(self, incoming: Incoming, label: Label, *, file_id: str = "") -> Filed:
        """Make a file that came whole one of the shelf; the same `file_id` replaces."""
        if sum(1 for _ in self._records()) >= MOST_FILES:
            raise TooManyFiles(
                f"the node keeps {MOST_FILES} files and takes no more", hint="delete some"
            )
        incoming.finish()
        now = self._world.now()
        filed = Filed(
            id=file_id or self.new_id(),
            owner=label.owner,
            name=one_line(label.name, _LONGEST_NAME) or "upload",
            purpose=label.purpose,
            size=Size(incoming.size),
            created=now,
            expires=None if label.keeps is None else now + label.keeps,
        )
        with _disk_errors(self.folder):
            incoming.path.replace(self.content(filed.id))
            write_private(self._record(filed.id), filed.to_json(), mark=self._world.token())
        return filed

    def new_id(self) -> str:
        """Return an id that no file has."""
        return f"file-{self._world.token()[:24]}"

    def content(self, file_id: str) -> Path:
        """Return where the content of a file is. Raises `NoSuchFile` for what is no id."""
        return self.folder / _checked(file_id)

    def find(self, file_id: str, owner: str) -> Filed:
        """Return a file of this owner. Raises `NoSuchFile`, also for the files of others."""
        filed = self._read(self._record(file_id))
        if filed is None or filed.owner != owner or not filed.is_there(self._world.now()):
            raise no_such_file(file_id)
        return filed

    def all_of(self, owner: str) -> list[Filed]:
        """Return the files of an owner, oldest first."""
        now = self._world.now()
        found = (self._read(path) for path in self._records())
        mine = [each for each in found if each and each.owner == owner and each.is_there(now)]
        return sorted(mine, key=lambda each: (each.created, each.id))

    def remove(self, file_id: str, owner: str) -> None:
        """Remove a file of this owner. Raises `NoSuchFile`."""
        filed = self.find(file_id, owner)
        self._forget(filed.id)

    def lend(self, file_id: str, owner: str, place: Path) -> Filed:
        """Let a batch have a file at `place`, whatever becomes of it here. Raises `NoSuchFile`."""
        filed = self.find(file_id, owner)
        place.unlink(missing_ok=True)
        with _disk_errors(self.folder):
            try:
                os.link(self.content(filed.id), place)
            except OSError:  # a disk without hard links
                shutil.copyfile(self.content(filed.id), place)
        return filed

    def sweep(self) -> None:
        """Remove what has expired, and what a crash left half done."""
        now = self._world.now()
        known = set()
        for record in tuple(self._records()):
            filed = self._read(record)
            if filed is not None and filed.is_there(now):
                known.add(filed.id)
            elif filed is not None:
                self._forget(filed.id)
        for path in self._everything():
            is_draft = path.name.startswith(".")
            is_lost = _ID.fullmatch(path.name) and path.name not in known
            if (is_draft or is_lost) and _is_old(path, now):
                path.unlink(missing_ok=True)

    def _forget(self, file_id: str) -> None:
        self._record(file_id).unlink(missing_ok=True)
        self.content(file_id).unlink(missing_ok=True)

    def _record(self, file_id: str) -> Path:
        return self.folder / f"{_checked(file_id)}.json"

    def _records(self) -> Iterable[Path]:
        return (path for path in self._everything() if _ID.fullmatch(path.stem) and path.suffix)

    def _everything(self) -> list[Path]:
        with suppress(FileNotFoundError):
            return list(self.folder.iterdir())
        return []

    def _read(self, path: Path) -> Filed | None:
        """Read a record; one that is damaged, or just went, is none."""
        try:
            return Filed.from_json(path.read_bytes())
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _is_old(path: Path, now: datetime) -> bool:
    """Tell whether nobody can be writing a file any more."""
    with suppress(OSError):
        return path.stat().st_mtime < (now - _LONGEST_UPLOAD).timestamp()
    return False


def no_such_file(file_id: str) -> NoSuchFile:
    """Return the error for a file that is not there, or is another's."""
    return NoSuchFile(f"No such File object: {one_line(file_id, 80)}")


def _checked(file_id: str) -> str:
    """Return an id that can be a part of a path: one that this node could have given."""
    if not _ID.fullmatch(file_id):
        raise no_such_file(file_id)
    return file_id

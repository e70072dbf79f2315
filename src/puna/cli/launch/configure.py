"""Write what configures a program, so that all of it can be taken back.

A file of someone else's is copied before its first change, only our own keys in it are set, and
what they were is kept. Taking back puts the copy in place if nobody has written to the file since;
if somebody has, only our keys go back to what they were, and the rest stays as it is now.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from puna.cli.launch.programs import Edit, JsonKeys, WholeFile
from puna.errors import Failed
from puna.models.digest import digest_of

_PRIVATE = 0o600
_ABSENT = {"absent": True}
Former = tuple[tuple[tuple[str, ...], object], ...]
"""Keys and what they were; `_ABSENT` for those that were not there."""


class UnreadableConfig(Failed):
    """A configuration is not what its program says it is; nothing was changed."""

    code = "unreadable_config"


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was changed: where its copy is, what we made of it, and what our keys were."""

    path: Path
    backup: Path | None
    """None if there was no file before."""
    digest: str
    former: Former = ()

    def to_json(self) -> dict[str, object]:
        """Return it as the record keeps it."""
        return {
            "path": str(self.path),
            "backup": str(self.backup) if self.backup else None,
            "digest": self.digest,
            "former": [[list(keys), value] for keys, value in self.former],
        }

    @classmethod
    def of(cls, value: Mapping[str, object]) -> "Written":
        """Read what `to_json` wrote."""
        backup, former = value["backup"], cast("list[tuple[list[str], object]]", value["former"])
        return cls(
            Path(str(value["path"])),
            Path(str(backup)) if backup else None,
            str(value["digest"]),
            tuple((tuple(keys), was) for keys, was in former),
        )


def write_edit(edit: Edit, earlier: Written | None, backups: Path) -> Written:
    """Make one change, and return what takes it back. Raises `UnreadableConfig`, `OSError`.

    `earlier` is what a former change left: the copy made then is the one that counts.
    """
    path = edit.path.resolve()  # a link to where the user keeps such files stays a link
    before = path.read_bytes() if path.exists() else None
    former: Former = ()
    if isinstance(edit, WholeFile):
        after = edit.text.encode()
    else:
        after, former = _with_keys(path, before, edit)
    backup = earlier.backup if earlier else _copied(path, before, backups)
    _put(path, after)
    return Written(path, backup, str(digest_of(after)), earlier.former if earlier else former)


def take_back(written: Written, backups: Path) -> Iterator[str]:
    """Undo one change and yield what was done. Raises `UnreadableConfig`, `OSError`."""
    path = written.path
    now = path.read_bytes() if path.exists() else None
    if now is None:
        yield f"{path} is gone already"
        return
    if str(digest_of(now)) != written.digest:
        if written.former:
            yield _without_keys(path, now, written)
            return
        yield f"it had been changed since, and that is kept in {_copied(path, now, backups)}"
    if written.backup is None:
        path.unlink()
        yield f"removed {path}"
        return
    _put(path, written.backup.read_bytes())
    yield f"restored {path}"


def _without_keys(path: Path, now: bytes, written: Written) -> str:
    tree = _parsed(path, now)
    for keys, was in written.former:
        _set(tree, keys, was)
    _put(path, _json(tree))
    return f"took puna's keys out of {path}, which has other changes since"


def _with_keys(path: Path, before: bytes | None, edit: JsonKeys) -> tuple[bytes, Former]:
    tree = _parsed(path, before or b"{}")
    former = tuple((keys, _found(tree, keys)) for keys in edit.values)
    for keys, value in edit.values.items():
        _set(tree, keys, value)
    return _json(tree), former


def _parsed(path: Path, text: bytes) -> dict[str, object]:
    try:
        tree = json.loads(text or b"{}")
    except (ValueError, RecursionError) as error:
        raise UnreadableConfig(
            f"{path} is not plain JSON, so puna leaves it alone",
            hint="launch without --config: then no file is needed",
        ) from error
    if not isinstance(tree, dict):
        raise UnreadableConfig(f"{path} holds no JSON object, so puna leaves it alone")
    return tree


def _found(tree: Mapping[str, object], keys: tuple[str, ...]) -> object:
    value: object = tree
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            return _ABSENT
        value = value[key]
    return value


def _set(tree: dict[str, object], keys: tuple[str, ...], value: object) -> None:
    """Set or take away one key; a level that this leaves empty goes too."""
    first, rest = keys[0], keys[1:]
    if rest:
        inner = tree.get(first)
        inner = inner if isinstance(inner, dict) else {}
        _set(inner, rest, value)
        value = inner or _ABSENT
    if value == _ABSENT:
        tree.pop(first, None)
    else:
        tree[first] = value


def _json(tree: Mapping[str, object]) -> bytes:
    return (json.dumps(tree, indent=2, ensure_ascii=False) + "\n").encode()


def _copied(path: Path, content: bytes | None, backups: Path) -> Path | None:
    """Keep a copy of a file beside puna's own; never over another copy."""
    if content is None:
        return None
    backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    count = sum(1 for _ in backups.glob(f"{path.parent.name}-{path.name}.*"))
    backup = backups / f"{path.parent.name}-{path.name}.{count + 1}"
    _put(backup, content)
    return backup


def _put(path: Path, content: bytes) -> None:
    """Write a file whole, with the mode it had; a new one only its owner can read: it has a key."""
    mode = path.stat().st_mode & 0o777 if path.exists() else _PRIVATE
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.puna")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    draft.replace(path)

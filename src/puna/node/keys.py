"""Keys of a node: who may come in, for what, and until when.

A key is shown once, when it is made. The file keeps only its digest; a key has 128 bits of chance,
so nobody can search for what a digest came from, and a slow hash would only slow the node down. The
file is read again whenever it has changed, so that a running node knows at once what was made or
revoked. When a key was last used stands in a second file, written once in ten minutes at most.
"""

import hashlib
import hmac
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from puna.errors import Conflict, Denied, Failed, Invalid, NotFound
from puna.library.lock import exclusive
from puna.node.private import write_private
from puna.units import Span
from puna.world import World

MARK = "puna_"
"""What every key begins with, so that a leaked one is recognised."""
_SHOWN = len(MARK) + 6
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LIFE = re.compile(r"(\d{1,5})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PAUSE = timedelta(minutes=10)
_MOST_CHARS = 2**24


class KeyScope(StrEnum):
    """What a key is good for; each includes those before it."""

    USE = "use"
    MANAGE = "manage"
    ADMIN = "admin"

    def includes(self, other: "KeyScope") -> bool:
        """Tell whether a key of this scope may do what needs `other`."""
        order = list(KeyScope)
        return order.index(self) >= order.index(other)


class BadKeyFile(Failed):
    """The file of keys cannot be read; nobody gets in by it until it is repaired."""

    code = "bad_key_file"


class KeyTaken(Conflict):
    """A key of this name exists."""

    code = "key_taken"


class KeyMissing(NotFound):
    """There is no key of this name or beginning."""

    code = "key_missing"


class WrongKey(Denied):
    """The request carries no key, or none that is good."""

    code = "wrong_key"
    status = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a node knows of a key: everything but the key."""

    name: str
    prefix: str
    scope: KeyScope
    digest: str
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    requests_per_minute: int = 0
    tokens_per_minute: int = 0

    def is_good(self, now: datetime) -> bool:
        """Tell whether it still opens anything."""
        return self.revoked is None and (self.expires is None or now < self.expires)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWish:
    """A key that somebody wants."""

    name: str
    scope: KeyScope = KeyScope.USE
    life: timedelta | None = None
    requests_per_minute: int = 0
    tokens_per_minute: int = 0


def read_life(text: str) -> timedelta:
    """Read how long a key is good for: `30d`, `12h`, `2w`. Raises `Invalid`."""
    match = _LIFE.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise Invalid(f'"{text}" is not a length of time', hint="write it like 30d, 12h or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


class KeyRing:
    """The keys in a folder. All but `find` may block for as long as another process writes."""

    def __init__(self, home: Path, world: World) -> None:
        self._file = home / "keys.json"
        self._uses = home / "keys-used.json"
        self._world = world
        self._keys: tuple[Key, ...] = ()
        self._state: tuple[int, int, int] | None = None
        self._noted: dict[str, datetime] = {}

    def all_keys(self) -> tuple[Key, ...]:
        """Return every key ever made, oldest first, revoked ones too. Raises `BadKeyFile`."""
        state = self._state_now()
        if state != self._state:
            self._keys = () if state is None else _read_keys(self._file)
            self._state = state
        return self._keys

    def good(self) -> tuple[Key, ...]:
        """Return the keys that open something now."""
        now = self._world.now()
        return tuple(key for key in self.all_keys() if key.is_good(now))

    def find(self, secret: bytes) -> Key | None:
        """Return the key that this is, be it good or not; takes as long for any wrong one."""
        digest = _digest(secret)
        found = None
        for key in self.all_keys():
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def create(self, wish: KeyWish) -> tuple[Key, str]:
        """Make a key; the second part of the result is the key itself, told only now."""
        if not _NAME.fullmatch(wish.name):
            raise Invalid(
                f'"{wish.name}" is no name for a key',
                hint="use up to 64 letters, digits and . _ @ -",
            )
        secret, now = MARK + self._world.token(), self._world.now()
        key = Key(
            name=wish.name,
            prefix=secret[:_SHOWN],
            scope=wish.scope,
            digest=_digest(secret.encode()),
            created=now,
            expires=None if wish.life is None else now + wish.life,
            requests_per_minute=wish.requests_per_minute,
            tokens_per_minute=wish.tokens_per_minute,
        )

        def added(keys: Sequence[Key]) -> list[Key]:
            if any(each.name == key.name and each.is_good(now) for each in keys):
                raise KeyTaken(f'a key named "{key.name}" exists', hint="revoke it, or use another")
            return [*keys, key]

        self._change(added)
        return key, secret

    def revoke(self, name: str) -> Key:
        """Let the key of this name, or with this beginning, open nothing from now on."""
        now = self._world.now()
        revoked: list[Key] = []

        def without(keys: Sequence[Key]) -> list[Key]:
            left = []
            for key in keys:
                hit = name in {key.name, key.prefix} and key.revoked is None
                left.append(replace(key, revoked=now) if hit else key)
                revoked.extend([key] if hit else [])
            if not revoked:
                raise KeyMissing(f'no key is named "{name}"', hint="`puna keys list` shows them")
            return left

        self._change(without)
        return revoked[-1]

    def last_used(self) -> dict[str, datetime]:
        """Return when each key was last used, by its beginning; ten minutes may be missing."""
        try:
            value = json.loads(self._uses.read_text(encoding="utf-8"))
            return {str(name): datetime.fromisoformat(text) for name, text in value.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def note_use(self, key: Key) -> bool:
        """Tell whether it is time to write down that a key was used; `write_uses` does it."""
        now = self._world.now()
        last = self._noted.get(key.prefix)
        if last is not None and now - last < _PAUSE:
            return False
        self._noted[key.prefix] = now
        return True

    def write_uses(self) -> None:
        """Write down when keys were used. Blocks."""
        with exclusive(self._file.with_suffix(".lock"), limit=Span.of(seconds=2)):
            uses = self.last_used() | self._noted
            texts = {prefix: moment.isoformat() for prefix, moment in uses.items()}
            _write(self._uses, json.dumps(texts, indent=1), mark=self._world.token())

    def _change(self, change: Callable[[Sequence[Key]], Sequence[Key]]) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive(self._file.with_suffix(".lock")):
            keys = change(_read_keys(self._file) if self._file.exists() else ())
            text = json.dumps({"version": 1, "keys": [_row(key) for key in keys]}, indent=1)
            _write(self._file, text, mark=self._world.token())

    def _state_now(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._file)  # noqa: PTH116 - a third of the time, for each request
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadKeyFile(f"{self._file} cannot be read: {error.strerror}") from error
        return found.st_mtime_ns, found.st_size, found.st_ino


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()


def _row(key: Key) -> dict[str, object]:
    values = asdict(key)
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def _read_keys(file: Path) -> tuple[Key, ...]:
    try:
        with file.open(encoding="utf-8") as opened:
            rows = json.loads(opened.read(_MOST_CHARS))["keys"]
        return tuple(_key(row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadKeyFile(
            f"the file of keys cannot be read: {file}", hint="repair it, or remove it"
        ) from error


def _key(row: dict[str, object]) -> Key:
    def moment(name: str) -> datetime | None:
        return datetime.fromisoformat(str(row[name])) if row.get(name) else None

    def number(name: str) -> int:
        return int(str(row.get(name) or 0))

    return Key(
        name=str(row["name"]),
        prefix=str(row["prefix"]),
        scope=KeyScope(str(row["scope"])),
        digest=str(row["digest"]),
        created=datetime.fromisoformat(str(row["created"])),
        expires=moment("expires"),
        revoked=moment("revoked"),
        requests_per_minute=number("requests_per_minute"),
        tokens_per_minute=number("tokens_per_minute"),
    )


def _write(path: Path, text: str, *, mark: str) -> None:
    write_private(path, f"{text}\n".encode(), mark=mark)

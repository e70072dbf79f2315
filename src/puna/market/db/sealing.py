"""Secrets as the database keeps them: sealed with a key that is not in it.

Whoever reads the database or a copy of it reads no secret. The key is a file of the market's
operator, made at the first start; several processes of one market share it. Each value is bound to
what it belongs to, so that one account's sealed secret cannot be put into another's row.
"""

import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from puna.errors import Failed, Invalid

_KEY = 32
_NONCE = 12
_VERSION = "1:"


class Unsealable(Failed):
    """A secret was sealed with another key, or was changed since."""

    code = "unsealable"


class Seal:
    """Seals and opens with one key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Return the seal of a key file; it is made, for its owner alone, where there is none.

        Raises `Invalid` for a file that holds no key. Of several processes that make it at once,
        all read the one that was first.
        """
        if not path.exists():
            _make_key(path)
        try:
            key = b64decode(path.read_text(encoding="ascii"), validate=False)
        except ValueError as error:
            raise Invalid(f"{path} holds no key of a market") from error
        if len(key) != _KEY:
            raise Invalid(
                f"{path} holds no key of a market",
                hint="put the file back that the market's secrets were sealed with",
            )
        return cls(key)

    def close(self, text: str, belongs_to: str) -> str:
        """Return the sealed text."""
        nonce = os.urandom(_NONCE)
        sealed = self._cipher.encrypt(nonce, text.encode(), belongs_to.encode())
        return _VERSION + b64encode(nonce + sealed).decode()

    def open(self, sealed: str, belongs_to: str) -> str:
        """Return what was sealed. Raises `Unsealable`."""
        try:
            kept = b64decode(sealed.removeprefix(_VERSION), validate=True)
            text = self._cipher.decrypt(kept[:_NONCE], kept[_NONCE:], belongs_to.encode())
        except (ValueError, InvalidTag) as error:
            raise Unsealable(
                f"what is kept for {belongs_to} was sealed with another key",
                hint="start the market with the key file that it had",
            ) from error
        return text.decode()

    def derive(self, purpose: str) -> str:
        """Return 64 hexadecimal digits that are the same for one purpose and this key alone."""
        return hmac.new(self._key, purpose.encode(), hashlib.sha256).hexdigest()


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(b64encode(os.urandom(_KEY)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # the first wins
    except FileExistsError:
        pass
    finally:
        draft.unlink()

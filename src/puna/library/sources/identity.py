"""The key pair by which registries of Ollama's kind know this machine.

It lies in puna's home as Ollama's lies in its own, in the same form, so that whoever pushes with
Ollama can use the one that is registered: Ollama's is read where puna has none yet. The private
half never leaves the machine; what is sent is the public half and a signature over one URL.
"""

import base64
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from puna.errors import Failed

KEY_NAME = "id_ed25519"
_EMPTY = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()


class UnusableKey(Failed):
    """The key pair is there and cannot be used."""

    code = "unusable_key"


class Identity:
    """A key pair."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public_line(self) -> str:
        """The public half as `id_ed25519.pub` has it: what a person gives to a registry."""
        return self._key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    def authorization(self, method: str, url: str) -> str:
        """Return the header that proves to a token server who asks for this very URL."""
        signature = self._key.sign(f"{method},{url},{_EMPTY}".encode())
        return f"{self.public_line.split()[1]}:{base64.b64encode(signature).decode()}"


def load_identity(home: Path, *, ollama: Path) -> Identity:
    """Return the key pair in `home`, else Ollama's, else a new one in `home`.

    Raises `UnusableKey`.
    """
    for path in (home / KEY_NAME, ollama / KEY_NAME):
        if path.exists():
            return _read(path)
    return _make(home / KEY_NAME)


def _read(path: Path) -> Identity:
    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise UnusableKey(f"key {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey(
            f"key {path} is no OpenSSH key without a password",
            hint="move it away, and puna makes a new one",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKey(f"key {path} is no ed25519 key", hint="move it away for a new one")
    return Identity(key)


def _make(path: Path) -> Identity:
    """Write a new pair; of two processes that do so at once the first wins for both."""
    identity = Identity(Ed25519PrivateKey.generate())
    private = identity._key.private_bytes(  # noqa: SLF001 - our own
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(draft, private, 0o600)
        with suppress(FileExistsError):
            path.hardlink_to(draft)
            _write(path.with_name(f"{path.name}.pub"), f"{identity.public_line}\n".encode(), 0o644)
    except OSError as error:
        raise UnusableKey(f"key {path} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return _read(path)


def _write(path: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)

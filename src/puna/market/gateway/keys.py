"""What the gateway signs and is known by, all made from the one secret of the market.

Every process of a market derives the same, so that an agent can pin the gateway's key and a share
link is good wherever it lands; nothing more has to be kept or copied.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

import asyncssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

Derive = Callable[[str], str]
"""Returns 64 hexadecimal digits, the same for one purpose and market alone."""


@dataclass(frozen=True, slots=True)
class GatewayKeys:
    """The gateway's SSH key, and its signature under links."""

    ssh: asyncssh.SSHKey
    signing: bytes

    @classmethod
    def of(cls, derive: Derive) -> "GatewayKeys":
        """Derive them."""
        seed = bytes.fromhex(derive("gateway ssh key"))
        return cls(ssh_key(seed), bytes.fromhex(derive("gateway links")))

    @property
    def public(self) -> str:
        """The public key in one line."""
        return public_line(self.ssh)

    def sign(self, text: str) -> str:
        """Return a signature, 128 bits of it."""
        return hmac.new(self.signing, text.encode(), hashlib.sha256).hexdigest()[:32]


def ssh_key(seed: bytes) -> asyncssh.SSHKey:
    """Return an ed25519 key from 32 bytes."""
    raw = Ed25519PrivateKey.from_private_bytes(seed)
    pem = raw.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return asyncssh.import_private_key(pem)


def public_line(key: asyncssh.SSHKey) -> str:
    """Return a key's public half as `ssh-ed25519 AAAA...`."""
    return " ".join(key.export_public_key().decode().split()[:2])

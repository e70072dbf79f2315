"""Which cloud is rented from: the variables `PUNA_CLOUD_...`, or what `puna cloud login` kept.

The key lies in a file that only its owner reads, and belongs to the address that it was given for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from puna.errors import Denied, Invalid
from puna.node.private import make_folder, write_private
from puna.node.replies import Fields
from puna.readers import read_text
from puna.settings import Address, Setting, load_room, read_address, read_home

RUNPOD = Address("https", "api.runpod.io", 443)
_MARKET_PORT = 11500
_FILE = "cloud.json"

CLOUD_ROWS: tuple[Setting, ...] = (
    Setting("cloud_address", read_text, "", "the market that is rented from, or runpod"),
    Setting("cloud_key", read_text, "", "the account's key there", secret=True),
)


class NoCloud(Invalid):
    """Nobody has said which cloud."""

    code = "no_cloud"


class OpenKeyFile(Denied):
    """Others on this machine can read the file with the key."""

    code = "open_key_file"


@dataclass(frozen=True, slots=True)
class Login:
    """A cloud and the key there."""

    address: Address
    key: str
    domain: str = ""
    """`POD-PORT.DOMAIN` leads to a pod; empty where only paths do."""

    def covers(self, other: Address) -> bool:
        """Tell whether an address is the cloud's own, so that its key may be sent there."""
        own = self.address
        if (other.scheme, other.port) != (own.scheme, own.port):
            return False
        if other.host == own.host:
            return bool(other.path)
        return bool(self.domain) and other.host.endswith(f".{self.domain}")


def read_cloud_address(text: str) -> Address:
    """Read `runpod`, or the address of a market. Raises `Invalid`."""
    return RUNPOD if text.strip().lower() == "runpod" else read_address(text, _MARKET_PORT)


def load_login(environ: Mapping[str, str] | None = None) -> Login:
    """Return the cloud and its key. Raises `NoCloud`, `OpenKeyFile`.

    A key of the environment needs an address of the environment: it is never sent elsewhere.
    """
    rows = load_room(CLOUD_ROWS, environ)
    address, key = str(rows["address"]), str(rows["key"])
    kept = kept_login(environ)
    if address:
        named = read_cloud_address(address)
        if key:
            return Login(named, key, kept.domain if kept and kept.address == named else "")
        if kept is not None and kept.address == named:
            return kept
        raise NoCloud(f"there is no key for {named}", hint=f"log in: puna cloud login {address}")
    if kept is None:
        raise NoCloud(
            "no cloud is known",
            hint="log in: puna cloud login ADDRESS (or runpod), or make one: puna market serve",
        )
    return kept


def key_for(address: Address, environ: Mapping[str, str] | None = None) -> str:
    """Return the cloud's key if an address is the cloud's own, such as that of a pod; else none."""
    try:
        login = load_login(environ)
    except (Invalid, Denied):
        return ""
    return login.key if login.covers(address) else ""


def kept_login(environ: Mapping[str, str] | None = None) -> Login | None:
    """Return what `puna cloud login` kept. Raises `OpenKeyFile`."""
    file = read_home(environ) / _FILE
    try:
        text, mode = file.read_text(encoding="utf-8"), file.stat().st_mode
    except (OSError, UnicodeDecodeError):
        return None
    if mode & 0o077:
        raise OpenKeyFile(
            f"others can read {file}, in which a key is", hint=f"close it: chmod 600 {file}"
        )
    try:
        fields = Fields(json.loads(text))
        return Login(
            read_address(fields.text("address")), fields.text("key"), fields.text("domain")
        )
    except (ValueError, RecursionError, Invalid):
        return None


def keep_login(login: Login, *, mark: str, environ: Mapping[str, str] | None = None) -> Path:
    """Keep a login for later commands; only its owner can read it."""
    home = read_home(environ)
    make_folder(home)
    values = {"address": login.address.url, "key": login.key, "domain": login.domain}
    write_private(home / _FILE, json.dumps(values).encode(), mark=mark)
    return home / _FILE


def forget_login(environ: Mapping[str, str] | None = None) -> bool:
    """Remove what was kept; tell whether there was anything."""
    file = read_home(environ) / _FILE
    found = file.exists()
    file.unlink(missing_ok=True)
    return found

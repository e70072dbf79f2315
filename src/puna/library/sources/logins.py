"""Who we are at which registry: from the settings, from Docker's file, from Docker's programs.

Docker's file may name a program that keeps logins (`credsStore`, or `credHelpers` for one
registry): `docker-credential-NAME`. It is started when a registry asks for a login and not before,
without a shell, and only if its name is a plain word that is found on the PATH.
"""

import asyncio
import base64
import binascii
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from puna.wire.registry import DockerConfig, DockerLogin, KeptLogin

_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_HUB_KEY = "https://index.docker.io/v1/"
"""Docker's own name for its hub in files and programs."""
_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PATIENCE_S = 30
"""A program may ask its user something, and must not hang forever."""
_TOKEN = "<token>"  # noqa: S105 - what stands in place of a user's name


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are at one registry: a name and a password, or a token that a login gave."""

    header: str = ""
    """The `Authorization` of a name and a password; empty without one."""
    identity: str = ""
    """What Docker calls an identity token: a token server takes it instead of a password."""

    def __bool__(self) -> bool:
        return bool(self.header or self.identity)


NOBODY = Login()


@dataclass(frozen=True, slots=True)
class Logins:
    """Logins by host and port, and the programs that know more."""

    login_by_host: Mapping[str, Login]
    program_by_host: Mapping[str, str] = field(default_factory=dict)
    program: str = ""
    """The program for every other registry."""
    chosen: frozenset[str] = frozenset()
    """Hosts whose login the settings have; no program is asked for those."""

    def of(self, host: str) -> Login:
        """Return what files hold for a registry; empty if nobody logged in there."""
        return next(filter(None, map(self.login_by_host.get, _names(host))), NOBODY)

    async def find(self, host: str) -> Login:
        """Return the login for a registry; asks a program if one is named for it."""
        if not self.chosen & set(_names(host)):
            by_host = next(filter(None, map(self.program_by_host.get, _names(host))), "")
            if program := by_host or self.program:
                key = _HUB_KEY if host in _DOCKER_HUB else host
                if login := await _kept_login(program, key):
                    return login
        return self.of(host)


def _names(host: str) -> list[str]:
    return sorted(_DOCKER_HUB) if host in _DOCKER_HUB else [host]


def read_logins(logins: Iterable[str], docker: Path) -> Logins:
    """Read the logins of the settings and those in Docker's folder; the settings win."""
    found = {}
    try:
        config = DockerConfig.model_validate_json((docker / "config.json").read_bytes())
    except (OSError, ValidationError):
        config = DockerConfig()
    for place, login in config.auths.items():
        found[_host(place)] = Login(_basic(login), login.identitytoken)
    chosen = set()
    for text in logins:
        host, _, user = text.partition("=")
        found[host.lower()] = Login(_header(user))
        chosen.add(host.lower())
    programs = {_host(place): name for place, name in config.credHelpers.items()}
    return Logins(found, programs, config.credsStore, frozenset(chosen))


def _host(place: str) -> str:
    return (place.partition("://")[2] or place).partition("/")[0].lower()


def _basic(login: DockerLogin) -> str:
    if login.username:
        return _header(f"{login.username}:{login.password}")
    try:
        base64.b64decode(login.auth, validate=True)
    except binascii.Error:
        return ""
    return f"Basic {login.auth}" if login.auth else ""


def _header(user: str) -> str:
    return f"Basic {base64.b64encode(user.encode()).decode()}"


async def _kept_login(name: str, key: str) -> Login:
    """Return the login that a program keeps; empty if it has none for this key."""
    path = shutil.which(f"docker-credential-{name}") if _PROGRAM.fullmatch(name) else None
    if path is None:
        return NOBODY
    try:
        process = await asyncio.create_subprocess_exec(
            path, "get", stdin=PIPE, stdout=PIPE, stderr=DEVNULL
        )
    except OSError:
        return NOBODY
    try:
        async with asyncio.timeout(_PATIENCE_S):
            said, _ = await process.communicate(key.encode())
    except TimeoutError:
        return NOBODY
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        login = KeptLogin.model_validate_json(said)
    except ValidationError:
        return NOBODY
    return NOBODY if process.returncode else _of(login)


def _of(login: KeptLogin) -> Login:
    if not login.Username or not login.Secret:
        return NOBODY
    if login.Username == _TOKEN:
        return Login(identity=login.Secret)
    return Login(_header(f"{login.Username}:{login.Secret}"))
